"""Asks: a message that is owed a reply, and the graph of who waits for whom.

An ``Ask`` is at once the item in the mailbox and the future that the asker awaits, so an ask costs one object.  It ends
once: with a reply, an error, at its deadline, or cancelled; what comes later is dropped and counted.  Whether the asks
of an actor close a ring (law 6) is decided here too, from what each busy actor waits for.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, Protocol, TypeGuard, TypeVar, cast

from .errors import AskTimeout, DeadlockError, InvalidOption

if TYPE_CHECKING:
    from .bare_actor import BareActor
    from .cell import Cell
    from .message import Message

R = TypeVar("R")


class Wait(Protocol):
    """An edge of the wait-for graph: somebody waits until ``target`` gets on."""

    target: Cell


class Envelope:
    """What may stand in a mailbox around a message.  A bare message needs none, and so pays nothing for it."""

    __slots__ = ()

    if TYPE_CHECKING:  # the kinds of it have the slots
        message: Message[object]

    def take(self) -> bool:
        """Called when its turn has come; False says that nobody wants the message handled any more."""
        raise NotImplementedError  # each kind of envelope has its own reason

    def on_lost(self) -> None:
        """Called when it becomes a dead letter; the default does nothing."""


class Invocation:
    """One handler at work: the actor, the item it handles, and what the handler is waiting for just now.

    task: the task that it runs in; None for a plain handler.  begun: the task has taken its first step; before that
    it must not be cancelled, or it could not clean up.  excuse: why the runtime cancelled the handler; None when it
    did not.  owes: the handler's return value is the reply; False once the item was passed on or put away.
    over: the item is counted, whatever the handler still does.  since: the loop's time when an async handler began.
    """

    __slots__ = ("actor", "begun", "cancel_reason", "cell", "finished", "item", "reply_owed", "since", "task", "waits")

    def __init__(self, cell: Cell, item: object) -> None:
        self.cell = cell
        self.actor: BareActor | None = cell.actor
        self.item = item
        self.task: asyncio.Task[None] | None = None
        self.begun = self.finished = False
        self.cancel_reason: str | None = None
        self.reply_owed = True
        self.since = 0.0
        self.waits: set[Wait] | None = None

    def wait(self, wait: Wait) -> None:
        """The handler waits for something."""
        if self.waits is None:
            self.waits = set()
        self.waits.add(wait)

    def end_wait(self, wait: Wait) -> None:
        """The handler does not wait for it, or no longer."""
        if self.waits is not None:
            self.waits.discard(wait)

    def cancel(self, cancel_reason: str) -> None:
        """Cancel the handler, at its first step when it has not begun; the excuse says that it is no failure."""
        self.cancel_reason = cancel_reason
        if self.begun and self.task is not None:
            self.task.cancel()


current_invocation: ContextVar[Invocation | None] = ContextVar("trouper_turn", default=None)


class Ask(asyncio.Future[R], Envelope, Generic[R]):
    """A message that is owed a reply.  Await it, or gather many; cancelling it cancels the handler that works on it.

    owner: the actor that asks, whose end cancels the ask; None outside of actors.  asker: the handler that waits.
    """

    __slots__ = ("asker", "deadline", "message", "owner", "target", "timeout_s")

    def __init__(
        self, message: Message[R], target: Cell, timeout_s: float, owner: Cell | None, asker: Invocation | None
    ) -> None:
        system = target.system
        super().__init__(loop=system.loop)
        self.message, self.target, self.timeout_s = message, target, timeout_s
        self.deadline = system.loop.time() + timeout_s
        self.owner, self.asker = owner, asker
        if owner is not None:
            owner.asks = {} if owner.asks is None else owner.asks
            owner.asks[cast("Ask[object]", self)] = None
        if asker is not None:
            asker.wait(self)
        system.deadlines.enter(timeout_s, self)

    def take(self) -> bool:
        """Say whether the asker still waits."""
        return not self.done()

    def answer(self, reply: object) -> None:
        """End with a reply; one that comes too late is counted and dropped."""
        if self.done():
            self.target.system.late_replies += 1
        else:
            self._leave()
            self.set_result(reply)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  it was checked

    def refuse(self, error: BaseException) -> None:
        """End with an error, raised at the asker.  What a future cannot carry is wrapped."""
        if self.done():
            self.target.system.late_replies += 1
        else:
            self._leave()
            self.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)

    def cancel(self, msg: object | None = None) -> bool:
        """Give up: the handler that works on it is cancelled, or it is passed over when its turn comes."""
        cancelled = super().cancel(msg)
        if cancelled:
            self._leave()
            self.target.abandon(self)
        return cancelled

    def expire(self) -> None:
        """The deadline has come: the asker gets ``AskTimeout`` and the handler is cancelled."""
        if not self.done():
            self._leave()
            self.set_exception(
                AskTimeout(
                    f"{self.target.address} did not answer {type(self.message).__qualname__} within "
                    f"{self.timeout_s:g} s ({self.target.describe()}); its handler may have run"
                )
            )
            self.target.abandon(self)

    def let_go(self) -> None:
        """Take this ask out of the graph: its asker's handler does not wait for it."""
        if self.asker is not None:
            self.asker.end_wait(self)
            self.asker = None

    def _leave(self) -> None:
        self.let_go()
        if self.owner is not None and self.owner.asks is not None:
            self.owner.asks.pop(cast("Ask[object]", self), None)
        self.target.system.deadlines.leave(self.timeout_s, self)


def is_ask(item: object) -> TypeGuard[Ask[object]]:
    """Say whether a mailbox item is owed a reply."""
    return isinstance(item, Ask)


def content(item: object) -> object:
    """Return the message inside a mailbox item."""
    return item.message if isinstance(item, Envelope) else item


def open_ask(message: Message[R], target: Cell, timeout_s: float | None, invocation: Invocation | None) -> Ask[R]:
    """Make an ask on behalf of a handler: its deadline is inherited, and it must not close a ring.

    timeout_s: seconds; None takes the node's.  turn: of the handler that asks; None outside of actors.
    Raises ``DeadlockError`` and ``InvalidOption``.
    """
    system = target.system
    timeout = system.ask_timeout_s if timeout_s is None else timeout_s
    if not timeout >= 0:
        raise InvalidOption(f"ask of {target.address} with timeout_s={timeout}: it must be 0 or more")
    if invocation is None or invocation.finished:
        return system.make_ask(message, target, timeout, None if invocation is None else invocation.cell, None)
    if is_ask(invocation.item):
        timeout = max(0.0, min(timeout, invocation.item.deadline - system.loop.time()))
    if invocation.task is None:  # a plain handler waits for nothing
        return system.make_ask(message, target, timeout, invocation.cell, None)
    if not target.admits_reentry(type(message)):
        check_cycle(invocation, target)
    return system.make_ask(message, target, timeout, invocation.cell, invocation)


def check_cycle(asker: Invocation, target: Cell) -> None:
    """Raise ``DeadlockError`` when the handler at work in ``target`` waits, directly or through others, for ``asker``.

    A search of the graph of handlers, depth first; it costs nothing while the target waits for nobody.
    """
    came_from: dict[Invocation, Invocation | None] = {} if target.invocation is None else {target.invocation: None}
    front = list(came_from)
    while front:
        invocation = front.pop()
        if invocation is asker:
            raise DeadlockError(_ring(asker, came_from))
        for wait in invocation.waits or ():
            blocker = _blocker(wait)
            if blocker is not None and blocker not in came_from:
                came_from[blocker] = invocation
                front.append(blocker)


def _blocker(wait: Wait) -> Invocation | None:
    """Return the handler that must end before the wait can: the one that works on the ask, or is in its way."""
    for aside in wait.target.reentrant_invocations or ():
        if aside.item is wait:
            return aside
    return wait.target.invocation


def _ring(asker: Invocation, came_from: dict[Invocation, Invocation | None]) -> tuple[str, ...]:
    back = [asker]
    while (before := came_from[back[-1]]) is not None:
        back.append(before)
    return (str(asker.cell.address), *(str(invocation.cell.address) for invocation in reversed(back)))
