"""Built-in representations, one a file."""
