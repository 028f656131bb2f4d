"""Commands that run a model event by event."""
