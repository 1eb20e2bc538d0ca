"""The layout rules: pure functions from files to a list of sentences, one for each violation."""
