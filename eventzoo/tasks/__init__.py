"""Tasks: what a backbone is trained for, with losses and metrics."""
