"""Tracing: the messages that one actor handles, with duration and outcome.

It uses the kernel's ``Observer`` port and costs nothing when it is not used.  A traced actor leaves the fast path: each
of its messages costs a few microseconds more.

Laws of this file:
1. Several observers of one actor are independent of one another.
2. Nothing is unbounded: a ``Trace`` ends after its number of messages, and counts what a slow reader has missed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, Self

import msgspec

from ..kernel.ask import content
from ..kernel.cell import Cell
from ..kernel.confined import confine
from ..kernel.errors import InvalidOption, Reject
from ..kernel.hooks import add_observer, remove_observer
from ..kernel.message import Message
from ..kernel.ref import ActorRef, Down, deliver
from .reports import bounded, bounded_repr, brief

TRACED_MAX = 100_000
"""Messages that one trace may have."""
UNREAD_MAX = 1_000
"""Messages that wait for the reader of a trace; more replace the oldest, which are counted."""
TEXT_CHARS_MAX = 500
"""Characters of a message or an error in a ``Traced``."""

Result = Literal["handled", "failed", "rejected", "cancelled"]


class Traced(Message[None]):
    """One message that an actor has handled.

    actor: the address, as text.  message_type, message: the name of its class, and its repr, bounded.
    outcome: how the handler ended.  error: in one line; None when there was none.
    began_s: the loop's time when the handler was called.  duration_s: seconds until it ended, awaits included.
    queued: messages in the mailbox when it ended.  missed: messages before this one that a slow reader has lost.
    """

    actor: str
    message_type: str
    message: str
    outcome: Result
    error: str | None
    began_s: float
    duration_s: float
    queued: int
    missed: int = 0


def is_virtual(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether a loop runs on virtual time."""
    return bool(getattr(loop, "virtual", False))


class MessageTracer:
    """An observer that makes a ``Traced`` of each message.  report: called with the cell and the ``Traced``.

    It measures with ``perf_counter``, since the cached time of some loops does not advance during a plain handler; on
    virtual time it uses the loop's time, in which a plain handler takes none.
    """

    def __init__(self, report: Callable[[Cell, Traced], None]) -> None:
        self._report = report
        self._begun: dict[int, tuple[object, float, float]] = {}

    def _clock_s(self, cell: Cell) -> float:
        loop = cell.system.loop
        return loop.time() if is_virtual(loop) else time.perf_counter()

    def on_begin(self, cell: Cell, item: object) -> None:
        """Note when the handler of a message begins."""
        message = content(item)
        if len(self._begun) >= UNREAD_MAX:  # a killed handler never reports its end
            del self._begun[next(iter(self._begun))]
        self._begun[id(message)] = (message, cell.system.loop.time(), self._clock_s(cell))

    def on_end(self, cell: Cell, item: object, error: BaseException | None) -> None:
        """Report a message; one whose handler had begun before the tracing is left out."""
        message = content(item)
        begun = self._begun.pop(id(message), None)
        if begun is None:
            return
        _, began_s, began_clock_s = begun
        traced = Traced(
            actor=str(cell.address),
            message_type=type(message).__qualname__,
            message=bounded(bounded_repr(message), TEXT_CHARS_MAX),
            outcome=_outcome(error),
            error=None if error is None else bounded(brief(error), TEXT_CHARS_MAX),
            began_s=began_s,
            duration_s=self._clock_s(cell) - began_clock_s,
            queued=len(cell.mail or ()),
        )
        self._report(cell, traced)


def _outcome(error: BaseException | None) -> Result:
    if error is None:
        return "handled"
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return "rejected" if isinstance(error, Reject) else "failed"


@confine("_cell.system")
class Trace:
    """The next messages of one actor, as an async iterator of ``Traced``; it ends after ``count``, or with the actor.

    Use it in an ``async with`` block, or call ``close``, to end it early.  Made by ``node.introspection.trace``.
    """

    def __init__(self, cell: Cell, count: int, to: ActorRef | None = None) -> None:
        if not 1 <= count <= TRACED_MAX:
            raise InvalidOption(f"a trace of {cell.address} for {count} messages: it must be 1 to {TRACED_MAX}")
        if to is not None and to == cell.ref:
            raise InvalidOption(f"{cell.address} cannot be sent its own trace: these messages would be traced too")
        self._cell, self._left, self._to = cell, count, to
        self._tracer = MessageTracer(self._take)
        self._unread: deque[Traced] = deque()
        self._missed = 0
        self._waiting: asyncio.Future[None] | None = None
        self._closed = False
        cell.add_watcher(self)
        if not self._closed:
            add_observer(cell, self._tracer)

    def close(self) -> None:
        """Stop tracing; messages traced before can still be read."""
        if not self._closed:
            self._closed = True
            remove_observer(self._cell, self._tracer)
            self._cell.remove_watcher(self)
            self._wake()

    def on_down(self, down: Down) -> None:  # noqa: ARG002  the reason does not matter
        """Stop tracing when the actor has ended."""
        self.close()

    def _take(self, _: Cell, traced: Traced) -> None:
        self._left -= 1
        if self._to is not None:
            deliver(self._to, traced)
        else:
            self._keep(traced)
        if self._left == 0:
            self.close()

    def _keep(self, traced: Traced) -> None:
        if len(self._unread) >= UNREAD_MAX:
            self._unread.popleft()
            self._missed += 1
        self._unread.append(traced)
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Traced:
        while not self._unread:
            if self._closed:
                raise StopAsyncIteration
            self._waiting = self._cell.system.loop.create_future()
            await self._waiting
        traced, missed = self._unread.popleft(), self._missed
        self._missed = 0
        return msgspec.structs.replace(traced, missed=missed) if missed else traced
