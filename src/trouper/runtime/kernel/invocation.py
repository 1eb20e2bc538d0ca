"""Invocations: how one message is given to its handler, and what follows from the handler's end.

The dispatcher's fast path gives a plain message to a plain handler by itself; an ask of an idle actor comes to
``answer_inline``; everything else comes to ``step``.  These functions are methods of ``Cell``.

Law of this file: each item counts once, as handled or as a dead letter, whatever its handler does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, TypeVar, cast

from . import lifecycle
from .ask import Envelope, Invocation, content, current_invocation, is_ask
from .deadlock import end_waits
from .errors import ActorFailed, Reject, WrongReply
from .handler_table import Handle, HandlerEntry

if TYPE_CHECKING:
    from .cell import Cell
    from .message import Message

R = TypeVar("R")

BATCH = 16
"""Async handlers that one task runs before other actors run."""


def answer_inline(cell: Cell, call: Handle, message: Message[R], timeout_s: float | None) -> asyncio.Future[R]:
    """Run a plain handler for an ask of an idle actor on the asker's stack; it overtakes no message: none is queued."""
    system = cell.system
    dispatcher = system.dispatcher
    dispatcher.inline_budget -= 1
    dispatcher.running, dispatcher.inline_ask, dispatcher.inline_timeout_s = cell, message, timeout_s
    dispatcher.asker = current_invocation.get()
    cell.received += 1
    future: asyncio.Future[R] = system.loop.create_future()
    outside = not dispatcher.entered
    try:
        if outside:  # as `System.enter` does; a call of it would cost a tenth of the ask
            dispatcher.entered = True
            reply = dispatcher.context.run(call, cell.actor, message)
        else:
            reply = call(cell.actor, message)
        if dispatcher.inline_ask is not message:  # the handler has forwarded it: an Ask stands in its place
            future = cast("asyncio.Future[R]", dispatcher.inline_ask)
            cell.handled += 1
        else:
            check_reply(cell, message, reply)
            cell.handled += 1
            future.set_result(reply)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  it was checked
    except BaseException as error:  # noqa: BLE001  whatever a handler raises is its actor's failure
        if dispatcher.inline_ask is not message:
            future = cast("asyncio.Future[R]", dispatcher.inline_ask)
        else:
            future.set_exception(raisable(cell, error))
        if isinstance(error, Reject):
            cell.handled += 1
        else:
            _failed(cell, error, message, cell.actor, asked=True)
    finally:
        dispatcher.running = dispatcher.inline_ask = dispatcher.asker = None
        if outside:
            dispatcher.entered = False
    return future


def step(cell: Cell, item: object) -> None:
    """Handle one item: run its plain handler, or start its async handler."""
    if isinstance(item, Envelope) and not item.take():
        cell.lose(item, "expired")
        return
    entry = cell.handler_table.find(type(content(item)))
    if entry is None:
        cell.lose(item, "unhandled", cell.loss(content(item), "unhandled"))
    elif cell.hooks is not None and not cell.hooks.begin(cell, item):
        return
    elif not entry.is_async:
        _handle_plain(cell, Invocation(cell, item), entry)
    elif entry.reentrant:
        invocation = Invocation(cell, item)
        invocation.since = cell.system.loop.time()
        cell.reentrant_invocations = {} if cell.reentrant_invocations is None else cell.reentrant_invocations
        cell.reentrant_invocations[invocation] = None
        if is_ask(item):
            item.handler, invocation.answers = invocation, item
        _begin_task(invocation, entry)
    else:
        cell.invocation = Invocation(cell, item)
        cell.invocation.since = cell.system.loop.time()
        cell.open_to_reentry()
        _begin_task(cell.invocation, entry)


def _begin_task(invocation: Invocation, entry: HandlerEntry) -> None:
    """Run an async handler in a task; one that the program has cancelled before its first step is begun again."""
    cell = invocation.cell

    def on_done(task: asyncio.Task[None]) -> None:
        if invocation.begun or invocation.task is not task or cell.gone:
            return
        if cell.task is task:
            cell.task = None
        _begin_task(invocation, entry)

    run = _serve_reentrant(invocation, entry) if entry.reentrant else _serve(cell, entry)
    task = invocation.task = cell.system.begin_task(run)
    task.add_done_callback(on_done)
    if not entry.reentrant:
        cell.task = task
    elif cell.task is None:  # the next message waits until this one has begun
        cell.begun, cell.task = False, task


def _handle_plain(cell: Cell, invocation: Invocation, entry: HandlerEntry) -> None:
    dispatcher = cell.system.dispatcher
    outer, dispatcher.running = dispatcher.running, cell
    inner, cell.invocation = cell.invocation, invocation
    reply: object = None
    error: BaseException | None = None
    try:
        reply = entry.call(invocation.actor, content(invocation.item))
    except BaseException as raised:  # noqa: BLE001  whatever a handler raises is its actor's failure
        error = raised
    try:
        _conclude(invocation, reply, error)
    finally:
        cell.invocation, dispatcher.running = inner, outer


async def _serve(cell: Cell, entry: HandlerEntry | None) -> None:
    """Run as the cell's task: call async handlers one after the other, until the next item is for no such handler."""
    me = asyncio.current_task()
    for left in reversed(range(BATCH)):
        invocation = cell.invocation
        if invocation is None or entry is None:
            break
        await _run(invocation, entry)
        if not left or cell.task is not me or cell.slow_path or not cell.mail:
            break
        item = cell.mail.popleft()
        entry = cell.handler_table.find(type(content(item)))
        if entry is None or not entry.is_async or entry.reentrant:
            cell.mail.appendleft(item)
            break
        if isinstance(item, Envelope) and not item.take():
            cell.lose(item, "expired")
            break
        cell.invocation = Invocation(cell, item)
        cell.invocation.task, cell.invocation.since = me, cell.system.loop.time()
    if cell.task is me:  # else the actor was killed, or is ending in another task
        cell.task = cell.invocation = None
        cell.reschedule()


async def _serve_reentrant(invocation: Invocation, entry: HandlerEntry) -> None:
    """Run one reentrant handler in a task of its own."""
    if invocation.cell.task is invocation.task:
        invocation.cell.task = None
        invocation.cell.reschedule()
    await _run(invocation, entry)
    if invocation.cell.reentrant_invocations is not None:
        invocation.cell.reentrant_invocations.pop(invocation, None)


async def _run(invocation: Invocation, entry: HandlerEntry) -> None:
    """Run one async handler.  When the runtime has cancelled it, its message is lost and the actor goes on."""
    current_invocation.set(invocation)
    invocation.begun = True
    if invocation.cancel_reason is not None and invocation.cell.phase == "failed" and not invocation.finished:
        invocation.finished = True  # no handler has seen the item: the next instance gets it
        invocation.cell.requeue(invocation.item)
        return
    error: BaseException | None = None
    reply: object = None
    try:
        if invocation.cancel_reason is None and not invocation.finished:
            reply = await cast("Awaitable[object]", entry.call(invocation.actor, content(invocation.item)))
        else:
            error = asyncio.CancelledError()
    except BaseException as raised:  # noqa: BLE001  whatever a handler raises is its actor's failure
        error = raised
    task = asyncio.current_task()
    while invocation.cancel_reason is not None and task is not None and task.cancelling():
        task.uncancel()
    _conclude(invocation, reply, error)


def _conclude(invocation: Invocation, reply: object, error: BaseException | None) -> None:
    """End an invocation: send the reply that is owed, and count the item unless that was done before."""
    cell, item = invocation.cell, invocation.item
    if invocation.waits:
        end_waits(invocation)
    if invocation.finished:
        return
    invocation.finished = True
    if error is None:
        try:
            if invocation.reply_owed and (is_ask(item) or (reply is not None and hasattr(reply, "__await__"))):
                check_reply(cell, content(item), reply)
            cell.handled += 1
            if invocation.reply_owed and is_ask(item):
                item.answer(reply)
        except WrongReply as wrong:
            error = wrong
    if isinstance(error, asyncio.CancelledError) and invocation.cancel_reason is not None:
        cell.lose(item, invocation.cancel_reason)
    elif error is not None:
        if invocation.reply_owed and is_ask(item):
            item.refuse(raisable(cell, error))
        if isinstance(error, Reject) and is_ask(item):
            cell.handled += 1
        else:
            _failed(cell, error, item, invocation.actor)
    if cell.hooks is not None:
        cell.hooks.end(cell, item, error)


def _failed(cell: Cell, error: BaseException, item: object, actor: object, *, asked: bool | None = None) -> None:
    """Make the message a dead letter; fail the actor, unless the error is a ``Reject`` or of a replaced instance."""
    rejected = isinstance(error, Reject)
    cell.lose(item, "rejected" if rejected else "failed", error, asked=asked)
    if not rejected and cell.phase == "live" and actor is cell.actor:
        lifecycle.fail(cell, error, item)


def fail_plain(cell: Cell, error: BaseException, message: object) -> None:
    """Called when a plain handler has raised on the dispatcher's fast path."""
    _failed(cell, error, message, cell.actor)


def check_reply(cell: Cell, message: object, reply: object) -> None:
    """Raise ``WrongReply`` for an awaitable, or a value of another type than the message promises."""
    wanted: tuple[type, ...] | None = getattr(type(message), "__reply__", None)
    if wanted is not None and isinstance(reply, wanted):
        return
    kind = "None" if reply is None else f"a {type(reply).__name__}"
    awaitable = isinstance(reply, Awaitable)
    if wanted is None and not awaitable:
        return
    entry = cell.handler_table.find(type(message))
    name = entry.function.__qualname__ if entry is not None else "a handler"
    returned = f"{name} of {cell.address} returned {kind}"
    if isinstance(reply, Coroutine):
        cast("Coroutine[object, object, object]", reply).close()
    if awaitable:
        raise WrongReply(f"{returned}: make it `async def`, and await it")
    names = " | ".join("None" if cls is type(None) else cls.__name__ for cls in wanted or ())
    raise WrongReply(f"{returned}, but the reply to {type(message).__qualname__} is {names}: change one of the two")


def raisable(cell: Cell, error: BaseException) -> Exception:
    """Return the error to raise at the asker: itself, or an ``ActorFailed`` where it would cancel or stop the asker."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = ActorFailed(f"{cell.address} ended its handler with {error!r}, which cannot be raised at an asker")
    wrapped.__cause__ = error
    return wrapped
