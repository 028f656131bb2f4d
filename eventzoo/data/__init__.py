"""Samples, datasets, transforms, representations, and the DataModule that composes them."""
