"""Executors: the plain handlers and hooks of some actors run in threads, not on the loop.

Each message of such an actor is handled as one with an ``async def`` handler is: by the task of its cell, which waits
for the thread.  So order, one message at a time, the end of asks and supervision are the same; the kernel only makes
the handler table and the calls, and ``runtime/node/executors.py`` has the threads.

While the actor's code runs in a thread, the loop runs on.  What that code does with its actor (timers, stash, links)
is done by the loop's thread, which it waits for: see ``in_loop``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar, cast

from .errors import ActorStopped, InvalidHandler, InvalidOption
from .handler_table import Handle, HandlerEntry, HandlerTable

if TYPE_CHECKING:
    from .bare_actor import BareActor
    from .cell import Cell
    from .system import System

P = ParamSpec("P")
T = TypeVar("T")
LOOP = "loop"
"""The executor of an actor that names none: its handlers run on the loop."""
THREAD = "thread"
"""The executor of an actor that has a thread of its own."""
_HOOKS = ("on_start", "on_stop", "before_restart", "on_terminated")


class OffLoopCall:
    """One call of an actor's code in a thread.  abandoned: the actor no longer waits for it."""

    __slots__ = ("abandoned", "cell")

    def __init__(self, cell: Cell) -> None:
        self.cell, self.abandoned = cell, False


current_call: ContextVar[OffLoopCall | None] = ContextVar("trouper_off_loop_call", default=None)
"""The call that the current thread makes for an actor; None in all other threads."""


class Executor(Protocol):
    """Where the code of some actors runs: the threads of one name."""

    @property
    def queued(self) -> int:
        """Calls that wait for a thread."""
        ...

    async def run(self, call: OffLoopCall, function: Callable[[], T], /) -> T:
        """Call a function in a thread, and return or raise what it does.

        Cancelled while a handler is at work, it waits on, since a thread cannot be interrupted, until the cell no
        longer waits for this task; then, and for a hook at once, the call is abandoned.
        """
        ...


class Executors(Protocol):
    """The executors of one node."""

    def check(self, name: str, /) -> None:
        """Raise ``InvalidOption`` for a name that this node does not have."""

    def of(self, cell: Cell, /) -> Executor:
        """Return the executor of an actor, whose name was checked."""
        ...

    def close(self) -> None:
        """End all threads; one that never ends is left behind."""


def run_off_loop(
    cell: Cell, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> Coroutine[object, object, T]:
    """Return the coroutine that calls a function of an actor in its executor."""
    call, context = OffLoopCall(cell), copy_context()
    context.run(current_call.set, call)
    executors = cell.system.executors
    assert executors is not None, "make_child has checked it"
    return executors.of(cell).run(call, lambda: context.run(function, *args, **kwargs))


def table_off_loop(table: HandlerTable) -> HandlerTable:
    """Return the handler table whose handlers run in the executor of their actor; all of them must be plain."""
    for entry in table.entries.values():
        if entry.is_async:
            raise InvalidHandler(
                f"{entry.function.__qualname__} is `async def`, but its actor runs in threads: make it `def`, with "
                "ref.blocking.ask(...) in place of `await ref.ask(...)`; or leave out executor"
            )
    return HandlerTable(
        {
            type_: HandlerEntry(_call_off_loop(entry.call), entry.function, is_async=True, reentrant=False)
            for type_, entry in table.entries.items()
        }
    )


def _call_off_loop(call: Handle) -> Handle:
    async def handle(actor: object, message: object) -> object:
        return await run_off_loop(cast("BareActor", actor).__cell__, call, actor, message)

    return handle


def check_executor(actor: type[BareActor], executor: object) -> None:
    """Raise ``InvalidOption`` or ``InvalidHandler`` where an actor class cannot have this executor."""
    name = actor.__qualname__
    if not isinstance(executor, str) or not executor:
        raise InvalidOption(
            f"{name}: executor={executor!r:.100} must be 'loop', 'thread', or the name of one in Node(executors=...)"
        )
    if executor == "process":
        raise InvalidOption(
            f"{name}: executor='process' is none, since a process is a place: start one with Node(workers=1) or "
            "`await node.workers.add()`, and spawn the actor with place='worker-1'"
        )
    if executor == LOOP:
        return
    if actor.__loop_only__:
        raise InvalidOption(f"{name} passes messages on by the loop: leave out executor={executor!r}")
    for hook in _HOOKS:
        if inspect.iscoroutinefunction(getattr(actor, hook)):
            raise InvalidHandler(
                f"{name}.{hook} is `async def`, but executor={executor!r} runs its hooks and handlers in threads: make "
                "it `def`, or leave out executor"
            )


def in_loop(system: System, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in the loop's thread: at once there, else for a call of an actor's code that waits for it.

    Raises what the function raises, ``ActorStopped`` in a call that was abandoned, and ``WrongThread`` in any other
    thread.
    """
    if system.is_loop_thread():
        return function(*args, **kwargs)
    call = current_call.get()
    if call is None or call.cell.system is not system:
        system.check_thread(getattr(function, "__qualname__", repr(function)))
        raise AssertionError("check_thread raises in such a thread")
    at_work, context = call, copy_context()
    result: Future[T] = Future()

    def make() -> None:
        try:
            if at_work.abandoned:
                raise ActorStopped(f"{at_work.cell.address} waits no longer for this thread, which must begin nothing")
            result.set_result(context.run(function, *args, **kwargs))
        except BaseException as error:  # noqa: BLE001  whatever it is, it is raised in the thread
            result.set_exception(error)

    system.thread_inbox.put(make, limited=False)
    return result.result()
