"""What moves frames between nodes, and knows nothing about actors.

Here will live `inprocess` (two nodes in one loop), `zeromq` (processes and machines) and `simulated` (a network with
faults, on virtual time), each in a file of its own and behind the port that `trouper.runtime.session` defines.

Nothing is imported here, so that `import trouper` does not load a network library: a node imports the transport that
its addresses name.
"""

if __name__ != "trouper.transports":
    raise ImportError(
        f"this package was imported as {__name__!r} through the link at the root of the repository; "
        f"import it as 'trouper.transports' instead"
    )
