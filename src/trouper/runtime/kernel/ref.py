"""Refs: where to send messages; the only thing that one actor holds of another.

Refs to one actor are equal and hash alike, on every node; the actor is identified by its node, the generation of that
node, and its uid.  A ref stays valid over restarts; after the actor has ended, ``tell`` makes a dead letter and ``ask``
fails with ``ActorStopped``.

``tell`` and ``ask`` are the hot paths of the project; ``docs/internals/performance.md`` says what each line costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator, Iterator
from threading import get_ident
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
        system = cell.system
        if get_ident() != system.thread:
            return _tell_from_thread(cell, self, message)
        cell.received += 1
        mail = cell.mail
        if mail is None:
            dispatcher = system.dispatcher
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
        if get_ident() != system.thread:
            system.check_thread("ask", cell.address, instead=_BLOCKING_ASK)
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

def _tell_from_thread(cell: Cell, ref: ActorRef | RefWithHeaders, message: Message[object]) -> Awaitable[None]:
    from .blocking import tell_from_thread  # noqa: PLC0415  ``blocking.py`` imports this file

    return tell_from_thread(cell, ref, message)
