"""Refs in other threads: ``tell`` hands the message to the loop's thread, ``ref.blocking`` waits for what comes back.

A function that was offloaded by a handler works for it: its blocking asks have the handler's deadline, and take part in
the search for cycles of waiting actors (law 6).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from contextvars import Context, copy_context
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, TypeVar

from .ask import current_invocation
from .errors import ActorStopped, AskTimeout, InvalidOption, MailboxFull, TrouperError, WrongThread
from .ref import DONE
from .thread_inbox import thread_name

if TYPE_CHECKING:
    from .cell import Cell
    from .message import Message
    from .ref import ActorRef, RefWithHeaders
    from .system import System

R = TypeVar("R")
GRACE_S = 1.0
"""Seconds beyond its time-out that a thread waits for the loop, which has the answer or the ``AskTimeout``."""


class BlockingRef:
    """What a thread other than the loop's can do with an actor, and wait for; it is ``ref.blocking``.

    Every method raises ``WrongThread`` in the loop's own thread, which must not wait, and ``NodeClosed`` once the node
    has shut down.
    """

    __slots__ = ("_ref",)

    def __init__(self, ref: ActorRef) -> None:
        self._ref = ref

    def ask(self, message: Message[R], timeout_s: float | None = None) -> R:
        """Send a message, wait for the reply and return it.

        timeout_s: seconds until ``AskTimeout``; None takes the node's ``ask_timeout_s``.  It counts from when the loop
        takes the message; when the loop does not run, ``AskTimeout`` is raised a second later.
        Raises what the handler raised, ``ActorStopped``, ``Reject``, ``DeadlockError``, as ``ref.ask`` does, and
        ``InvalidOption`` for a negative time-out.
        """
        system = self._enter("ask")
        limit_s = system.ask_timeout_s if timeout_s is None else timeout_s
        if not limit_s >= 0:
            raise InvalidOption(f"ask of {self._ref.address} with timeout_s={limit_s}: it must be 0 or more")
        waiting = _Waiting[R](f"{type(message).__qualname__} to {self._ref.address}")
        context = copy_context()
        system.thread_inbox.put(lambda: waiting.begin(lambda: context.run(self._ref.ask, message, limit_s)))
        return waiting.wait(system, limit_s + GRACE_S)

    def tell(self, message: Message[object], timeout_s: float | None = None) -> None:
        """Send a message, and wait while the actor's mailbox is at or above its high-water mark.

        timeout_s: seconds to wait, then ``AskTimeout`` is raised; None waits without a limit.  The message was sent in
        either case.  Raises ``MailboxFull`` at the hard limit of a mailbox whose policy is ``raise_full``.
        """
        system = self._enter("tell")
        if timeout_s is not None and not timeout_s >= 0:
            raise InvalidOption(f"tell to {self._ref.address} with timeout_s={timeout_s}: it must be 0 or more")
        waiting = _Waiting[None](f"{type(message).__qualname__} to {self._ref.address}")

        def send() -> None:
            try:
                pending = self._ref.tell(message)
            except TrouperError as error:
                if not waiting.fail(error):
                    _lose(self._ref._cell, message, error)  # noqa: SLF001  a ref is the kernel's own
            else:
                waiting.begin(lambda: _as_future(system, pending))

        context = copy_context()
        system.thread_inbox.put(lambda: context.run(send))
        waiting.wait(system, math.inf if timeout_s is None else timeout_s)

    def stop(self, timeout_s: float | None = None) -> str:
        """Stop the actor after the current message, wait for its end, and return the reason, such as ``stopped``.

        timeout_s: seconds to wait, then ``AskTimeout`` is raised and the actor goes on ending; None has no limit.
        """
        system = self._enter("stop")
        waiting = _Waiting[str](f"the end of {self._ref.address}")

        def begin() -> asyncio.Future[str]:
            self._ref.stop()
            return system.loop.create_task(self._ref.wait_stopped())

        system.thread_inbox.put(lambda: waiting.begin(begin))
        return waiting.wait(system, math.inf if timeout_s is None else timeout_s)

    def _enter(self, call: str) -> System:
        system = self._ref._cell.system  # noqa: SLF001  a ref is the kernel's own
        if system.is_loop_thread():
            raise WrongThread(
                f"ref.blocking.{call} of {self._ref.address} in thread {thread_name()}, which runs the loop of node "
                f"{system.name} and must not wait: use `await ref.{call}(...)` there"
            )
        return system

    def __repr__(self) -> str:
        return f"<blocking {self._ref!r}>"


class _Waiting(Future[R]):
    """What a thread waits for; ``begin`` is called in the loop's thread.  what: for errors."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what
        self._begun: asyncio.Future[R] | None = None
        self._given_up = False

    def fail(self, error: BaseException) -> bool:
        """Raise an error in the thread; False when that no longer waits."""
        if not self._given_up:
            self.set_exception(error)
        return not self._given_up

    def begin(self, start: Callable[[], asyncio.Future[R]]) -> None:
        """Start what the thread waits for, unless it no longer waits; from now on the thread cannot cancel this."""
        if self._given_up or not self.set_running_or_notify_cancel():
            return
        try:
            self._begun = start()
        except BaseException as error:  # noqa: BLE001  whatever it is, it is raised in the thread
            self.set_exception(error)
            return
        if self._begun.done():
            self._end(self._begun)
        else:
            self._begun.add_done_callback(self._end)

    def _end(self, done: asyncio.Future[R]) -> None:
        if done.cancelled():
            self.set_exception(ActorStopped(f"{self._what}: the actor for which this thread works has ended"))
            return
        error = done.exception()
        if error is None:
            self.set_result(done.result())
        else:
            self.set_exception(error)

    def wait(self, system: System, limit_s: float) -> R:
        """Wait, at most ``limit_s`` seconds; when the wait ends without a result, the loop's side is cancelled."""
        try:
            return self.result(None if limit_s > TIMEOUT_MAX else limit_s)
        except BaseException as error:
            if self.done() and isinstance(error, TimeoutError):
                return self.result()  # it came a moment later, or is an AskTimeout itself
            if self.done():
                raise
            self._given_up = True
            put_or_drop(system, self._cancel)
            if isinstance(error, TimeoutError):
                raise AskTimeout(
                    f"{self._what}: node {system.name} has not answered within {limit_s:g} s; does its loop run?"
                ) from None
            raise

    def _cancel(self) -> None:
        if self._begun is not None:
            self._begun.cancel()


def tell_from_thread(cell: Cell, ref: ActorRef | RefWithHeaders, message: Message[object]) -> Awaitable[None]:
    """Tell in a thread that does not run the loop: the loop's thread does it, in the order of this thread's calls.

    A message that the mailbox refuses by raising becomes a dead letter, since the call has returned by then.
    """
    system = cell.system
    if system.is_loop_thread():  # the loop is run by another thread than before
        cell.thread = system.thread
        return ref.tell(message)
    handed_over = _HandedOver(cell, ref, message)
    if current_invocation.get() is None:
        system.thread_inbox.put(handed_over.deliver)
    else:  # the thread works for a handler: the headers that follow from it are in the context
        context = copy_context()
        system.thread_inbox.put(lambda: context.run(handed_over.deliver))
    return handed_over


class _HandedOver:
    """A message on its way to the loop's thread; awaiting it, in any loop, waits for capacity in the mailbox."""

    __slots__ = ("_cell", "_message", "_ref", "_waiting")

    def __init__(self, cell: Cell, ref: ActorRef | RefWithHeaders, message: Message[object]) -> None:
        self._cell, self._ref, self._message = cell, ref, message
        self._waiting: Awaitable[None] = DONE

    def deliver(self) -> None:
        try:
            self._waiting = self._ref.tell(self._message)
        except TrouperError as error:
            _lose(self._cell, self._message, error)

    def __await__(self) -> Generator[object, None, None]:
        system = self._cell.system
        waiting = _Waiting[None](f"capacity at {self._cell.address}")
        system.thread_inbox.put(lambda: waiting.begin(lambda: _as_future(system, self._waiting)))
        yield from asyncio.wrap_future(waiting).__await__()


def _lose(cell: Cell, message: Message[object], error: TrouperError) -> None:
    """Make a dead letter of a message whose sender no longer waits for the error."""
    cell.received += 1  # nothing was counted before it raised; a dead letter has to have been sent
    cell.lose(message, "mailbox_full" if isinstance(error, MailboxFull) else "unsendable", error)


def _as_future(system: System, waiting: Awaitable[None]) -> asyncio.Future[None]:
    """Return a future of an awaitable in the loop's thread; most often it is done already."""
    if waiting is not DONE:
        return system.loop.create_task(_wait(waiting), context=Context())
    done = system.loop.create_future()
    done.set_result(None)
    return done


async def _wait(waiting: Awaitable[None]) -> None:
    await waiting


def put_or_drop(system: System, call: Callable[[], object]) -> None:
    """Have the loop's thread make a call, unless the node has shut down."""
    try:
        system.thread_inbox.put(call, limited=False)
    except TrouperError:
        return
