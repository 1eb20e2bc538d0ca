"""Refs: where to send messages; the only thing that one actor holds of another.

Refs to one actor are equal and hash alike, on every node; the actor is identified by its node, the generation of that
node, and its uid.  A ref stays valid over restarts; after the actor has ended, ``tell`` makes a dead letter and ``ask``
fails with ``ActorStopped``.

``tell`` and ``ask`` are the hot paths of the project; ``docs/internals/performance.md`` says what each line costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator, Iterator
from typing import TYPE_CHECKING, NoReturn, TypeVar

from .ask import Invocation, ToldWithHeaders, current_invocation, open_ask
from .deadlock import check_cycle
from .errors import MailboxFull
from .handler_table import handle_on_slow_path
from .headers import Headers, checked_headers
from .message import Message

if TYPE_CHECKING:
    from .address import Address
    from .blocking import BlockingRef
    from .cell import Cell

R = TypeVar("R")


class _Done:
    """An awaitable whose result, None, is there already."""

    __slots__ = ()

    def __await__(self) -> Iterator[None]:
        return _EXHAUSTED


_EXHAUSTED: Iterator[None] = iter(())
DONE: Awaitable[None] = _Done()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  any iterator will do


_BLOCKING_ASK = "use ref.blocking.ask(message), which waits"


class ActorRef:
    """A reference to an actor: ``tell``, ``ask``, ``stop``, ``drain``, ``kill``, ``watch``."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def tell(self, message: Message[object]) -> Awaitable[None]:
        """Send a message without a reply.  Never blocks; the message is queued when it returns.

        Awaiting the result waits while the mailbox is at or above its high-water mark; it need not be awaited.
        Raises ``MailboxFull`` at the hard limit, only where the mailbox's policy is ``raise_full``.

        Any thread may call it.  In a thread other than the loop's the message is on its way when it returns; it is
        queued in the order of that thread's calls; and ``MailboxFull`` is raised when 100,000 of them are on their way,
        ``NodeClosed`` when the node has shut down.
        """
        cell = self._cell
        if not cell.thread._is_owned():  # noqa: SLF001  see `HeldLock`
            return _tell_from_thread(cell, self, message)
        cell.received += 1
        mail = cell.mail
        if mail is None:
            dispatcher = cell.system.dispatcher
            if cell.phase != "live" or not (dispatcher.armed and dispatcher.idle_queues and cell.high_water):
                return cell.wake(message)
            # As `wake` does when a turn is due and an empty queue is at hand; a call would cost a fifth of the tell.
            mail = cell.mail = dispatcher.idle_queues.pop()
            mail.append(message)
            cell.queued = True
            dispatcher.queue.append(cell)
            return DONE
        if len(mail) >= cell.high_water:
            return cell.enqueue_slowly(message)
        mail.append(message)
        return DONE

    def ask(self, message: Message[R], timeout_s: float | None = None) -> asyncio.Future[R]:
        """Send a message, and return a future of the reply.  It is queued when this returns: asks can be gathered.

        timeout_s: seconds until ``AskTimeout``; None takes the node's ``ask_timeout_s``.  In a handler that answers an
        ask itself, the deadline is not later than that ask's.  Cancelling the future, and the time-out, cancel the
        handler.  The future raises what the handler raised, ``ActorStopped`` when the actor has ended, ``Reject`` for a
        business "no".  The call itself raises ``DeadlockError``, ``InvalidOption`` for a negative time-out, and
        ``WrongThread`` in a thread other than the loop's: ``ref.blocking.ask(message)`` waits there.
        """
        cell = self._cell
        system = cell.system
        if not cell.thread._is_owned():  # noqa: SLF001  see `HeldLock`
            system.check_thread("ask", cell, instead=_BLOCKING_ASK)
        dispatcher = system.dispatcher
        if (
            cell.mail is None
            and dispatcher.running is None
            and (dispatcher.inline_budget > 0 or dispatcher.renew_inline_budget())
        ):
            call = cell.table.get(type(message))
            if call is not None and call is not handle_on_slow_path and (timeout_s is None or timeout_s >= 0):
                return cell.answer_inline(call, message, timeout_s)
        running = dispatcher.running
        invocation = current_invocation.get() if running is None else (running.invocation or Invocation(running, None))
        ask = open_ask(message, cell, timeout_s, invocation)
        cell.accept(ask)
        return ask

    def with_headers(self, headers: Headers) -> RefWithHeaders:
        """Return a way to this actor whose messages have these headers, besides those that follow in a handler.

        headers: names, each declared with ``trouper.lowlevel.declare_header``, and values; at most 16 headers of 4,096
        bytes in all.  They are copied.  Raises ``InvalidOption`` for others.
        """
        return RefWithHeaders(self, checked_headers(headers))

    @property
    def blocking(self) -> BlockingRef:
        """The calls of this actor that wait, for threads other than the loop's: ``ref.blocking.ask(message)``."""
        from .blocking import BlockingRef  # noqa: PLC0415  ``blocking.py`` imports this file

        return BlockingRef(self)

    def stop(self) -> Awaitable[None]:
        """Stop the actor after the current message; queued ones become dead letters.  Awaiting waits for the end."""
        self._check_thread("stop")
        self._cell.request_stop()
        return _End(self._cell)

    def drain(self) -> Awaitable[None]:
        """Stop the actor after the messages that are queued now.  Awaiting waits for the end."""
        self._check_thread("drain")
        self._cell.request_drain()
        return _End(self._cell)

    def kill(self) -> Awaitable[None]:
        """End the actor at once, cancelling its handler, without ``on_stop``.  Awaiting waits for the end."""
        self._check_thread("kill")
        self._cell.request_kill()
        return _End(self._cell)

    async def wait_stopped(self) -> str:
        """Wait until the actor has ended, and return why: ``stopped``, ``killed``, ``failed`` or ``node_lost``."""
        self._check_thread("wait_stopped")
        await _End(self._cell)
        return self._cell.reason

    def watch(self, watcher: ActorRef) -> None:
        """Send ``watcher`` a ``Down`` once, when this actor ends; at once when it has ended already."""
        self._check_thread("watch")
        self._cell.add_watcher(watcher._cell)

    def unwatch(self, watcher: ActorRef) -> None:
        """Undo ``watch``; a ``Down`` that ``watcher`` has not handled yet is removed."""
        self._check_thread("unwatch")
        self._cell.remove_watcher(watcher._cell)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._cell.name

    @property
    def address(self) -> Address:
        """Where the actor is."""
        return self._cell.address

    def _check_thread(self, call: str) -> None:
        self._cell.system.check_thread(call, self._cell)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ActorRef):
            return NotImplemented
        mine, its = self._cell, other._cell
        return mine is its or (mine.uid == its.uid and mine.node_id == its.node_id)

    def __hash__(self) -> int:
        cell = self._cell
        return cell.uid ^ cell.node_hash

    def _copied(self, item: object) -> object:
        """Return the item that the mailbox gets of one that was not sent by ``tell`` or ``ask``; a subclass copies it.

        An ask that cannot be copied is refused.
        """
        return item

    def __repr__(self) -> str:
        return f"<{self.address}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled: send it in a field of a Message instead")


class RefWithHeaders:
    """Sends messages to one actor with headers; made by ``ActorRef.with_headers``."""

    __slots__ = ("_headers", "_ref")

    def __init__(self, ref: ActorRef, headers: dict[str, bytes]) -> None:
        self._ref, self._headers = ref, headers

    def tell(self, message: Message[object]) -> Awaitable[None]:
        """Send a message without a reply, as ``ActorRef.tell`` does.

        Raises ``InvalidOption`` when these headers and those that follow are too many together.
        """
        cell = self._ref._cell  # noqa: SLF001  the kernel's own
        if not cell.system.is_loop_thread():
            return _tell_from_thread(cell, self, message)
        headers = self._all_headers()
        if not headers:
            return self._ref.tell(message)
        return tell_with_headers(self._ref, message, headers)

    def ask(self, message: Message[R], timeout_s: float | None = None) -> asyncio.Future[R]:
        """Send a message, and return a future of the reply, as ``ActorRef.ask`` does.

        Raises ``InvalidOption`` when these headers and those that follow are too many together.
        """
        self._ref._cell.system.check_thread("ask with headers", instead=_BLOCKING_ASK)  # noqa: SLF001  the kernel's own
        headers = self._all_headers()
        if not headers:
            return self._ref.ask(message, timeout_s)
        return ask_with_headers(self._ref, message, timeout_s, headers)

    def _all_headers(self) -> dict[str, bytes]:
        outgoing = self._ref._cell.system.outgoing  # noqa: SLF001  the kernel's own
        inherited = outgoing.following_here() if outgoing.follows else None
        return checked_headers({**inherited, **self._headers}) if inherited else self._headers


def tell_with_headers(ref: ActorRef, message: Message[object], headers: dict[str, bytes]) -> Awaitable[None]:
    """Tell an actor a message with exactly these headers, which must not be changed afterwards."""
    cell = ref._cell  # noqa: SLF001  the kernel's own
    cell.system.outgoing.begin_to_follow(headers)
    item = ref._copied(ToldWithHeaders(message, headers))  # noqa: SLF001  the kernel's own
    return ActorRef.tell(ref, item)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  a queue takes any


def ask_with_headers(
    ref: ActorRef, message: Message[R], timeout_s: float | None, headers: dict[str, bytes]
) -> asyncio.Future[R]:
    """Ask an actor a message with exactly these headers, which must not be changed afterwards."""
    cell = ref._cell  # noqa: SLF001  the kernel's own
    cell.system.outgoing.begin_to_follow(headers)
    running = cell.system.dispatcher.running
    invocation = current_invocation.get() if running is None else (running.invocation or Invocation(running, None))
    ask = open_ask(message, cell, timeout_s, invocation)
    ask.headers = headers
    item = ref._copied(ask)  # noqa: SLF001  the kernel's own
    if not ask.done():
        cell.accept(item)
    return ask


def _tell_from_thread(cell: Cell, ref: ActorRef | RefWithHeaders, message: Message[object]) -> Awaitable[None]:
    from .blocking import tell_from_thread  # noqa: PLC0415  ``blocking.py`` imports this file

    return tell_from_thread(cell, ref, message)


class _End:
    """Awaits the end of an actor; raises ``DeadlockError`` in a handler that the actor itself waits for."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def __await__(self) -> Generator[object, None, None]:
        invocation = current_invocation.get()
        if invocation is not None and not invocation.finished and invocation.task is not None:
            check_cycle(invocation, self._cell)
        yield from asyncio.shield(self._cell.end_future()).__await__()


def deliver(ref: ActorRef, message: Message[object], headers: dict[str, bytes] | None = None) -> None:
    """Tell on behalf of the runtime: where the mailbox raises ``MailboxFull``, the message becomes a dead letter.

    headers: of a message that is passed on; None gives it those that follow.
    It is for notices such as listings, group changes and events, whose cause must not suffer from a receiver that is
    full.
    """
    try:
        if headers is None:
            ref.tell(message)
        else:
            tell_with_headers(ref, message, headers)
    except MailboxFull:
        cell = ref._cell  # noqa: SLF001  the kernel's own
        cell.received += 1  # the mailbox took its count back before it raised; a dead letter has to have been sent
        cell.lose(message, "mailbox_full")


class Down(Message[None]):
    """An actor that was watched has ended.

    reason: ``stopped``, ``killed``, ``failed``, ``node_lost``, or ``no_such_actor`` when it had ended before the watch.
    error: the failure as text, bounded in size; None when there was none.
    """

    ref: ActorRef
    reason: str
    error: str | None = None


class DeadLetter(Message[None], local=True):
    """A message that no handler took, with the reason.

    reason: ``unhandled``, ``failed`` (its handler raised), ``rejected``, ``stopped``, ``killed``, ``no_such_actor``,
        ``mailbox_full``, ``stash_full``, ``coalesced``, ``expired`` (its asker had given up), ``cancelled``,
        ``refused`` (by the actor's admission hook, which may give reasons of its own too); between nodes
        ``unsendable`` (it could not be encoded or was too large), ``decode_error`` (the receiving node could not read
        it), ``node_lost`` (the node was lost before it confirmed the message), ``outcome_unknown`` (the node was lost
        after it had taken the message; one letter stands for all that were told, and ``counts`` has their number),
        ``not_permitted`` (the sender's node lacks the role), ``over_limit``
        (what peers may cost the receiving node is used up).
    error: the error as text, bounded in size; None when there was none.
    asked: the message was asked, and its asker was told; False for a message that was sent by ``tell``.
    headers: of the message, not to be changed; None when it had none.
    """

    message: Message[object]
    target: ActorRef
    reason: str
    error: str | None = None
    asked: bool = False
    headers: dict[str, bytes] | None = None
