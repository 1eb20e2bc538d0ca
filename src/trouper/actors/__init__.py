"""The features that are themselves actors: one folder each, and nothing that the runtime needs.

Here will live `cluster`, `scheduling`, `resources`, `mapreduce`, `console` and `telemetry`, later `raft`, `kv` and
others. A feature is written as a user of Trouper would write it: it imports the runtime's public names, its own files,
and of another feature the messages only.

Nothing is imported here, so that a program pays only for the features it names: `from trouper.actors import cluster`.
"""

if __name__ != "trouper.actors":
    raise ImportError(
        f"this package was imported as {__name__!r} through the link at the root of the repository; "
        f"import it as 'trouper.actors' instead"
    )
