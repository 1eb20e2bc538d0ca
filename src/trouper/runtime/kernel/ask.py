"""Asks: a message that is owed a reply, and the graph of who waits for whom.

An ``Ask`` is at once the item in the mailbox and the future that the asker awaits, so an ask costs one object.  It ends
once: with a reply, an error, at its deadline, or cancelled; what comes later is dropped and counted.  Whether the asks
of an actor close a ring (law 6) is decided here too, from what each busy actor waits for.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, Protocol, TypeGuard, TypeVar

from .errors import AskTimeout, DeadlockError, InvalidOption

if TYPE_CHECKING:
    from .cell import Cell
    from .messages import Message

R = TypeVar("R")


class Wait(Protocol):
    """An edge of the wait-for graph: somebody waits until ``target`` gets on."""

    target: Cell


class Envelope:
    """What may stand in a mailbox around a message.  A bare message needs none, and so pays nothing for it."""

    __slots__ = ()

    message: Message[object]

    def done(self) -> bool:
        """Say whether nobody wants the message handled any more."""
        raise NotImplementedError  # each kind of envelope has its own reason


class Turn:
    """One handler at work: the actor's cell, the item it handles, and what the handler is waiting for just now.

    excuse: why the runtime cancelled the handler; None when it did not.  lost: the item was made a dead letter.
    owes: the handler's return value is the reply; False once the item was passed on or put away.
    since: when the handler began, in seconds of the loop's time.
    """

    __slots__ = ("cell", "excuse", "item", "lost", "owes", "since", "waits")

    def __init__(self, cell: Cell, item: object) -> None:
        self.cell = cell
        self.item = item
        self.excuse: str | None = None
        self.lost = False
        self.owes = True
        self.since = cell.system.loop.time()
        self.waits: set[Wait] = set()


current_turn: ContextVar[Turn | None] = ContextVar("trouper_turn", default=None)


class Ask(asyncio.Future[R], Envelope, Generic[R]):
    """A message that is owed a reply.  Await it, or gather many; cancelling it cancels the handler that works on it."""

    __slots__ = ("asker", "deadline", "message", "target", "timeout_s")

    def __init__(self, message: Message[R], target: Cell, timeout_s: float, asker: Turn | None) -> None:
        system = target.system
        super().__init__(loop=system.loop)
        self.message = message
        self.target = target
        self.timeout_s = timeout_s
        self.deadline = system.loop.time() + timeout_s
        self.asker = asker
        if asker is not None:
            asker.waits.add(self)
        system.deadlines.enter(timeout_s, self)

    def answer(self, reply: R) -> None:
        """End with a reply; one that comes too late is counted and dropped."""
        if self._end():
            self.set_result(reply)

    def refuse(self, error: BaseException) -> None:
        """End with an error, raised at the asker.  What a future cannot carry is wrapped."""
        if self._end():
            self.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)

    def cancel(self, msg: object | None = None) -> bool:
        """Give up: the handler that works on it is cancelled, or it is passed over when its turn comes."""
        cancelled = super().cancel(msg)
        if cancelled:
            self.let_go()
            self.target.system.deadlines.leave(self.timeout_s, self)
            self.target.abandon(self)
        return cancelled

    def expire(self) -> None:
        """The deadline has come: the asker gets ``AskTimeout`` and the handler is cancelled."""
        if not self.done():
            self.let_go()
            self.set_exception(
                AskTimeout(
                    f"{self.target.address} did not answer {type(self.message).__qualname__} within "
                    f"{self.timeout_s:g} s ({self.target.describe()}); its handler may have run"
                )
            )
            self.target.abandon(self)

    def let_go(self) -> None:
        """Take this ask out of the graph: its asker's handler does not, or no longer, wait for it."""
        if self.asker is not None:
            self.asker.waits.discard(self)
            self.asker = None

    def _end(self) -> bool:
        if self.done():
            self.target.system.late_replies += 1
            return False
        self.let_go()
        self.target.system.deadlines.leave(self.timeout_s, self)
        return True


def open_ask(message: Message[R], target: Cell, timeout_s: float | None) -> Ask[R]:
    """Make an ask on behalf of whoever is at work here: its deadline is inherited, and it must not close a ring.

    timeout_s: seconds; None takes the node's.  Raises ``DeadlockError`` and ``InvalidOption``.
    """
    system = target.system
    running = system.dispatcher.running
    turn = current_turn.get() if running is None or system.dispatcher.asked is not None else running.turn
    timeout = system.ask_timeout_s if timeout_s is None else timeout_s
    if timeout < 0:
        raise InvalidOption(f"ask of {target.address} with timeout_s={timeout}: it must be 0 or more")
    if turn is None:
        return Ask(message, target, timeout, None)
    if is_ask(turn.item):
        timeout = max(0.0, min(timeout, turn.item.deadline - system.loop.time()))
    waits = turn.cell.turn is turn and turn.cell is not running
    if waits and not target.admits_reentry(type(message)):
        check_cycle(turn.cell, target)
    return Ask(message, target, timeout, turn if waits else None)


def is_ask(item: object) -> TypeGuard[Ask[object]]:
    """Say whether a mailbox item is owed a reply."""
    return isinstance(item, Ask)


def content(item: object) -> object:
    """Return the message inside a mailbox item."""
    return item.message if isinstance(item, Envelope) else item


def check_cycle(asker: Cell, target: Cell) -> None:
    """Raise ``DeadlockError`` when ``target`` waits, directly or through others, for ``asker``.

    A search of the graph, breadth first; it costs nothing while the target waits for nobody.
    """
    came_from: dict[Cell, Cell] = {}
    front = [target]
    while front:
        cell = front.pop()
        if cell is asker:
            raise DeadlockError(_ring(asker, target, came_from))
        for wait in cell.turn.waits if cell.turn is not None else ():
            if wait.target not in came_from and wait.target is not target:
                came_from[wait.target] = cell
                front.append(wait.target)


def _ring(asker: Cell, target: Cell, came_from: dict[Cell, Cell]) -> tuple[str, ...]:
    back = [asker]
    while back[-1] is not target:
        back.append(came_from[back[-1]])
    return (str(asker.address), *(str(cell.address) for cell in reversed(back)))
