"""Handling: how one message is given to its handler, and what comes of it.

A part of ``cell.py`` that reads better by itself.  The dispatcher's fast path handles a plain message with a plain
handler alone; an ask of an idle actor comes to ``answer_now``; everything else comes to ``step``.

Law of this file: each item counts once, as handled or as a dead letter, whatever its handler does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, TypeVar, cast

from . import lifecycle
from .ask import Envelope, Turn, content, current_turn, is_ask
from .behaviour import Handle, Handling
from .errors import ActorFailed, Reject, WrongReply

if TYPE_CHECKING:
    from .cell import Cell
    from .messages import Message

R = TypeVar("R")

BATCH = 16
"""Async handlers that one task runs before other actors get a turn."""


def answer_now(cell: Cell, call: Handle, message: Message[R], timeout_s: float | None) -> asyncio.Future[R]:
    """Run a plain handler for an ask of an idle actor on the asker's stack; there is nothing it could overtake."""
    dispatcher = cell.system.dispatcher
    dispatcher.fuel -= 1
    dispatcher.running = cell
    dispatcher.asked = message
    dispatcher.asked_timeout_s = timeout_s
    cell.received += 1
    future: asyncio.Future[R] = cell.system.loop.create_future()
    try:
        reply = call(cell.actor, message)
        if dispatcher.asked is not message:  # the handler has passed it on: an Ask stands in its place
            cell.handled += 1
            return cast("asyncio.Future[R]", dispatcher.asked)
        check_reply(cell, message, reply)
        cell.handled += 1
        future.set_result(cast("R", reply))
    except BaseException as error:  # noqa: BLE001  whatever a handler raises is its actor's failure
        future.set_exception(raisable(cell, error))
        if isinstance(error, Reject):
            cell.handled += 1
        else:
            failed(cell, error, message)
    finally:
        dispatcher.running = dispatcher.asked = None
    return future


def step(cell: Cell, item: object) -> None:
    """Handle one item in whatever way it needs; an async handler is only begun."""
    if isinstance(item, Envelope) and item.done():
        cell.lose(item, "expired")
        return
    handling = cell.behaviour.find(type(content(item)))
    if cell.observer is not None:
        cell.observer.began(cell, content(item))
    if handling is None:
        cell.lose(item, "unhandled")
    elif handling.reentrant:
        cell.aside += 1
        cell.run_aside(_serve_aside(cell, Turn(cell, item), handling))
    elif handling.is_async:
        cell.turn = Turn(cell, item)
        cell.task = cell.system.loop.create_task(_serve(cell, cell.turn, handling))
    else:
        _handle_plain(cell, item, handling)


def _handle_plain(cell: Cell, item: object, handling: Handling) -> None:
    dispatcher = cell.system.dispatcher
    outer, dispatcher.running = dispatcher.running, cell
    cell.turn = turn = Turn(cell, item)
    error: BaseException | None = None
    try:
        reply = handling.call(cell.actor, content(item))
        _conclude(cell, turn, reply)
    except BaseException as raised:  # noqa: BLE001  whatever a handler raises is its actor's failure
        error = raised
    cell.turn, dispatcher.running = None, outer
    if error is not None:
        failed(cell, error, turn.item)
    if cell.observer is not None:
        cell.observer.saw(cell, content(item), error)


def _conclude(cell: Cell, turn: Turn, reply: object) -> None:
    """A handler has returned: answer, and count."""
    item = turn.item
    if is_ask(item):
        if turn.owes:
            check_reply(cell, item.message, reply)
            item.answer(reply)
    elif reply is not None and hasattr(reply, "__await__"):
        check_reply(cell, item, reply)
    cell.handled += 1


def check_reply(cell: Cell, message: object, reply: object) -> None:
    """Raise ``WrongReply`` when a handler returned what its message does not promise, or forgot an ``async``."""
    wanted = cast("type[Message[object]]", type(message)).__reply__
    kind, awaitable = type(reply).__name__, isinstance(reply, Awaitable)
    if (wanted is None and not awaitable) or (wanted is not None and isinstance(reply, wanted)):
        return
    handling = cell.behaviour.find(type(message))
    name = handling.function.__qualname__ if handling is not None else "a handler"
    returned = f"{name} of {cell.address} returned a {kind}"
    if isinstance(reply, Coroutine):
        cast("Coroutine[object, object, object]", reply).close()
    if awaitable:
        raise WrongReply(f"{returned}: make it `async def`, and await it")
    names = " | ".join(cls.__name__ for cls in wanted or ())
    raise WrongReply(f"{returned}, but the reply to {type(message).__qualname__} is {names}: change one of the two")


async def _serve(cell: Cell, turn: Turn, handling: Handling | None) -> None:
    """Be the cell's task: run async handlers one after the other until something else is next."""
    me = asyncio.current_task()
    current_turn.set(turn)
    for _ in range(BATCH):
        assert handling is not None  # the loop is left below before
        await _serve_one(cell, turn, handling)
        if cell.task is not me or cell.attention or not cell.mail:
            break
        item = turn.item = cell.mail.popleft()
        turn.owes, turn.since = True, cell.system.loop.time()
        handling = cell.behaviour.find(type(content(item)))
        gave_up = isinstance(item, Envelope) and item.done()
        if handling is None or not handling.is_async or handling.reentrant or gave_up:
            cell.mail.appendleft(item)
            break
    else:
        turn.item = None
    if cell.task is me:  # else it was killed, or its end has its own task
        cell.task = cell.turn = None
        cell.settle()


async def _serve_aside(cell: Cell, turn: Turn, handling: Handling) -> None:
    """Run one reentrant handler in a task of its own; when it is cancelled, that is no failure of the actor."""
    current_turn.set(turn)
    turn.excuse = "cancelled"
    try:
        await _serve_one(cell, turn, handling)
    finally:
        cell.aside -= 1


async def _serve_one(cell: Cell, turn: Turn, handling: Handling) -> None:
    item, actor = turn.item, cell.actor
    error: BaseException | None = None
    reply: object = None
    try:
        reply = await cast("Awaitable[object]", handling.call(actor, content(item)))
    except BaseException as raised:  # noqa: BLE001  whatever a handler raises is its actor's failure
        error = raised
    turn.waits.clear()
    if turn.lost:  # killed: its message was made a dead letter then
        return
    if isinstance(error, asyncio.CancelledError) and turn.excuse is not None:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        cell.lose(item, turn.excuse)
        turn.excuse = None
    else:
        try:
            if error is None:
                _conclude(cell, turn, reply)
        except WrongReply as wrong:
            error = wrong
        if error is not None:
            failed(cell, error, item, instance=actor)
    if cell.observer is not None:
        cell.observer.saw(cell, content(item), error)


def failed(cell: Cell, error: BaseException, item: object, instance: object = None) -> None:
    """A handler raised: the asker is told, the message is a dead letter, and it is the supervisor's turn.

    ``instance``: the actor that the handler belonged to; one that was replaced meanwhile fails nobody.
    """
    rejected = isinstance(error, Reject)
    if is_ask(item):
        item.refuse(raisable(cell, error))
        if rejected:
            cell.handled += 1
            return
    cell.lose(item, "rejected" if rejected else "failed", error)
    if not rejected and cell.phase == "live" and (instance is None or instance is cell.actor):
        lifecycle.crash(cell, error, item)


def raisable(cell: Cell, error: BaseException) -> Exception:
    """Return the error as the asker shall see it: itself, unless raising it there would mean something else."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = ActorFailed(f"{cell.address} ended its handler with {error!r}, which cannot be raised at an asker")
    wrapped.__cause__ = error
    return wrapped
