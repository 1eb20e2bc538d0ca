"""Transports: they move frames between nodes, and know nothing about actors.

``inprocess`` (nodes in one loop), ``zeromq`` (processes and machines) and ``simulated`` (a faulty network on virtual
time), each behind the port that ``trouper.runtime.session.transport`` defines.  ``keys`` holds the keys of ``tcp://``.

Nothing is imported here, so that `import trouper` does not load a network library: a node imports the transport of its
endpoints.
"""

if __name__ != "trouper.transports":
    raise ImportError(
        f"this package was imported as {__name__!r} through the link at the root of the repository; "
        f"import it as 'trouper.transports' instead"
    )
