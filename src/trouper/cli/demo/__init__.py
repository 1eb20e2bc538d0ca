"""``trouper demo``: counts the identifiers in a folder of text with a pool of supervised actors.

Order of reading: ``counting`` (what is counted), ``folder`` (which files), ``crew`` (the actors), ``job`` (a count from
beginning to end), ``show`` (what the user sees).
"""
