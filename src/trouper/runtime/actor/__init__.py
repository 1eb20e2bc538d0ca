"""The `actor` package."""
