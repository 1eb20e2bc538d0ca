"""The network of a node: the ``Network`` above its transports, a ``Peer`` for each connected node, remote refs.

A message to a remote actor passes ``remote_cell``, ``peer``, ``send_buffer`` and ``network``, in this order;
``control`` has the messages that two nodes exchange about actors, and ``placement`` supervises children that run on
other nodes.
"""
