"""The `bulk` package."""
