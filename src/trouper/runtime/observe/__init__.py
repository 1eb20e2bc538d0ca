"""The `observe` package."""
