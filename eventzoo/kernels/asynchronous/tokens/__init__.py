"""Networks of tokens, event by event."""
