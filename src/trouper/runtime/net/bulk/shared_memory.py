"""Shared memory between this node and one peer, in both directions.

The first message with a large buffer goes over the session, and an offer with it; when the peer could read the segment
that the offer names, later buffers go by shared memory.  A mapped segment is returned when no view of it is left.  A
segment that is in use while the session ends is closed: it is not known whether the peer still reads it, and for a peer
that does the system keeps it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from ...kernel.errors import WireError
from ...kernel.message import Message
from ..control import AcceptSharedMemory, LendSegment, OfferSharedMemory, RetireSegments, ReturnSegments, SegmentInfo
from .segments import SegmentMapping, SegmentPool, SharedSegment

PROBE_BYTES = 4_096
MAPPINGS_MAX = 1_024
"""Segments of one peer that are mapped here at most."""

Send = Callable[[Message[object]], None]


class SharedMemory:
    """Shared memory with one peer.

    pool: where segments come from.  host, process: of this process.  send: sends a control message to the peer.
    """

    def __init__(self, pool: SegmentPool, host: str, process: int, send: Send, loop: asyncio.AbstractEventLoop) -> None:
        self._pool, self._host, self._process, self._send, self._loop = pool, host, process, send, loop
        self._offered = self._closed = False
        self.accepted = False
        self._probe: SharedSegment | None = None
        self._in_use: dict[int, SharedSegment] = {}
        self._mappings: dict[int, SegmentMapping] = {}
        self._peer_process: int | None = None
        self._dropped: deque[int] = deque()
        self._armed = False

    # --- out -----------------------------------------------------------------------------------------------------

    def allocate_for(self, size_bytes: int) -> SharedSegment | None:
        """Return a segment to fill for the peer; None when the buffer has to go over the session."""
        if not self._offered:
            self._offer()
        owned = self._pool.allocate(size_bytes) if self.accepted and not self._closed else None
        if owned is not None:
            self._in_use[owned.segment.token] = owned
        return owned

    def cancel(self, owned: SharedSegment) -> None:
        """Release a segment that was allocated and not sent."""
        if self._in_use.pop(owned.segment.token, None) is not None:
            self._pool.release(owned)

    def _offer(self) -> None:
        self._offered = True
        self._probe = self._pool.allocate(PROBE_BYTES)
        if self._probe is not None:
            self._send(OfferSharedMemory(self._host, self._process, self._probe.segment))

    def on_segment_closed(self, token: int) -> None:
        """Tell the peer to unmap a segment that the pool has closed."""
        if self.accepted and not self._closed:
            self._send(RetireSegments([token]))

    # --- in ---------------------------------------------------------------------------------------------------

    def handle(self, message: OfferSharedMemory | AcceptSharedMemory | ReturnSegments | RetireSegments) -> None:
        """Handle what the peer says; raises ``WireError`` for what it may not say."""
        match message:
            case OfferSharedMemory(host, process, probe):
                if host == self._host and self._peer_process is None and _can_read(process, probe):
                    self._peer_process = process
                    self._send(AcceptSharedMemory())
            case AcceptSharedMemory():
                self.accepted = self._probe is not None
                if self._probe is not None:
                    self._pool.release(self._probe)
                    self._probe = None
            case ReturnSegments(tokens):
                for owned in filter(None, (self._in_use.pop(token, None) for token in tokens)):
                    self._pool.release(owned)
            case RetireSegments(tokens):
                for token in tokens:
                    self._mappings.pop(token, None)

    def map_segment(self, message: LendSegment) -> memoryview:
        """Return a view of the buffer that the peer has put into a segment; raises ``WireError``."""
        if self._peer_process is None:
            raise WireError("a segment came before the peer had offered shared memory")
        segment = message.segment
        mapping = self._mappings.get(segment.token)
        if mapping is None:
            if len(self._mappings) >= MAPPINGS_MAX:
                raise WireError(f"{MAPPINGS_MAX} segments of the peer are mapped already")
            mapping = self._mappings[segment.token] = SegmentMapping(self._peer_process, segment)
        if not 0 < message.buffer_bytes <= mapping.size_bytes:
            raise WireError(f"{message.buffer_bytes} bytes were named of a segment of {mapping.size_bytes}")
        return mapping.view(message.buffer_bytes, lambda: self._on_unmapped(segment.token))

    def _on_unmapped(self, token: int) -> None:
        """Note that no view of a mapped segment is left; any thread may call this."""
        self._dropped.append(token)
        if not self._armed and not self._loop.is_closed():
            self._armed = True
            with suppress(RuntimeError):  # the loop was closed in this moment
                self._loop.call_soon_threadsafe(self._return)

    def _return(self) -> None:
        self._armed = False
        tokens = [self._dropped.popleft() for _ in range(len(self._dropped))]
        if tokens and not self._closed:
            self._send(ReturnSegments(tokens))

    def close(self) -> None:
        """Close the segments and mappings of the peer, which is lost."""
        self._closed = True
        self._mappings.clear()
        for owned in (*self._in_use.values(), *(() if self._probe is None else (self._probe,))):
            self._pool.close(owned)
        self._in_use.clear()
        self._probe = None


def _can_read(process: int, probe: SegmentInfo) -> bool:
    try:
        SegmentMapping(process, probe)
    except WireError:
        return False
    return True
