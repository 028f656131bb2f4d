"""The built-in async converters."""
