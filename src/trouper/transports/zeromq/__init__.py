"""Frames between processes (``ipc://``) and machines (``tcp://``) over ZeroMQ.

Order of reading: ``endpoints`` (what may be listened on and connected to), ``sockets`` (how they are set up),
``monitor`` (what becomes of connections), ``wire`` (sending), ``listener`` (receiving), ``authenticator`` (who is let in),
``rejections`` (what is counted and logged), ``transport`` (the whole).

Sockets are driven by their file descriptor on the loop.  Such a descriptor tells of *changes*: after it has become
readable, a socket must be asked until it has nothing more to give, or nobody will be told again.
"""

from .transport import ZeroMQTransport as ZeroMQTransport

__all__ = ["ZeroMQTransport"]
