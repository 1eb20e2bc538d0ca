"""Replicated tables: every node writes its own row, all nodes hold copies, anti-entropy makes the copies equal."""
