"""The rules of the house, each a small pure function from sources to a list of sentences about what breaks it."""
