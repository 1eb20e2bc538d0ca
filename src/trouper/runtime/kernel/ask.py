"""Asks: a message whose sender waits for a reply.

An ``Ask`` is at once the item in the mailbox and the future that the asker awaits, so an ask costs one object.  It ends
once: with a reply, with an error, at its deadline, or by cancellation; a later reply is counted and dropped.
``deadlock.py`` has the wait-for graph (law 6).
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, TypeGuard, TypeVar, cast

from .deadlock import Wait, begin_wait, check_cycle, end_wait
from .errors import AskTimeout, InvalidOption

if TYPE_CHECKING:
    from .bare_actor import BareActor
    from .cell import Cell
    from .message import Message

R = TypeVar("R")


class Envelope:
    """Base of what may stand in a mailbox around a message; a message that was told without headers has none.

    headers: of the message, never changed; None when it has none.
    from_self: the actor has sent it to itself, by ``pipe_to_self``, a timer or its stash: no overload policy drops it.
    """

    __slots__ = ()
    headers: dict[str, bytes] | None = None
    from_self: bool = False

    if TYPE_CHECKING:  # the subclasses have the slots
        message: Message[object]

    def take(self) -> bool:
        """Called when the item is about to be handled; False when its sender no longer wants that."""
        raise NotImplementedError  # each subclass has its own reason

    def on_lost(self) -> None:
        """Called when it becomes a dead letter; the default does nothing."""


class ToldWithHeaders(Envelope):
    """A message that was told, and its headers."""

    __slots__ = ("headers", "message")

    def __init__(self, message: Message[object], headers: dict[str, bytes]) -> None:
        self.message, self.headers = message, headers

    def take(self) -> bool:
        """Return True: a sender cannot take back what it has told."""
        return True


class FromSelf(Envelope):
    """A message that an actor has sent to itself, and its headers."""

    __slots__ = ("headers", "message")
    from_self = True

    def __init__(self, message: Message[object], headers: dict[str, bytes] | None = None) -> None:
        self.message, self.headers = message, headers

    def take(self) -> bool:
        """Return True: the actor handles all that it has sent to itself."""
        return True


class Invocation:
    """One call of a handler: the actor, the item that it handles, and what it waits for.

    task: the task that it runs in; None for a plain handler.
    begun: the task has taken its first step; before that it must not be cancelled, or it could not clean up.
    cancel_reason: the reason of the dead letter when the runtime cancelled the handler; None when it did not.
    reply_owed: the return value is the reply; False once the item was forwarded or stashed.
    finished: the item is counted, whatever the handler still does.
    since: the loop's time, in seconds, when an async handler was started.
    waits: what the handler waits for now.  answers: the ask that a reentrant handler works on; None for other handlers.
    """

    __slots__ = (
        "actor", "answers", "begun", "cancel_reason", "cell", "finished", "item", "reply_owed", "since", "task",
        "waits",
    )  # fmt: skip

    def __init__(self, cell: Cell, item: object) -> None:
        self.cell = cell
        self.actor: BareActor | None = cell.actor
        self.item = item
        self.task: asyncio.Task[None] | None = None
        self.begun = self.finished = False
        self.cancel_reason: str | None = None
        self.reply_owed = True
        self.since = 0.0
        self.waits: dict[Wait, None] | None = None
        self.answers: Wait | None = None

    def cancel(self, reason: str) -> None:
        """Cancel the handler, at its first step when it has not begun; with a reason it is no failure of the actor."""
        self.cancel_reason = reason
        if self.begun and self.task is not None:
            self.task.cancel()


current_invocation: ContextVar[Invocation | None] = ContextVar("trouper_invocation", default=None)
"""The async handler that the running task belongs to; None outside of handlers."""


class Ask(asyncio.Future[R], Envelope, Generic[R]):
    """A message that is owed a reply, and the future of that reply; cancelling it cancels the handler that works on it.

    timeout_s: seconds until ``AskTimeout``.
    owner: the actor that asks, whose end cancels the ask; None outside of actors.
    asker: the handler that waits for the reply; None when no handler waits.
    deadline: the deadline of the ask that the asker answers, when that comes first; None counts from now.
    handler: the reentrant handler that works on it; None while there is none.
    """

    __slots__ = (
        "asker", "deadline", "from_self", "handler", "headers", "line", "message", "owner", "target", "timeout_s",
    )  # fmt: skip

    def __init__(
        self,
        message: Message[R],
        target: Cell,
        timeout_s: float,
        owner: Cell | None,
        asker: Invocation | None,
        deadline: float | None = None,
    ) -> None:
        system = target.system
        super().__init__(loop=system.loop)
        self.message, self.target, self.timeout_s = message, target, timeout_s
        self.owner, self.asker = owner, asker
        self.handler: Invocation | None = None
        self.headers: dict[str, bytes] | None = None
        self.from_self = False
        if owner is not None:
            owner.asks = {} if owner.asks is None else owner.asks
            owner.asks[cast("Ask[object]", self)] = None
        if asker is not None:
            begin_wait(asker, self)
        if deadline is None:
            self.deadline = system.loop.time() + timeout_s
            self.line = system.deadlines.add(timeout_s, self)
        else:
            self.deadline = deadline
            self.line = system.deadlines.add_inherited(timeout_s, self)

    def take(self) -> bool:
        """Return whether the asker still waits."""
        return not self.done()

    def answer(self, reply: object) -> None:
        """End with a reply; one that comes too late is counted and dropped."""
        if self.done():
            self.target.system.late_replies += 1
        else:
            self._end()
            self.set_result(reply)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  it was checked

    def refuse(self, error: BaseException) -> None:
        """End with an error, which is raised at the asker.  A ``StopIteration`` is wrapped: no future can carry it."""
        if self.done():
            self.target.system.late_replies += 1
        else:
            self._end()
            self.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)

    def cancel(self, msg: object | None = None) -> bool:
        """Give up.  The handler that works on it is cancelled; if it is queued, it becomes a dead letter later."""
        cancelled = super().cancel(msg)
        if cancelled:
            self._end()
            self.target.abandon(self)
        return cancelled

    def expire(self) -> None:
        """Called at the deadline: the asker gets ``AskTimeout``, and the handler is cancelled."""
        if not self.done():
            self._end()
            self.set_exception(
                AskTimeout(
                    f"{self.target.address} did not answer {type(self.message).__qualname__} within "
                    f"{self.timeout_s:g} s ({self.target.describe()}); its handler may have run"
                )
            )
            self.target.abandon(self)

    def redirect(self, target: Cell) -> None:
        """Have another actor answer it.  The caller puts it into that actor's mailbox."""
        asker = self.asker
        if asker is not None:
            end_wait(asker, self)
        self.target, self.handler, self.from_self = target, None, False
        if asker is not None and not asker.finished:
            begin_wait(asker, self)

    def detach_asker(self) -> None:
        """Remove this ask from the wait-for graph: the handler that made it does not wait for it."""
        if self.asker is not None:
            end_wait(self.asker, self)
            self.asker = None

    def _end(self) -> None:
        self.detach_asker()
        if self.owner is not None and self.owner.asks is not None:
            self.owner.asks.pop(cast("Ask[object]", self), None)
        self.line.pop(self, None)


def is_ask(item: object) -> TypeGuard[Ask[object]]:
    """Return whether a mailbox item is owed a reply."""
    return isinstance(item, Ask)


def is_from_self(item: object) -> bool:
    """Return whether an actor has sent the mailbox item to itself."""
    return isinstance(item, Envelope) and item.from_self


def content(item: object) -> object:
    """Return the message inside a mailbox item."""
    return item.message if isinstance(item, Envelope) else item


def open_ask(message: Message[R], target: Cell, timeout_s: float | None, invocation: Invocation | None) -> Ask[R]:
    """Make an ask on behalf of a handler; the deadline of the ask that the handler answers is inherited.

    timeout_s: seconds; None takes the node's ``ask_timeout_s``.  invocation: of the handler that asks; None outside of
    actors.  Raises ``DeadlockError`` when the ask would close a cycle, ``InvalidOption`` for a negative time-out.
    """
    system = target.system
    timeout = system.ask_timeout_s if timeout_s is None else timeout_s
    if not timeout >= 0:
        raise InvalidOption(f"ask of {target.address} with timeout_s={timeout}: it must be 0 or more")
    if invocation is None or invocation.finished:
        return system.make_ask(message, target, timeout, None if invocation is None else invocation.cell, None)
    asker: Invocation | None = None
    if invocation.task is not None:  # a plain handler waits for nothing
        asker = invocation
        if not target.admits_reentry(type(message)):
            check_cycle(invocation, target)
    if is_ask(invocation.item):
        deadline = invocation.item.deadline
        left_s = deadline - system.loop.time()
        if left_s < timeout:
            return system.make_ask(message, target, max(0.0, left_s), invocation.cell, asker, deadline)
    return system.make_ask(message, target, timeout, invocation.cell, asker)
