"""The `eventsourced` package."""
