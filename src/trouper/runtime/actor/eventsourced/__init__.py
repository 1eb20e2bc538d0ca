"""Event-sourced actors: ``actor`` is the base class, ``codec`` encodes and decodes events."""
