"""``Sharing``: shared memory between this node and one peer, both ways.

The first message with a large buffer goes over the link, and an offer with it; when the peer could read the segment
that the offer names, later buffers are lent.  A borrowed segment is returned when no view of it is left.  A segment
that is lent while the link ends is closed: nobody knows who still looks at it, and for those the system keeps it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from ..kernel.errors import WireError
from ..kernel.messages import Message
from .control import Lend, Retire, Return, Segment, ShareAccept, ShareOffer
from .segments import Borrowed, Lent, Pool

PROBE_BYTES = 4_096
BORROWED_MAX = 1_024
"""Segments of one peer that are mapped here at most."""

Say = Callable[[Message[object]], None]


class Sharing:
    """See the top of the file.

    pool: where segments come from.  host, process: of this one.  say: tells the peer.
    """

    def __init__(self, pool: Pool, host: str, process: int, say: Say, loop: asyncio.AbstractEventLoop) -> None:
        self._pool, self._host, self._process, self._say, self._loop = pool, host, process, say, loop
        self._offered = self._ended = False
        self.accepted = False
        self._probe: Lent | None = None
        self._lent: dict[int, Lent] = {}
        self._borrowed: dict[int, Borrowed] = {}
        self._peer_process: int | None = None
        self._dropped: deque[int] = deque()
        self._armed = False

    # --- lending -----------------------------------------------------------------------------------------------------

    def borrow_for(self, size_bytes: int) -> Lent | None:
        """Return a segment to fill for the peer; None when the buffer has to go over the link."""
        if not self._offered:
            self._offer()
        lent = self._pool.borrow(size_bytes) if self.accepted and not self._ended else None
        if lent is not None:
            self._lent[lent.segment.token] = lent
        return lent

    def take_back(self, lent: Lent) -> None:
        """It was not lent after all."""
        if self._lent.pop(lent.segment.token, None) is not None:
            self._pool.give_back(lent)

    def _offer(self) -> None:
        self._offered = True
        self._probe = self._pool.borrow(PROBE_BYTES)
        if self._probe is not None:
            self._say(ShareOffer(self._host, self._process, self._probe.segment))

    def retired(self, token: int) -> None:
        """The pool has closed a segment."""
        if self.accepted and not self._ended:
            self._say(Retire([token]))

    # --- borrowing ---------------------------------------------------------------------------------------------------

    def take(self, message: ShareOffer | ShareAccept | Return | Retire) -> None:
        """Do what the peer says; raises ``WireError`` for what it may not say."""
        match message:
            case ShareOffer(host, process, probe):
                if host == self._host and self._peer_process is None and _can_read(process, probe):
                    self._peer_process = process
                    self._say(ShareAccept())
            case ShareAccept():
                self.accepted = self._probe is not None
                if self._probe is not None:
                    self._pool.give_back(self._probe)
                    self._probe = None
            case Return(tokens):
                for lent in filter(None, (self._lent.pop(token, None) for token in tokens)):
                    self._pool.give_back(lent)
            case Retire(tokens):
                for token in tokens:
                    self._borrowed.pop(token, None)

    def borrow(self, lend: Lend) -> memoryview:
        """Return the buffer that the peer lends; raises ``WireError``."""
        if self._peer_process is None:
            raise WireError("memory was lent that was not offered before")
        segment = lend.segment
        borrowed = self._borrowed.get(segment.token)
        if borrowed is None:
            if len(self._borrowed) >= BORROWED_MAX:
                raise WireError(f"{BORROWED_MAX} segments are borrowed already")
            borrowed = self._borrowed[segment.token] = Borrowed(self._peer_process, segment)
        if not 0 < lend.buffer_bytes <= borrowed.size_bytes:
            raise WireError(f"{lend.buffer_bytes} bytes were lent of a segment of {borrowed.size_bytes}")
        return borrowed.view(lend.buffer_bytes, lambda: self._drop(segment.token))

    def _drop(self, token: int) -> None:
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
            self._say(Return(tokens))

    def end(self) -> None:
        """The peer is lost."""
        self._ended = True
        self._borrowed.clear()
        for lent in (*self._lent.values(), *(() if self._probe is None else (self._probe,))):
            self._pool.close(lent)
        self._lent.clear()
        self._probe = None


def _can_read(process: int, probe: Segment) -> bool:
    try:
        Borrowed(process, probe)
    except WireError:
        return False
    return True
