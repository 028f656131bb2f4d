"""Async converters of event graphs: their convolutions and pools."""
