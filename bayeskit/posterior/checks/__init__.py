"""Checks of a model against its data: rows left out or foretold, replicated data, sensitivity to the prior."""
