"""Large buffers between this node and one peer: taken out of messages here, and put into messages there.

``BulkResources`` is shared by all peers of a node, ``OutOfBandBuffers`` belongs to one of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import TypeAlias, get_args

from ...kernel.errors import WireError
from ...kernel.message import Message
from ...session.budget import Account
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
BULK_MESSAGES: tuple[type[BulkMessage], ...] = get_args(BulkMessage)
_PLAIN = (type(None), bool, int, float, str)
"""Values of these types, which most replies have, contain no buffer."""


class BulkResources:
    """What a node has for large buffers: settings, shared memory, and memory for buffers that come in.

    token: returns a random number of 64 bits.  listen: the endpoints of the node; shared memory is offered only where
    one of them is ipc or tcp, since the peers of ``inprocess://`` and ``sim://`` are in this process already.
    """

    def __init__(self, settings: BulkSettings, token: Callable[[], int], listen: Sequence[str]) -> None:
        self.settings = settings
        may_share = settings.shared_bytes_max and any(place.startswith(("ipc://", "tcp://")) for place in listen)
        self.host = host() if may_share else ""
        self.pool = SegmentPool(settings.shared_bytes_max, token)
        self.pool.on_closed = self._on_segment_closed
        self.buffer_pool = BufferPool()
        self.shared_memories: set[SharedMemory] = set()

    def _on_segment_closed(self, token: int) -> None:
        for shared_memory in self.shared_memories:
            shared_memory.on_segment_closed(token)

    def close(self) -> None:
        """Free the shared memory; peers are not told any more."""
        self.shared_memories.clear()
        self.pool.close_all()


class OutOfBandBuffers:
    """The large buffers between this node and one peer.

    send: sends a control message to the peer.  account: of the peer's identity.
    """

    def __init__(
        self,
        bulk: BulkResources,
        send: Callable[[Message[object]], None],
        loop: asyncio.AbstractEventLoop,
        account: Account,
    ) -> None:
        self._bulk, self._settings = bulk, bulk.settings
        self.shared_memory = SharedMemory(bulk.pool, bulk.host, os.getpid(), send, loop) if bulk.host else None
        if self.shared_memory is not None:
            bulk.shared_memories.add(self.shared_memory)
        self.assembly = Assembly(bulk.settings, bulk.buffer_pool.allocate, account)
        self.take_chunk, self.take = self.assembly.take_chunk, self.assembly.take

    def pack(self, value: object) -> OutOfBandPayload | None:
        """Take the large buffers out of a message or a reply; None when it has none.

        Raises ``WireError`` for a value that may not be sent.
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
        packed = OutOfBandPayload(value, payload, buffers)
        if len(buffers) > settings.buffers_max:
            raise WireError(f"{name} has {len(buffers)} large buffers, buffers_max={settings.buffers_max}")
        if packed.buffer_bytes > settings.bulk_bytes_max:
            raise WireError(
                f"{name} has {packed.buffer_bytes} bytes in large buffers, bulk_bytes_max={settings.bulk_bytes_max}: "
                "send it in parts"
            )
        return packed

    def handle(self, message: BulkMessage) -> None:
        """Handle what the peer says about buffers; raises ``WireError`` for what it may not say."""
        if isinstance(message, DropBuffers):
            self.take(message.numbers)
        elif self.shared_memory is None:
            if not isinstance(message, OfferSharedMemory):
                raise WireError(f"a {type(message).__qualname__} came, and no memory is shared")
        elif isinstance(message, LendSegment):
            self.assembly.put(message.number, self.shared_memory.map_segment(message))
        else:
            self.shared_memory.handle(message)

    def close(self) -> None:
        """Drop all buffers and segments of the peer, which is lost."""
        self.assembly.clear()
        if self.shared_memory is not None:
            self._bulk.shared_memories.discard(self.shared_memory)
            self.shared_memory.close()
