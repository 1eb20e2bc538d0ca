"""Sessions between nodes: ordered, acknowledged conversations over a transport.

Order of reading: ``transport`` (the port that moves frames), ``frames`` (what a frame looks like), ``settings``,
``effects``, ``handshake``, ``session`` (one peer: order, acknowledgement, credit), ``sessions`` (all peers
of a node); then the bodies: ``codec``, ``schemas``, ``buffers``, ``bulk_chunks``.  All of these but the port are pure:
they decide, and ``net`` carries out.  ``docs/reference/wire.md`` specifies the bytes.
"""
