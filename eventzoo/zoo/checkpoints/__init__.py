"""Weights that were published elsewhere, as models of ours."""
