"""The schedule of a simulation: which actor runs next, drawn from a seed, and the trace of what ran.

The kernel's ``Dispatcher`` stays as it is.  It gets a queue that hands out any runnable cell, as the seed says, runs of
one message, a counter that ends turns at random, and queues of mail that report what is taken out of them.

Law of this file: the order of messages within one mailbox is never touched, so law 2 (order) holds in every schedule.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import cast

from ..runtime.kernel.ask import content, current_invocation
from ..runtime.kernel.cell import Cell
from ..runtime.kernel.dispatcher import TURN_S, Dispatcher
from ..runtime.kernel.mailbox import Mail
from .virtual_time import VirtualLoop

TAIL_MAX = 40
"""Events at the end of a trace that are kept as text."""
_REDRAW = 0.02
"""The chance, per run, that the priorities of the actors change, where a schedule has priorities."""


class EventTrace:
    """The events of a run: a running hash, the last ones as text, and all cells that they are about.

    several: whether there are several nodes; then each path begins with the name of its node.
    """

    def __init__(self, loop: VirtualLoop, *, several: bool = False) -> None:
        self._loop, self._several = loop, several
        self._hash = hashlib.blake2b(digest_size=16)
        self._tail: deque[str] = deque(maxlen=TAIL_MAX)
        self._paths: dict[Cell, str] = {}
        self.events = 0

    @property
    def cells(self) -> Iterable[Cell]:
        """All cells that have events, in the order of the first ones."""
        return self._paths

    def add(self, cell: Cell, what: str) -> None:
        """Add an event of a cell: the virtual time, its path, and what happened, usually a type of message."""
        path = self._paths.get(cell)
        if path is None:
            address = cell.address
            path = f"{address.path}#{address.uid}"
            self._paths[cell] = path = f"{address.node}/{path}" if self._several else path
        self.note(f"{path} {what}")

    def note(self, what: str) -> None:
        """Add an event that is of no cell."""
        line = f"{self._loop.time()!r} {what}"
        self.events += 1
        self._tail.append(line)
        self._hash.update(line.encode())

    @property
    def digest(self) -> str:
        """The hash of all events so far, in hexadecimal: equal for equal runs, in every process."""
        return self._hash.copy().hexdigest()

    @property
    def tail(self) -> tuple[str, ...]:
        """The last events."""
        return tuple(self._tail)


class SeededQueue(deque[Cell]):
    """A run queue that hands out any of its cells.

    How it chooses is drawn once: any, the oldest, the newest, or by priorities that change now and then, so that some
    actors starve for a while.
    """

    def __init__(self, chance: random.Random, trace: EventTrace, loop: VirtualLoop) -> None:
        super().__init__()
        self._chance, self._trace, self._loop = chance, trace, loop
        self._priorities: dict[int, float] = {}
        self._choose = chance.choice([self._evenly, self._evenly, self._oldest, self._newest, self._by_priority])
        self.last: Cell | None = None
        """The cell that was handed out last."""

    def popleft(self) -> Cell:
        """Take the next cell to run; a run counts as a step of the loop."""
        self._loop.steps += 1
        place = self._choose() if len(self) > 1 else 0
        self.rotate(-place)
        self.last = cell = super().popleft()
        self.rotate(place)
        self._trace.add(cell, "runs")
        return cell

    def _evenly(self) -> int:
        return self._chance.randrange(len(self))

    def _oldest(self) -> int:
        return 0

    def _newest(self) -> int:
        return len(self) - 1

    def _by_priority(self) -> int:
        if self._chance.random() < _REDRAW:
            self._priorities.clear()
        priorities = [self._priorities.setdefault(cell.uid, self._chance.random()) for cell in self]
        return priorities.index(max(priorities))


class TracedMail(deque[object]):
    """A mailbox's queue that reports what is taken out of it."""

    def __init__(self, took: Callable[[object], None]) -> None:
        super().__init__()
        self._took = took

    def popleft(self) -> object:
        """Take the first item, and report it."""
        item = super().popleft()
        self._took(item)
        return item


class _MailSource(list[Mail]):
    """Replaces the dispatcher's list of empty queues: it is never empty, and keeps none."""

    def __init__(self, took: Callable[[object], None]) -> None:
        super().__init__()
        self._took = took

    def pop(self, _: object = -1) -> Mail:
        return cast("Mail", TracedMail(self._took))

    def append(self, _: object) -> None:
        """Drop the queue."""

    def __bool__(self) -> bool:
        return True


class SeededDispatcher(Dispatcher):
    """A dispatcher whose choices come from a seed.  steps: the loop that counts its runs; None is its own."""

    __slots__ = ("_chance", "_inline_ask", "_inline_chance", "_now", "_runs", "_stop_chance", "_trace")

    def __init__(self, loop: VirtualLoop, seed: int | str, trace: EventTrace, steps: VirtualLoop | None = None) -> None:
        self._inline_ask: object = None
        self._chance = chance = random.Random(f"{seed}/schedule")
        self._inline_chance, self._stop_chance = chance.choice([0.0, 0.5, 1.0]), chance.choice([0.0, 0.1, 0.5])
        self._now = 0.0
        self._trace = trace
        self._runs = SeededQueue(chance, trace, steps or loop)
        super().__init__(loop, self._count, queue=self._runs, run_length=1)
        self.idle_queues = _MailSource(self._took)

    def renew_inline_budget(self) -> bool:
        """Draw whether the next ask of an idle actor is answered inline, if the runtime allows it."""
        if self._chance.random() >= self._inline_chance or not super().renew_inline_budget():
            return False
        if asyncio.get_running_loop() is not self._loop:  # the asker is outside of this node, and not on its stack
            return False
        self.inline_budget = 1
        return True

    @property
    def inline_ask(self) -> object:
        """The message that is being answered inline."""
        return self._inline_ask

    @inline_ask.setter
    def inline_ask(self, message: object) -> None:
        if self._inline_ask is None and message is not None and self.running is not None:
            self._trace.add(self.running, f"inline {type(content(message)).__qualname__}")
        self._inline_ask = message

    def _count(self) -> float:
        """Return the time of a clock that jumps past the limit of a turn at random."""
        if self._chance.random() < self._stop_chance:
            self._now += 2 * TURN_S
        return self._now

    def _took(self, item: object) -> None:
        cell = self.running
        if cell is None and asyncio.current_task() is not None:
            invocation = current_invocation.get()
            cell = None if invocation is None else invocation.cell
        cell = cell or self._runs.last
        if cell is not None:
            self._trace.add(cell, type(content(item)).__qualname__)
