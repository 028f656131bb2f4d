"""How good a trained model is, and why: reports, settings chosen by validation, answers by the number of events."""
