"""``ZeroCopyBuffers``: the large buffers that ZeroMQ has taken without a copy, and has not given back."""

from __future__ import annotations

from collections import deque

import zmq


class ZeroCopyBuffers:
    """Counts the bytes that are out.  bytes_max: when nothing more should be lent.

    ZeroMQ's own queue counts frames, whatever their size, and tells no bytes.  Of small buffers it holds too little to
    matter; of large ones each is tracked.  Nobody calls when one comes back: whoever waits for it has to look again.
    """

    __slots__ = ("_bytes", "_bytes_max", "_out")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._out: deque[tuple[zmq.MessageTracker, int]] = deque()

    def add(self, tracker: zmq.MessageTracker, buffer_bytes: int) -> None:
        """A buffer was lent."""
        self._out.append((tracker, buffer_bytes))
        self._bytes += buffer_bytes

    @property
    def is_full(self) -> bool:
        """Whether too much is out; what has come back meanwhile is counted off.  Buffers come back in their order."""
        out = self._out
        while out and out[0][0].done:
            self._bytes -= out.popleft()[1]
        return self._bytes >= self._bytes_max
