"""Timers of an actor: messages that it sends itself, once or periodically, each timer under a key.

A timer ends with the instance that set it.  The message of a timer that was cancelled or set again is not handled, even
when it is in the mailbox already.  Times are the loop's, so they follow virtual time.  Each operation costs O(1): a
periodic timer knows by ``queued`` whether its last message still waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from ..kernel.ask import FromSelf
from ..kernel.cell import Cell
from ..kernel.confined import confine
from ..kernel.errors import ActorStopped, InvalidOption
from ..kernel.message import Message


class _Tick(FromSelf):
    """The message of a timer in the mailbox; it is skipped when the timer has been cancelled meanwhile."""

    __slots__ = ("headers", "message", "timer")

    def __init__(self, message: Message[object], timer: _Timer) -> None:
        self.message, self.headers = message, timer.headers
        self.timer = timer

    def take(self) -> bool:
        """Return False when the timer has been cancelled; a timer that fires once ends with this."""
        return self.timer.take()

    def on_lost(self) -> None:
        """The mailbox dropped it, so the timer's next message may be queued."""
        self.timer.queued = False


class _Timer:
    """One timer.  period_s: None for one that fires once.  queued: its message waits in the mailbox."""

    __slots__ = ("cancelled", "handle", "headers", "key", "message", "owner", "period_s", "queued")

    def __init__(
        self,
        owner: Timers,
        key: Hashable,
        message: Message[object],
        period_s: float | None,
        headers: dict[str, bytes] | None = None,
    ) -> None:
        self.owner, self.key = owner, key
        self.message, self.headers = message, headers
        self.period_s = period_s
        self.cancelled = self.queued = False
        self.handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        self.cancelled = True
        if self.handle is not None:
            self.handle.cancel()

    def take(self) -> bool:
        self.queued = False
        if self.period_s is None:
            self.owner.forget(self)
        return not self.cancelled


@confine("_cell.system")
class Timers:
    """The timers of one instance; use ``Actor.timers``."""

    retained = 0
    """Messages that a resource keeps outside of the mailbox: timers keep none."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._timers: dict[Hashable, _Timer] = {}
        self._released = False
        cell.register_resource(self)

    def once(self, key: Hashable, delay_s: float, message: Message[object]) -> None:
        """Send this actor ``message`` once, after ``delay_s`` seconds; replaces any timer with this key.

        In a handler the message gets the headers that follow from the message being handled.
        delay_s: 0 or more, else ``InvalidOption`` is raised.  Raises ``ActorStopped`` after the instance's end.
        """
        if not delay_s >= 0:
            raise InvalidOption(f"timer {key!r} of {self._cell.address}: delay_s={delay_s} must be 0 or more")
        outgoing = self._cell.system.outgoing
        headers = outgoing.following_here() if outgoing.follows else None
        self._set(key, delay_s, _Timer(self, key, message, None, headers))

    def every(self, key: Hashable, period_s: float, message: Message[object]) -> None:
        """Send this actor ``message`` every ``period_s`` seconds, first after one; replaces any timer with this key.

        While the message of one period still waits in the mailbox, the next ones are left out.
        period_s: above 0, else ``InvalidOption`` is raised.  Raises ``ActorStopped`` after the instance's end.
        """
        if not period_s > 0:
            raise InvalidOption(f"timer {key!r} of {self._cell.address}: period_s={period_s} must be above 0")
        self._set(key, period_s, _Timer(self, key, message, period_s))

    def cancel(self, key: Hashable) -> bool:
        """Cancel the timer with this key, also when its message is in the mailbox already; False when there is none."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def is_active(self, key: Hashable) -> bool:
        """Return whether a timer with this key is set, or its message is still to be handled."""
        return key in self._timers

    def forget(self, timer: _Timer) -> None:
        """Remove a timer that has fired once, unless its key has been set again."""
        if self._timers.get(timer.key) is timer:
            del self._timers[timer.key]

    def release(self, cell: Cell, *, restarting: bool) -> None:  # noqa: ARG002  the same for every end
        """Cancel all timers when the instance ends."""
        self._released = True
        for key in list(self._timers):
            self.cancel(key)

    def _set(self, key: Hashable, delay_s: float, timer: _Timer) -> None:
        if self._released:
            raise ActorStopped(f"{self._cell.address}: this instance has ended and cannot set timers")
        self.cancel(key)
        self._timers[key] = timer
        loop = self._cell.system.loop
        timer.handle = loop.call_at(loop.time() + delay_s, self._fire, key, timer, loop.time() + delay_s)

    def _fire(self, key: Hashable, timer: _Timer, due: float) -> None:
        if not timer.queued:
            timer.queued = True  # before it is accepted: a full mailbox drops it at once
            self._cell.accept(_Tick(timer.message, timer))
        if timer.period_s is None:
            return
        loop = self._cell.system.loop
        due = max(due + timer.period_s, loop.time())
        timer.handle = loop.call_at(due, self._fire, key, timer, due)
