"""Large buffers between this node and one peer: what leaves a message, and what is put together for one.

``BulkResources`` is what a node has for all of its peers, ``OutOfBandBuffers`` for one of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ...kernel.errors import WireError
from ...kernel.message import Message
from ...session.buffers import extract
from ...session.bulk_chunks import Assembly, BulkSettings
from ...session.codec import OutOfBandPayload
from ..control import AcceptSharedMemory, DropBuffers, LendSegment, OfferSharedMemory, RetireSegments, ReturnSegments
from .buffer_pool import BufferPool
from .segments import SegmentPool, host
from .shared_memory import SharedMemory

BulkMessage: TypeAlias = (
    OfferSharedMemory | AcceptSharedMemory | ReturnSegments | RetireSegments | LendSegment | DropBuffers
)
_PLAIN = (type(None), bool, int, float, str)
"""Values of these types, which most replies are, hold no buffer."""


class BulkResources:
    """What a node has for large buffers: settings, and shared memory.

    token: returns a random number of 64 bits.  listen: where the node does; whoever comes by ``inprocess://`` or
    ``sim://`` is in this process already.
    """

    def __init__(self, settings: BulkSettings, token: Callable[[], int], listen: Sequence[str]) -> None:
        self.settings = settings
        may_share = settings.shared_bytes_max and any(place.startswith(("ipc://", "tcp://")) for place in listen)
        self.host = host() if may_share else ""
        self.pool = SegmentPool(settings.shared_bytes_max, token)
        self.pool.retired = self._retired
        self.buffer_pool = BufferPool()
        self.shared_memories: set[SharedMemory] = set()

    def _retired(self, token: int) -> None:
        for shared_memory in self.shared_memories:
            shared_memory.retired(token)

    def close(self) -> None:
        """The node ends, and tells nobody any more."""
        self.shared_memories.clear()
        self.pool.close_all()


class OutOfBandBuffers:
    """See the top of the file.  say: tells the peer something."""

    def __init__(
        self, bulk: BulkResources, say: Callable[[Message[object]], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._bulk, self._settings = bulk, bulk.settings
        self.shared_memory = SharedMemory(bulk.pool, bulk.host, os.getpid(), say, loop) if bulk.host else None
        if self.shared_memory is not None:
            bulk.shared_memories.add(self.shared_memory)
        self.assembly = Assembly(bulk.settings, bulk.buffer_pool.allocate)
        self.take_chunk, self.take = self.assembly.take_chunk, self.assembly.take

    def pack(self, value: object) -> OutOfBandPayload | None:
        """Take the large buffers out of a message or a reply; None when it has none.

        Raises ``WireError`` for what may not travel.
        """
        if type(value) in _PLAIN:
            return None
        name, settings = type(value).__qualname__, self._settings
        try:
            payload, buffers = extract(value, settings.bulk_bytes_min)
        except TypeError as error:
            raise WireError(f"{name} cannot travel: {error}") from error
        if not buffers:
            return None
        parcel = OutOfBandPayload(value, payload, buffers)
        if len(buffers) > settings.buffers_max:
            raise WireError(f"{name} has {len(buffers)} large buffers, buffers_max={settings.buffers_max}")
        if parcel.buffer_bytes > settings.bulk_bytes_max:
            raise WireError(
                f"{name} has {parcel.buffer_bytes} bytes in large buffers, bulk_bytes_max={settings.bulk_bytes_max}: "
                "send it in parts"
            )
        return parcel

    def hear(self, message: BulkMessage) -> None:
        """Do what the peer says about buffers; raises ``WireError`` for what it may not say."""
        if isinstance(message, DropBuffers):
            self.take(message.numbers)
        elif self.shared_memory is None:
            if not isinstance(message, OfferSharedMemory):
                raise WireError(f"a {type(message).__qualname__} came, and no memory is shared")
        elif isinstance(message, LendSegment):
            self.assembly.put(message.number, self.shared_memory.borrow(message))
        else:
            self.shared_memory.take(message)

    def end(self) -> None:
        """The peer is lost."""
        self.assembly.clear()
        if self.shared_memory is not None:
            self._bulk.shared_memories.discard(self.shared_memory)
            self.shared_memory.end()
