"""``SharedMemory``: shared memory between this node and one peer, both ways.

The first message with a large buffer goes over the link, and an offer with it; when the peer could read the segment
that the offer names, later buffers are lent.  A borrowed segment is returned when no view of it is left.  A segment
that is lent while the link ends is closed: nobody knows who still looks at it, and for those the system keeps it.
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

Say = Callable[[Message[object]], None]


class SharedMemory:
    """See the top of the file.

    pool: where segments come from.  host, process: of this one.  say: tells the peer.
    """

    def __init__(self, pool: SegmentPool, host: str, process: int, say: Say, loop: asyncio.AbstractEventLoop) -> None:
        self._pool, self._host, self._process, self._say, self._loop = pool, host, process, say, loop
        self._offered = self._ended = False
        self.accepted = False
        self._probe: SharedSegment | None = None
        self._in_use: dict[int, SharedSegment] = {}
        self._mappings: dict[int, SegmentMapping] = {}
        self._peer_process: int | None = None
        self._dropped: deque[int] = deque()
        self._armed = False

    # --- lending -----------------------------------------------------------------------------------------------------

    def allocate_for(self, size_bytes: int) -> SharedSegment | None:
        """Return a segment to fill for the peer; None when the buffer has to go over the link."""
        if not self._offered:
            self._offer()
        owned = self._pool.borrow(size_bytes) if self.accepted and not self._ended else None
        if owned is not None:
            self._in_use[owned.segment.token] = owned
        return owned

    def cancel(self, owned: SharedSegment) -> None:
        """It was not lent after all."""
        if self._in_use.pop(owned.segment.token, None) is not None:
            self._pool.release(owned)

    def _offer(self) -> None:
        self._offered = True
        self._probe = self._pool.borrow(PROBE_BYTES)
        if self._probe is not None:
            self._say(OfferSharedMemory(self._host, self._process, self._probe.segment))

    def retired(self, token: int) -> None:
        """The pool has closed a segment."""
        if self.accepted and not self._ended:
            self._say(RetireSegments([token]))

    # --- borrowing ---------------------------------------------------------------------------------------------------

    def take(self, message: OfferSharedMemory | AcceptSharedMemory | ReturnSegments | RetireSegments) -> None:
        """Do what the peer says; raises ``WireError`` for what it may not say."""
        match message:
            case OfferSharedMemory(host, process, probe):
                if host == self._host and self._peer_process is None and _can_read(process, probe):
                    self._peer_process = process
                    self._say(AcceptSharedMemory())
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

    def borrow(self, message: LendSegment) -> memoryview:
        """Return the buffer that the peer lends; raises ``WireError``."""
        if self._peer_process is None:
            raise WireError("memory was lent that was not offered before")
        segment = message.segment
        mapping = self._mappings.get(segment.token)
        if mapping is None:
            if len(self._mappings) >= MAPPINGS_MAX:
                raise WireError(f"{MAPPINGS_MAX} segments are borrowed already")
            mapping = self._mappings[segment.token] = SegmentMapping(self._peer_process, segment)
        if not 0 < message.buffer_bytes <= mapping.size_bytes:
            raise WireError(f"{message.buffer_bytes} bytes were lent of a segment of {mapping.size_bytes}")
        return mapping.view(message.buffer_bytes, lambda: self._on_unmapped(segment.token))

    def _on_unmapped(self, token: int) -> None:
        """No view of a borrowed segment is left.  It may be any thread that finds out."""
        self._dropped.append(token)
        if not self._armed and not self._loop.is_closed():
            self._armed = True
            with suppress(RuntimeError):  # the loop was closed in this moment
                self._loop.call_soon_threadsafe(self._return)

    def _return(self) -> None:
        self._armed = False
        tokens = [self._dropped.popleft() for _ in range(len(self._dropped))]
        if tokens and not self._ended:
            self._say(ReturnSegments(tokens))

    def end(self) -> None:
        """The peer is lost."""
        self._ended = True
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
