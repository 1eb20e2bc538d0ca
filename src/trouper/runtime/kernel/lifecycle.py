"""Lifecycle: how an actor starts, fails, restarts and stops, and who hears of it.

A part of ``cell.py`` that reads better by itself.  Each step is a coroutine, run on the spot when nothing in it can
wait (no children, plain hooks), else as the cell's task.  When an instance has failed, or has left by itself, the cell
stands still and ``System.instance_ended`` is called: ``runtime/supervising.py`` asks the pure ``supervision.Ledger``
what becomes of it, and posts ``restart`` or ``end`` here.

Laws of this file:
1. A name is free again before anybody hears of the end.
2. Children end before their parent, the newest first.
3. Everyone who watches gets exactly one ``Down``.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Protocol

from .ask import content
from .errors import InternalError, StartFailed, WrongReply
from .ref import Down

if TYPE_CHECKING:
    from .cell import Cell
    from .system import Spawned

KILL, STOP, SUPERVISION, REQUEST = range(4)
"""Priorities of the system lane, the most urgent first."""
KILL_GRACE_S = 1.0
"""Seconds that a killed actor's task may take to unwind before its end is announced all the same."""
Signal = Callable[["Cell", object], None]
Step = Coroutine[object, object, None]


class Watcher(Protocol):
    """Who hears of an actor's end: another cell, a link, a peer node."""

    def take_down(self, down: Down) -> None: ...


class Belonging(Protocol):
    """What an actor's instance owns and gives back when it ends: timers, a stash."""

    @property
    def held(self) -> int:
        """How many messages it keeps from the mailbox."""
        ...

    def release(self, cell: Cell, *, restarting: bool) -> None: ...


# --- running a step --------------------------------------------------------------------------------------------------


def conduct(cell: Cell, step: Step, *, may_wait: bool) -> None:
    """Run a step of the lifecycle: on the spot, or as the cell's task where it may have to wait."""
    if may_wait:
        cell.task = cell.system.loop.create_task(_as_task(cell, step))
        return
    try:
        step.send(None)
    except StopIteration:
        return
    step.close()
    raise InternalError(f"{cell.address}: a step of the lifecycle waited though it must not")


async def _as_task(cell: Cell, step: Step) -> None:
    me = cell.task
    await step
    if cell.task is me:
        cell.task = None
        cell.settle()


async def _hook(cell: Cell, hook: Callable[[], Awaitable[None] | None], limit_s: float | None) -> None:
    """Call a hook of the user's, plain or async, for at most ``limit_s`` seconds."""
    waits = hook()
    if waits is None:
        return
    if not inspect.iscoroutinefunction(hook):
        if isinstance(waits, Coroutine):
            waits.close()
        raise WrongReply(f"{hook.__qualname__} of {cell.address} returned {waits!r}: make it `async def`")
    async with asyncio.timeout(limit_s):
        await waits


# --- start, restart, stop --------------------------------------------------------------------------------------------


def start(cell: Cell, spawner: Spawned | None) -> None:
    """Make the first instance.  ``spawner`` hears how it went; None leaves a failure to the supervisor."""
    conduct(cell, begin(cell, spawner, restarting=False), may_wait=cell.spec.actor.__async_start__)


async def begin(cell: Cell, spawner: Spawned | None, *, restarting: bool) -> None:
    """Make an instance and start it.  A failure is the spawner's, or the supervisor's when there is none."""
    cell.phase, cell.error = "starting", None
    cell.behaviour, cell.become_stack, cell.ledger = cell.spec.actor.__behaviour__, (), None
    cell.started_at, cell.restarts = cell.system.loop.time(), cell.restarts + restarting
    try:
        cell.actor = cell.build()
        await _hook(cell, cell.actor.on_start, None)
    except BaseException as error:  # noqa: BLE001  whatever a start raises is its actor's failure
        if spawner is None and not cell.gone:
            crash(cell, error, None)
        elif spawner is not None:
            if not cell.gone:
                await _end_children(cell)
                finish(cell, "failed", error)
            failed = StartFailed(f"{cell.address} did not start: {cell.system.reporter.brief(error)}")
            failed.__cause__ = error
            spawner.settle(failed)
        return
    cell.phase = "live"
    cell.refresh()
    for hear in cell.system.on_life:
        hear(cell, "restarted" if restarting else "started")
    if spawner is not None:
        spawner.settle(None)


async def _halt(cell: Cell, hook: Callable[[], Awaitable[None] | None] | None, *, restarting: bool) -> None:
    """End an instance: children newest first, the user's hook, then what the instance owned."""
    keep = restarting and cell.spec.actor.keep_children
    if not keep:
        await _end_children(cell)
    if hook is not None:
        try:
            await _hook(cell, hook, cell.spec.shutdown_s)
        except Exception as error:  # noqa: BLE001  an end must not be kept from ending
            cell.system.reporter.problem(f"{cell.address} failed in {hook.__qualname__} and ends all the same", error)
    _release(cell, restarting=restarting)
    if restarting:
        cell.actor = None


async def _end_children(cell: Cell) -> None:
    """Stop the children, newest first.  Where nobody can wait, one that needs time is killed."""
    for child in reversed(list((cell.children or {}).values())):
        request_stop(child)
        if not child.gone and cell.task is None:
            kill(child)
        elif not child.gone:
            await child.end_future()


async def halt_to_restart(cell: Cell, error: object) -> None:
    """End an instance that will be replaced; it hears of the error that is to blame."""
    old, failure = cell.actor, error if isinstance(error, BaseException) else None
    await _halt(cell, None if old is None else lambda: old.before_restart(failure), restarting=True)


def may_wait(cell: Cell) -> bool:
    """Say whether ending this instance, or beginning the next one, may have to wait."""
    return bool(cell.children) or cell.spec.actor.__async_hooks__


def _release(cell: Cell, *, restarting: bool) -> None:
    for task in list(cell.side_tasks or ()):
        task.cancel()
    belongings, cell.belongings = cell.belongings, None
    for belonging in belongings or ():
        belonging.release(cell, restarting=restarting)


def restart(cell: Cell, error: object) -> None:
    """Signal: end the instance and make another one; the ref, the mailbox and the watchers stay."""
    cell.phase = "failed"
    cell.refresh()
    conduct(cell, _restart(cell, error), may_wait=may_wait(cell))


async def _restart(cell: Cell, error: object) -> None:
    await halt_to_restart(cell, error)
    await begin(cell, None, restarting=True)


def stop(cell: Cell, reason: object) -> None:
    """Signal: end for good, in order."""
    cell.phase = "stopping"
    cell.refresh()
    conduct(cell, _stop(cell, str(reason), None), may_wait=may_wait(cell))


async def _stop(cell: Cell, reason: str, error: BaseException | None) -> None:
    await _halt(cell, None if cell.actor is None else cell.actor.on_stop, restarting=False)
    finish(cell, reason, error)


def finish(cell: Cell, reason: str, error: BaseException | None) -> None:
    """The end: the name is free, what was queued is dead letters, and everyone hears of it."""
    _release(cell, restarting=False)
    cell.phase, cell.reason, cell.error = "gone", reason, error
    cell.signals = None
    cell.refresh()
    mail, cell.mail = cell.mail, None
    for item in list(mail or ()):
        cell.lose(item, "killed" if reason == "killed" else "stopped")
    cell.actor = None
    cell.system.count_gone(cell.received, cell.handled)
    if cell.parent is not None and cell.parent.children is not None:
        cell.parent.children.pop(cell.name, None)
    if cell.room is not None:
        cell.room.release()
    down = Down(cell.ref, reason, None if error is None else cell.system.reporter.brief(error))
    for watched in cell.watching or ():
        watched.remove_watcher(cell)
    for watcher in list(cell.watchers or ()):
        watcher.take_down(down)
    for hear in cell.system.on_life:
        hear(cell, "ended")
    _announce(cell)


# --- requests from outside -------------------------------------------------------------------------------------------


def request_stop(cell: Cell) -> None:
    """Stop after the message at work: on the spot when none is, and within ``shutdown_s`` otherwise."""
    if cell.phase in ("gone", "stopping"):
        return
    if cell.task is None and cell.system.dispatcher.running is not cell and cell.phase != "starting":
        stop(cell, "stopped")
        return
    cell.post(STOP, stop, "stopped")
    if cell.task is not None and cell.spec.shutdown_s is not None:
        cell.system.loop.call_later(cell.spec.shutdown_s, _lose_patience, cell, cell.task)


def _lose_patience(cell: Cell, task: asyncio.Task[None]) -> None:
    if cell.task is task and not cell.gone:
        cell.system.reporter.problem(
            f"{cell.address} did not end within {cell.spec.shutdown_s:g} s ({cell.describe()}): killed"
        )
        kill(cell)


def request_drain(cell: Cell) -> None:
    """Stop after what is queued now."""
    if cell.mail is None:
        request_stop(cell)
    elif cell.phase != "stopping" and cell.drain_left is None:
        cell.drain_left = len(cell.mail)
        cell.refresh()


def request_kill(cell: Cell) -> None:
    """End at once; from within its own plain handler, right after that."""
    if cell.system.dispatcher.running is cell:
        cell.post(KILL, _kill_later)
    else:
        kill(cell)


def _kill_later(cell: Cell, _: object) -> None:
    kill(cell)


def kill(cell: Cell) -> None:
    """End at once, children first; a task that is waiting is cancelled, and gets a moment to unwind."""
    if cell.gone:
        return
    for child in reversed(list((cell.children or {}).values())):
        kill(child)
    task, cell.task = cell.task, None
    turn, cell.turn = cell.turn, None
    if turn is not None and task is not None:
        cell.lose(turn.item, "killed")
        turn.lost = True
    if task is None or task.done() or task is asyncio.current_task(cell.system.loop):
        finish(cell, "killed", None)
        return
    ended, cell.ended = cell.end_future(), None
    finish(cell, "killed", None)
    cell.ended = ended
    task.cancel()
    task.add_done_callback(lambda _: _announce(cell))
    cell.system.loop.call_later(KILL_GRACE_S, _announce, cell)


def _announce(cell: Cell) -> None:
    if cell.ended is not None and not cell.ended.done():
        cell.ended.set_result(None)


# --- failure ---------------------------------------------------------------------------------------------------------


def crash(cell: Cell, error: BaseException, item: object) -> None:
    """The actor failed: it handles nothing until its supervisor's plan has been carried out."""
    cell.phase, cell.error = "failed", error
    cell.refresh()
    cell.system.reporter.crash(cell, error, content(item))
    cell.system.instance_ended(cell, error)


def leave(cell: Cell, _: object = None) -> None:
    """Signal: the actor ends by its own decision; a permanent one is restarted."""
    if cell.phase == "live":
        cell.phase = "failed"
        cell.refresh()
        cell.system.instance_ended(cell, None)


def end(cell: Cell, error: object) -> None:
    """Signal: end for good after the instance has failed, or has left."""
    cell.phase = "stopping"
    cell.refresh()
    failure = error if isinstance(error, BaseException) else None
    step = _stop(cell, "stopped" if failure is None else "failed", failure)
    conduct(cell, step, may_wait=may_wait(cell))
