"""Timers of an actor: a message to oneself, once or again and again, under a key.

A timer dies with the instance that set it, and a message of a timer that was cancelled or set anew is never handled,
even when it is in the mailbox already.  Times are the loop's, so they obey virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from ..kernel.ask import Envelope
from ..kernel.cell import Cell
from ..kernel.errors import ActorStopped, InvalidOption
from ..kernel.message import Message


class _Tick(Envelope):
    """A timer's message in the mailbox; it counts for nothing once its timer has been cancelled."""

    __slots__ = ("message", "timer")

    def __init__(self, message: Message[object], timer: _Timer) -> None:
        self.message = message
        self.timer = timer

    def take(self) -> bool:
        """Say whether the timer was not cancelled; one that fires once is over with this."""
        return self.timer.take()


class _Timer:
    """One timer, running or with its message in the mailbox; ``period_s`` is None for one that fires once."""

    __slots__ = ("cancelled", "handle", "key", "message", "owner", "period_s")

    def __init__(self, owner: Timers, key: Hashable, message: Message[object], period_s: float | None) -> None:
        self.owner, self.key = owner, key
        self.message = message
        self.period_s = period_s
        self.cancelled = False
        self.handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        self.cancelled = True
        if self.handle is not None:
            self.handle.cancel()

    def take(self) -> bool:
        if self.period_s is None:
            self.owner.forget(self)
        return not self.cancelled


class Timers:
    """The timers of one instance; use ``Actor.timers``."""

    retained = 0
    """A timer keeps no message from the mailbox."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._timers: dict[Hashable, _Timer] = {}
        self._released = False
        cell.register_resource(self)

    def once(self, key: Hashable, delay_s: float, message: Message[object]) -> None:
        """Tell oneself ``message`` after ``delay_s`` seconds (0 or more), in place of any timer with this key."""
        if not delay_s >= 0:
            raise InvalidOption(f"timer {key!r} of {self._cell.address}: delay_s={delay_s} must be 0 or more")
        self._set(key, delay_s, _Timer(self, key, message, None))

    def every(self, key: Hashable, period_s: float, message: Message[object]) -> None:
        """Tell oneself ``message`` every ``period_s`` seconds (above 0), first after one period.

        While the message of one period still waits, the next one is left out, so a slow actor is not buried in ticks.
        """
        if not period_s > 0:
            raise InvalidOption(f"timer {key!r} of {self._cell.address}: period_s={period_s} must be above 0")
        self._set(key, period_s, _Timer(self, key, message, period_s))

    def cancel(self, key: Hashable) -> bool:
        """Cancel a timer, also when its message waits in the mailbox already; False when there was none."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def is_active(self, key: Hashable) -> bool:
        """Say whether a message of a timer with this key is still to be handled."""
        return key in self._timers

    def forget(self, timer: _Timer) -> None:
        """A timer that fires once has done so."""
        if self._timers.get(timer.key) is timer:
            del self._timers[timer.key]

    def release(self, cell: Cell, *, restarting: bool) -> None:  # noqa: ARG002  the same for every end
        """Cancel all: the instance ends."""
        self._released = True
        for key in list(self._timers):
            self.cancel(key)

    def _set(self, key: Hashable, delay_s: float, timer: _Timer) -> None:
        if self._released:
            raise ActorStopped(f"{self._cell.address}: this instance has ended and sets no more timers")
        self.cancel(key)
        self._timers[key] = timer
        loop = self._cell.system.loop
        timer.handle = loop.call_at(loop.time() + delay_s, self._fire, key, timer, loop.time() + delay_s)

    def _fire(self, key: Hashable, timer: _Timer, due: float) -> None:
        tick = _Tick(timer.message, timer)
        if timer.period_s is None:
            self._cell.accept(tick)
            return
        waits = any(isinstance(item, _Tick) and item.timer is timer for item in self._cell.mail or ())
        if not waits:
            self._cell.accept(tick)
        loop = self._cell.system.loop
        due = max(due + timer.period_s, loop.time())
        timer.handle = loop.call_at(due, self._fire, key, timer, due)
