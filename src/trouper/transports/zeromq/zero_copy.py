"""``ZeroCopyBuffers``: the large buffers that ZeroMQ has taken without a copy, and not released."""

from __future__ import annotations

from collections import deque

import zmq


class ZeroCopyBuffers:
    """Counts the bytes of buffers that ZeroMQ holds.  bytes_max: from which on it is full.

    ZeroMQ's own queue counts frames, whatever their size, and reports no bytes.  Its small buffers are too few to
    matter; each large one is tracked.  ZeroMQ does not report the release of a buffer, so it has to be polled.
    """

    __slots__ = ("_bytes", "_bytes_max", "_out")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._out: deque[tuple[zmq.MessageTracker, int]] = deque()

    def add(self, tracker: zmq.MessageTracker, buffer_bytes: int) -> None:
        """ZeroMQ has taken a buffer."""
        self._out.append((tracker, buffer_bytes))
        self._bytes += buffer_bytes

    @property
    def is_full(self) -> bool:
        """Whether ZeroMQ holds too many bytes.  Released buffers are counted off first; they are released in order."""
        out = self._out
        while out and out[0][0].done:
            self._bytes -= out.popleft()[1]
        return self._bytes >= self._bytes_max
