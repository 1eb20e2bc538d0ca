"""Frames between processes (``ipc://``) and machines (``tcp://``) over ZeroMQ.

Order of reading: ``endpoints`` (what may be listened on and connected to), ``sockets`` (how they are set up),
``monitor`` (what becomes of connections), ``wire`` (sending and receiving), ``authenticator`` (which peers may
connect), ``connections``, ``connection_watch`` and ``source_filter`` (how many may), ``rejection_log`` (what is counted
and logged), ``transport`` (the whole).

Sockets are driven by their file descriptor on the loop.  Such a descriptor reports *changes*: after it has become
readable, a socket must be read until it has nothing more, or the descriptor will not become readable again.
"""

from .transport import ZeroMQTransport as ZeroMQTransport

__all__ = ["ZeroMQTransport"]
