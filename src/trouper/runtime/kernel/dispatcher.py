"""The dispatcher: one run queue of cells with mail, drained by one callback of the loop.

A *turn* is one call of that callback.

Laws of this file:
1. A cell is in the queue at most once, and only while it has mail or signals.
2. A turn ends when its time is up, so that timers and I/O never starve; the clock is read every few messages.
3. A cell handles at most ``run_length`` messages, then goes to the back of the queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, cast

from .ask import current_invocation
from .clock import Counter
from .handler_table import NOT_COUNTED, handle_on_slow_path

if TYPE_CHECKING:
    from .ask import Invocation
    from .cell import Cell
    from .mailbox import Mail

TURN_S = 0.0015
"""Seconds after which a turn ends."""
TURN_RUNS_MAX = 4_096
"""Runs of cells after which a turn ends."""
RUN_LENGTH = 16
INLINE_S = 0.002
"""Seconds for which asks may be answered inline until the loop has had an iteration."""
INLINE_ASKS_MAX = 32
"""Asks that may be answered inline until the clock is read."""
RENEWALS_MAX = 64
"""How often ``INLINE_ASKS_MAX`` is granted again until the loop has had an iteration."""
IDLE_QUEUES_MAX = 256
"""Empty queues that are kept for other cells."""


class Dispatcher:
    """Runs plain handlers, and leaves everything else to the cell.

    counter: seconds, to measure how long a turn has lasted.
    queue: the run queue; a simulation gives one that changes the order of runs.
    run_length: messages that a cell handles before the next cell runs.
    """

    __slots__ = (
        "_inline_allowed", "_inline_until", "_loop", "_renewals_left", "armed", "asker", "context", "counter",
        "entered", "idle_queues", "inline_ask", "inline_budget", "inline_timeout_s", "queue", "run_length", "running",
        "turn_callback", "turns",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        counter: Counter,
        queue: deque[Cell] | None = None,
        run_length: int = RUN_LENGTH,
    ) -> None:
        self._loop, self.counter = loop, counter
        self.turn_callback: Callable[[], None] = self.turn
        """Called by the loop when the queue has got its first cell; the watchdog puts its own function here."""
        self.queue: deque[Cell] = deque() if queue is None else queue
        self.run_length = run_length
        self.context = copy_context()
        """The context of handlers: without the context variables of the sender of the first message of a turn."""
        self.context.run(current_invocation.set, None)
        self.entered = False
        self.armed = False
        self.running: Cell | None = None
        """The actor whose plain handler is on the stack; None between handlers and in tasks."""
        self.inline_ask: object = None
        """The message of the ask that is being answered inline; when it is forwarded, an ``Ask`` takes its place."""
        self.inline_timeout_s: float | None = None
        """The time-out that the caller of that ask gave."""
        self.asker: Invocation | None = None
        """The handler that called that ask; None outside of async handlers."""
        self.inline_budget = 0
        """Asks that may still be answered inline before the clock is read."""
        self._renewals_left = 0
        """How often ``inline_budget`` is renewed before the loop must have an iteration.

        0: counting starts with the next ask.  -1: nothing is granted until the loop has had an iteration.
        """
        self._inline_until = 0.0
        self._inline_allowed = True
        self.idle_queues: list[Mail] = []
        """Empty queues to use again, so that a lone message costs no allocation."""
        self.turns = 0

    def schedule(self, cell: Cell) -> None:
        """Queue a cell that is not queued, and see that a turn comes."""
        cell.queued = True
        self.queue.append(cell)
        if not self.armed:
            self.arm()

    def arm(self) -> None:
        """Have the loop call ``turn_callback`` soon."""
        self.armed = True
        self._loop.call_soon(self.turn_callback, context=self.context)

    def renew_inline_budget(self) -> bool:
        """Allow more asks to be answered inline; False when the loop must have an iteration first."""
        now, renewals_left = self.counter(), self._renewals_left
        if not renewals_left:
            renewals_left, self._inline_until = RENEWALS_MAX, now + INLINE_S
        elif renewals_left <= 1 or now >= self._inline_until:
            # Whether the loop has had an iteration meanwhile is not known: asking it now costs less than counting each.
            if renewals_left > 0:
                self._renewals_left = -1
                self._loop.call_soon(self.reset_inline_budget)
            return False
        self._renewals_left = renewals_left - 1
        self.inline_budget = INLINE_ASKS_MAX
        return True

    def reset_inline_budget(self) -> None:
        """Called by the loop: asks may be answered inline for a while again."""
        self._renewals_left, self.inline_budget = 0 if self._inline_allowed else -1, 0

    def allow_inline(self, *, allowed: bool) -> None:
        """Allow asks to be answered inline, as at the start, or have all of them queued from now on."""
        self._inline_allowed = allowed
        self.reset_inline_budget()

    def put_back(self, mail: Mail) -> None:
        """Keep an empty queue for another cell, unless it is a user's own kind."""
        if isinstance(mail, deque) and len(self.idle_queues) < IDLE_QUEUES_MAX:
            self.idle_queues.append(cast("Mail", mail))

    def turn(self) -> None:
        """Run cells until none has mail or the time is up."""
        self.turns += 1
        queue, counter = self.queue, self.counter
        until = counter() + TURN_S
        unread = self.run_length
        self.entered = True
        try:
            for _ in range(TURN_RUNS_MAX):
                if not queue:
                    break
                cell = queue.popleft()
                cell.queued = False
                if cell.slow_path:
                    cell.process_signals()
                    unread -= 1
                else:
                    unread -= self._run(cell)
                if unread <= 0:
                    unread = self.run_length
                    if counter() >= until:
                        break
        finally:
            self.entered = False
            self.running = None
            self.armed = bool(queue)
            if queue:
                self._loop.call_soon(self.turn, context=self.context)

    def _run(self, cell: Cell) -> int:  # noqa: C901  the hot loop: a call for a part of it costs a tenth of a hop
        """Let a cell handle some of its mail; returns how many messages it took."""
        mail, actor, table = cell.mail, cell.actor, cell.table
        if mail is None:  # it has ended since it was queued
            return 1
        taken = len(mail)
        if taken > self.run_length:
            taken = self.run_length
        left = taken
        message: object = None
        self.running = cell
        try:
            while left:
                left -= 1
                message = mail.popleft()
                try:
                    handle = table[type(message)]
                except KeyError:
                    handle = handle_on_slow_path
                result = handle(actor, message)
                if result is not None:
                    if result is NOT_COUNTED:
                        cell.handled -= 1
                        if cell.task is not None:
                            break
                    elif hasattr(result, "__await__"):
                        cell.check_reply(message, result)
                if cell.slow_path:
                    break
        except BaseException as error:  # noqa: BLE001  whatever a handler raises is its actor's failure, not the loop's
            cell.handled -= 1
            cell.fail_plain(error, message)
        self.running = None
        cell.handled += taken - left
        if cell.task is None:
            # What `reschedule` does when only the mail matters; its two calls would cost as much as the handler's.
            if cell.slow_path or cell.capacity_waiter is not None or cell.mail is not mail:
                cell.reschedule()
            elif mail:
                cell.queued = True
                self.queue.append(cell)
            else:
                cell.mail = None
                if cell.high_water and len(self.idle_queues) < IDLE_QUEUES_MAX:
                    self.idle_queues.append(mail)
        return taken
