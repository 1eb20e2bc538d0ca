"""The system: the actors of one loop, their root, and what all of them share.

``trouper.Node`` wraps it and is what users see.  The system spawns, counts, takes dead letters and shuts down; it has
no network, no files, and reads no clock but the loop's.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import Protocol

from .actor import BareActor
from .address import checked_name
from .cell import Cell
from .clock import Deadlines
from .dispatcher import Dispatcher
from .errors import NameTaken, NodeClosed
from .lifecycle import kill, start
from .ref import ActorRef
from .supervision import ChildSpec


class Reporter(Protocol):
    """Where the kernel says what went wrong; it writes no logs by itself."""

    def problem(self, text: str, error: BaseException | None = None) -> None:
        """Something went wrong, and is dealt with."""

    def crash(self, cell: Cell, error: BaseException, message: object) -> None:
        """An actor failed, handling ``message``; None when it was in none of its handlers."""

    def letter(self, message: object, target: ActorRef, reason: str, error: BaseException | None) -> None:
        """A message became a dead letter."""

    def brief(self, error: BaseException) -> str:
        """One line for a failure, bounded in size."""
        ...


class Guardian(BareActor):
    """The root and its two children, ``/system`` and ``/user``: supervisors without handlers."""


class Spawned:
    """Awaits a start, and gives the ref.  Giving up the wait kills the actor that is still starting."""

    __slots__ = ("_cell", "error", "future")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.error: BaseException | None = None
        self.future: asyncio.Future[None] | None = None

    def settle(self, error: BaseException | None) -> None:
        """Tell that the start has ended, well (None) or not."""
        self.error = error
        if self.future is not None and not self.future.done():
            if error is None:
                self.future.set_result(None)
            else:
                self.future.set_exception(error)

    def __await__(self) -> Generator[object, None, ActorRef]:
        if self.future is not None:
            try:
                yield from self.future.__await__()
            except asyncio.CancelledError:
                kill(self._cell)
                raise
        return self._cell.ref


class System:
    """The runtime of one loop.

    seed: of the only source of chance in the kernel.  dispatcher: another one makes a simulation.
    ask_timeout_s: the deadline of an ask that names none.  guardian: the class of ``/user``, with its strategy.
    reporter: where it says what went wrong.  instance_ended: decides what becomes of an actor whose instance has failed
    (with the error) or has left (None).  escalated: called with the error when a failure has reached the root.
    """

    def __init__(
        self,
        name: str,
        dispatcher: Dispatcher,
        *,
        seed: int | None = None,
        ask_timeout_s: float = 5.0,
        guardian: type[BareActor] = Guardian,
        reporter: Reporter,
        instance_ended: Callable[[Cell, BaseException | None], None],
        escalated: Callable[[BaseException], None],
    ) -> None:
        self.name = checked_name(name)
        self.loop = asyncio.get_running_loop()
        self.dispatcher = dispatcher
        self.deadlines = Deadlines(self.loop)
        self.ask_timeout_s = ask_timeout_s
        self.random: Callable[[], float] = random.Random(seed).random
        self.next_uid: Callable[[], int] = itertools.count(1).__next__
        self.reporter = reporter
        self.instance_ended, self.escalated = instance_ended, escalated
        self.host: object = None
        """The node around this system, for ``Actor.node``."""
        self.on_life: tuple[Callable[[Cell, str], None], ...] = ()
        """Who is called with ``started``, ``restarted`` or ``ended``."""
        self.late_replies = 0
        self.dead_letters: Counter[str] = Counter()
        self.closing = False
        self.received_by_gone = self.handled_by_gone = 0
        self.root = Cell(self, None, "", ChildSpec(Guardian, shutdown_s=None), ())
        start(self.root, None)
        self.system = self.spawn(self.root, ChildSpec(Guardian, shutdown_s=None), (), "system")
        self.user = self.spawn(self.root, ChildSpec(guardian, shutdown_s=None), (), "user")

    def spawn(self, parent: Cell, spec: ChildSpec, args: tuple[object, ...], name: str | None) -> Cell:
        """Start a child and leave a failure of its start to the parent's supervision."""
        cell = self._child(parent, spec, args, name)
        start(cell, None)
        return cell

    def spawn_awaited(self, parent: Cell, spec: ChildSpec, args: tuple[object, ...], name: str | None) -> Spawned:
        """Start a child whose failure to start is the spawner's: raised here, or where the result is awaited."""
        cell = self._child(parent, spec, args, name)
        spawned = Spawned(cell)
        start(cell, spawned)
        if spawned.error is not None:
            raise spawned.error
        if cell.phase == "starting":
            spawned.future = self.loop.create_future()
        return spawned

    def _child(self, parent: Cell, spec: ChildSpec, args: tuple[object, ...], name: str | None) -> Cell:
        if self.closing or parent.phase in ("stopping", "gone"):
            raise NodeClosed(
                f"{parent.address} takes no new actors: it is {'closing' if self.closing else parent.phase}"
            )
        if parent.children is None:
            parent.children = {}
        if name is not None and checked_name(name) in parent.children:
            raise NameTaken(
                f"{parent.address} has a child {name!r} already: choose another name, or stop that one first"
            )
        cell = Cell(self, parent, name, spec, args)
        parent.children[cell.name] = cell
        return cell

    def dead_letter(self, message: object, target: ActorRef, reason: str, error: BaseException | None) -> None:
        """Count a message that no handler took, and report it."""
        self.dead_letters[reason] += 1
        self.reporter.letter(message, target, reason, error)

    def count_gone(self, received: int, handled: int) -> None:
        """Keep the counters of a cell that has ended, or of a message to one."""
        self.received_by_gone += received
        self.handled_by_gone += handled

    def cells(self) -> Iterator[Cell]:
        """Go through all living cells, parents before children."""
        front = [self.root]
        while front:
            cell = front.pop()
            yield cell
            front.extend((cell.children or {}).values())
