"""Streams of events at several levels, event by event."""
