"""One module a problem: its data, the model in bayeskit, and the same model in the words of each peer."""
