"""What nodes say to each other, and how it gets there.

Order of reading: ``transport`` (the port that moves frames), ``framing`` (what a frame looks like), ``settings``,
``effects``, ``stream`` (order, acknowledgement, credit), ``handshake`` (which answers count in the handshake), ``sessions``
(one peer), ``switchboard`` (all peers of a node).  All of these but the port are pure: they decide, and the node
carries out.  ``docs/reference/wire.md`` specifies the bytes.
"""
