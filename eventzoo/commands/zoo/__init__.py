"""Commands about the models of the zoo."""
