"""The `node` package."""
