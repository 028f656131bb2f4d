"""Kernels of asynchronous networks: state in arrays, and what an event changes in it."""
