"""Events as tokens: their embeddings, attention among them, and what halves and pools them."""
