"""Numba kernels on plain arrays. Nothing here knows of torch."""
