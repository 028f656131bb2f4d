"""What the `eventzoo` command does, a module each; imported when it is asked for."""
