"""``trouper demo``: counts the identifiers in a folder of text with a pool of supervised actors.

Order of reading: ``counting`` (what is counted), ``folder`` (which files), ``workers`` (the actors), ``job`` (one whole
count), ``progress`` (the output).
"""
