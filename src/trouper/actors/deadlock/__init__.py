"""Deadlock detection between nodes, an extension that every node with a network has."""
