"""A dataset, a representation, a backbone and a trained model for eventzoo."""
