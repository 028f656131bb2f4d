"""Layers that backbones share, in plain torch."""
