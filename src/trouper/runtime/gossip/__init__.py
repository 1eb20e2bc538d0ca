"""The `gossip` package."""
