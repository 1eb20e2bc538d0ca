"""Memory for large buffers that come in, used again when no view of it is left.

The system clears each page of new memory when it is first written to, which takes as long as filling it.
"""

from __future__ import annotations

import mmap
from collections import deque
from functools import partial
from typing import Final

from .segments import exported

FREE_BYTES_MAX: Final = 268_435_456
"""Bytes of memory that is kept for being used again."""
GRID_BYTES: Final = 1_048_576
"""Memory of the system is allocated in multiples of this; smaller buffers have Python's."""


class BufferPool:
    """Memory for large buffers.  free_bytes: of memory that is kept for being used again."""

    __slots__ = ("_free", "_returned", "free_bytes")

    def __init__(self) -> None:
        self._free: list[mmap.mmap] = []
        self._returned: deque[mmap.mmap] = deque()  # returned since ``_free`` was read last
        self.free_bytes = 0

    def allocate(self, size_bytes: int) -> memoryview:
        """Return memory of so many bytes; its pages are taken from the system when they are first written to."""
        if size_bytes < GRID_BYTES:  # a node of ours sends it in one frame, and so in no need of memory here
            return memoryview(bytearray(size_bytes))
        while self._returned:
            self._free.append(self._returned.popleft())
        fit = [memory for memory in self._free if size_bytes <= len(memory) <= 2 * size_bytes + GRID_BYTES]
        if fit:
            memory = min(fit, key=len)
            self._free.remove(memory)
            self.free_bytes -= len(memory)
        else:
            grid = -(-size_bytes // GRID_BYTES) * GRID_BYTES
            memory = mmap.mmap(-1, grid, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return exported(memory, size_bytes, partial(self._dropped, memory))

    def _dropped(self, memory: mmap.mmap) -> None:
        """Keep memory of which no view is left; the garbage collector may call this in the middle of anything."""
        if self.free_bytes + len(memory) <= FREE_BYTES_MAX:
            self.free_bytes += len(memory)
            self._returned.append(memory)
