"""Lifecycle: how an actor starts, fails, restarts and stops, and who hears of it.

A part of ``cell.py`` that reads better by itself.  Each step is a coroutine, run on the spot when nothing in it can
wait (no children, plain hooks), else as the cell's task.  When an instance has failed, or has left by itself, the cell
stands still and ``System.instance_ended`` is called: ``runtime/kernel/restart.py`` asks the pure ``supervision.SupervisorState``
what becomes of it, and posts ``restart`` or ``end`` here.

Laws of this file:
1. A name is free again before anybody hears of the end.
2. Children end before their parent, the newest first.
3. Everyone who watches gets exactly one ``Down``.
4. A task that has not taken its first step is never cancelled: it could not clean up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Protocol, cast

from .ask import content, current_invocation
from .errors import InternalError, StartFailed, WrongReply
from .ref import DeadLetter, Down

if TYPE_CHECKING:
    from .ask import Invocation
    from .bare_actor import BareActor
    from .cell import Cell
    from .message import Message

KILL, STOP, SUPERVISION, REQUEST = range(4)
"""Priorities of the system lane, the most urgent first."""
KILL_GRACE_S = 1.0
"""Seconds that a killed actor's task may take to unwind before its end is announced all the same."""
Signal = Callable[["Cell", object], None]
Step = Coroutine[object, object, None]


class Watcher(Protocol):
    """Who hears of an actor's end: another cell, a link, a peer node."""

    def on_down(self, down: Down) -> None: ...


class Resource(Protocol):
    """What an actor's instance owns and gives back when it ends: timers, a stash."""

    @property
    def retained(self) -> int:
        """How many messages it keeps from the mailbox."""
        ...

    def release(self, cell: Cell, *, restarting: bool) -> None: ...


class Spawner(Protocol):
    """Who waits for a start; ``error`` is None when it went well."""

    def settle(self, error: BaseException | None) -> None: ...


# --- running a step --------------------------------------------------------------------------------------------------


def run_transition(cell: Cell, step: Step, *, may_wait: bool) -> None:
    """Run a step of the lifecycle: on the spot, or as the cell's task where it may have to wait."""
    if may_wait:
        cell.begun = False
        cell.task = cell.system.begin_task(_as_task(cell, step), current_invocation.get())
        return
    try:
        cell.system.enter(step.send, None)
    except StopIteration:
        return
    step.close()
    raise InternalError(f"{cell.address}: a step of the lifecycle waited though it must not")


async def _as_task(cell: Cell, step: Step) -> None:
    me, cell.begun = cell.task, True
    await step
    if cell.task is me:
        cell.task = None
        cell.settle()


def may_wait(cell: Cell) -> bool:
    """Say whether ending this instance, or beginning the next one, may have to wait."""
    return bool(cell.children) or bool(cell.reentrant_invocations) or cell.spec.actor.__async_hooks__


async def _hook(cell: Cell, limit_s: float | None, hook: Callable[..., Awaitable[None] | None], *args: object) -> None:
    """Call a hook of the user's, plain or async, for at most ``limit_s`` seconds."""
    waits = hook(*args)
    if waits is None:
        return
    if cell.task is None:  # nothing can be waited for here, since no hook of the class is declared to wait
        if isinstance(waits, Coroutine):
            waits.close()
        raise WrongReply(f"{hook.__qualname__} of {cell.address} returned {waits!r}: make it `async def`")
    async with asyncio.timeout(limit_s):
        await waits


# --- start, restart, stop --------------------------------------------------------------------------------------------


def start(cell: Cell, spawner: Spawner | None) -> None:
    """Make the first instance.  ``spawner`` hears how it went; None leaves a failure to the supervisor."""
    run_transition(cell, begin(cell, spawner, restarting=False), may_wait=cell.spec.actor.__async_start__)


async def begin(cell: Cell, spawner: Spawner | None, *, restarting: bool) -> None:
    """Make an instance and start it.  A failure is the spawner's, or the supervisor's when there is none."""
    error: BaseException | None = None
    if not cell.gone:
        cell.phase, cell.supervisor_state, cell.become_stack = "starting", None, None
        cell.handler_table = cell.spec.actor.__handler_table__
        cell.started_at, cell.restarts = cell.system.loop.time(), cell.restarts + restarting
        try:
            cell.actor = cell.build()
            await _hook(cell, None, cell.actor.on_start)
        except BaseException as raised:  # noqa: BLE001  whatever a start raises is its actor's failure
            error = raised
    if error is None and cell.phase == "starting":
        cell.phase = "live"
        cell.refresh()
        _tell(cell, "restarted" if restarting else "started")
    if cell.phase == "failed":  # a sibling has failed meanwhile: a round of restarts is about to end this instance too
        error = None
    if error is None and not cell.gone:
        if spawner is not None:
            spawner.settle(None)
    elif spawner is not None:
        if not cell.gone:
            await _end_children(cell)
            finish(cell, "failed", error)
        why = "it was killed meanwhile" if error is None else cell.system.reporter.brief(error)
        failed = StartFailed(f"{cell.address} did not start: {why}")
        failed.__cause__ = error
        spawner.settle(failed)
    elif error is not None and not cell.gone:
        crash(cell, error, None)


async def _halt(
    cell: Cell, *, restarting: bool, hook: Callable[..., Awaitable[None] | None], args: tuple[object, ...]
) -> None:
    """End an instance: reentrant handlers and children, the user's hook, then what the instance owned."""
    if cell.reentrant_invocations:
        await asyncio.wait(
            [invocation.task for invocation in cell.reentrant_invocations if invocation.task is not None],
            timeout=cell.spec.shutdown_s,
        )
    if not (restarting and cell.spec.actor.keep_children):
        await _end_children(cell)
    try:
        await _hook(cell, cell.spec.shutdown_s, hook, *args)
    except BaseException as error:  # noqa: BLE001  an end must not be kept from ending
        if not cell.gone:
            cell.system.reporter.problem(f"{cell.address} failed in {hook.__qualname__} and ends all the same", error)
    if not cell.gone:
        _release(cell, restarting=restarting)


async def _end_children(cell: Cell) -> None:
    """Stop the children, newest first after those that are ending already.  One that needs time where nobody can wait
    is killed.
    """
    newest_first = list(reversed((cell.children or {}).values()))
    for child in sorted(newest_first, key=lambda each: each.phase != "stopping"):
        if child.group_restart is not None:
            child.group_restart.cancel()
        request_stop(child)
        if not child.gone and cell.task is None:
            kill(child)
        elif not child.gone:
            await asyncio.shield(child.end_future())


def _release(cell: Cell, *, restarting: bool) -> None:
    for invocation in list(cell.reentrant_invocations or ()):
        _cut_off(cell, invocation, "cancelled")
    for task in list(cell.background_tasks or ()):
        task.cancel()
    for ask in list(cell.asks or ()):
        ask.cancel()
    resources, cell.resources = cell.resources, None
    for resource in resources or ():
        resource.release(cell, restarting=restarting)


def _cut_off(cell: Cell, invocation: Invocation, cancel_reason: str) -> None:
    """Cancel a handler and count its message now, whatever the handler still does."""
    if not invocation.finished:
        invocation.finished = True
        cell.lose(invocation.item, cancel_reason)
    invocation.cancel(cancel_reason)


def _no_hook() -> None:
    """There is no instance to tell."""


async def stop_for_restart(cell: Cell, error: object) -> None:
    """End an instance that will be replaced; it hears of the error that is to blame."""
    old, cell.actor = cell.actor, None
    if old is None:
        _release(cell, restarting=True)
    else:
        failure = error if isinstance(error, BaseException) else None
        await _halt(cell, restarting=True, hook=old.before_restart, args=(failure,))


def restart(cell: Cell, error: object) -> None:
    """Signal: end the instance and make another one; the ref, the mailbox and the watchers stay."""
    if cell.phase == "failed":
        run_transition(cell, _restart(cell, error), may_wait=may_wait(cell))


async def _restart(cell: Cell, error: object) -> None:
    await stop_for_restart(cell, error)
    await begin(cell, None, restarting=True)


def stop(cell: Cell, error: object) -> None:
    """Signal: end for good, in order; ``error`` is the failure that is the reason, or None."""
    if cell.phase in ("stopping", "gone"):
        return
    cell.phase = "stopping"
    cell.refresh()
    run_transition(cell, _stop(cell, error if isinstance(error, BaseException) else None), may_wait=may_wait(cell))


async def _stop(cell: Cell, error: BaseException | None) -> None:
    if not cell.gone:
        hook = _no_hook if cell.actor is None else cell.actor.on_stop
        await _halt(cell, restarting=False, hook=hook, args=())
    finish(cell, "stopped" if error is None else "failed", error)


def finish(cell: Cell, reason: str, error: BaseException | None) -> None:
    """The end: the name is free, what was queued is dead letters, and everyone hears of it."""
    if cell.gone:
        return
    _release(cell, restarting=False)
    cell.phase, cell.reason, cell.signals, cell.downs = "gone", reason, None, None
    cell.refresh()
    mail, cell.mail = cell.mail, None
    cell.system.count_gone(cell.received, cell.handled)
    actor, cell.actor, cell.args = cell.actor, None, ()
    for item in list(mail or ()):
        cell.lose(item, "killed" if reason == "killed" else "stopped")
        if actor is not None:
            _tell_undelivered(cell, actor, DeadLetter(cast("Message[object]", content(item)), cell.ref, reason))
    if cell.parent is not None and cell.parent.children is not None:
        cell.parent.children.pop(cell.name, None)
    if cell.capacity_waiter is not None:
        cell.capacity_waiter.release()
    down = Down(cell.ref, reason, None if error is None else cell.system.reporter.brief(error))
    watching, cell.watching = cell.watching, None
    for watched in watching or ():
        watched.remove_watcher(cell)
    watchers, cell.watchers = cell.watchers, None
    for watcher in watchers or ():
        watcher.on_down(down)
    _tell(cell, "ended")
    _announce(cell)


def _tell_undelivered(cell: Cell, actor: BareActor, letter: DeadLetter) -> None:
    try:
        actor.on_undelivered(letter)
    except BaseException as error:  # noqa: BLE001  an end must not be kept from ending
        cell.system.reporter.problem(f"{cell.address} failed in on_undelivered and ends all the same", error)


def _tell(cell: Cell, what: str) -> None:
    for hear in cell.system.on_lifecycle:
        try:
            hear(cell, what)
        except Exception as error:  # noqa: BLE001  one who listens badly must not keep a life from its course
            cell.system.reporter.problem(f"{hear!r} failed to hear that {cell.address} has {what}", error)


def _announce(cell: Cell) -> None:
    if cell.ended is not None and not cell.ended.done():
        cell.ended.set_result(None)


# --- requests from outside -------------------------------------------------------------------------------------------


def request_stop(cell: Cell) -> None:
    """Stop after the message at work: on the spot when none is, and within ``shutdown_s`` otherwise."""
    if cell.phase in ("gone", "stopping"):
        return
    if cell.task is None and cell.system.dispatcher.running is not cell and cell.phase != "starting":
        stop(cell, None)
        return
    cell.post(STOP, stop)
    if cell.task is not None and cell.spec.shutdown_s is not None:
        cell.system.loop.call_later(cell.spec.shutdown_s, _lose_patience, cell, cell.task)


def _lose_patience(cell: Cell, task: asyncio.Task[None]) -> None:
    if cell.task is task and not cell.gone:
        limit = f"{cell.spec.shutdown_s:g} s ({cell.describe()})"
        cell.system.reporter.problem(f"{cell.address} did not end within {limit}: it is killed")
        kill(cell)


def request_drain(cell: Cell) -> None:
    """Stop after what is queued now."""
    if cell.mail is None:
        request_stop(cell)
    elif cell.phase != "stopping" and cell.drain_left is None:
        cell.drain_left = len(cell.mail)
        cell.refresh()


def request_kill(cell: Cell) -> None:
    """End at once; from within a plain handler of it, or of one below it, right after that handler."""
    running = cell.system.dispatcher.running
    while running is not None and running is not cell:
        running = running.parent
    if running is cell:
        cell.system.loop.call_soon(kill, cell)
        cell.post(KILL, _kill_now)
    else:
        kill(cell)


def _kill_now(cell: Cell, _: object) -> None:
    kill(cell)


def kill(cell: Cell) -> None:
    """End at once, from the leaves to the cell; a task that is waiting is cancelled, and gets a moment to unwind."""
    doomed = [cell]
    for next_one in doomed:
        doomed.extend((next_one.children or {}).values())
    for next_one in reversed(doomed):
        _kill_one(next_one)


def _kill_one(cell: Cell) -> None:
    if cell.gone:
        return
    task, cell.task = cell.task, None
    invocation, cell.invocation = cell.invocation, None
    if task is None or task.done():
        finish(cell, "killed", None)
        return
    ended, cell.ended = cell.end_future(), None
    if invocation is not None:
        _cut_off(cell, invocation, "killed")
    elif cell.begun:
        task.cancel()
    finish(cell, "killed", None)
    cell.ended = ended
    task.add_done_callback(lambda _: _announce(cell))
    cell.system.loop.call_later(KILL_GRACE_S, _announce, cell)


# --- failure ---------------------------------------------------------------------------------------------------------


def crash(cell: Cell, error: BaseException, item: object) -> None:
    """The actor failed: it handles nothing until its supervisor's plan has been carried out."""
    mark_failed(cell, error, item)
    cell.system.instance_ended(cell, error)


def mark_failed(cell: Cell, error: BaseException, item: object) -> None:
    """The first half of ``crash``, for a supervisor that fails by its children: who comes next is decided in a loop."""
    cell.phase = "failed"
    cell.refresh()
    cell.system.reporter.crash(cell, error, content(item))
    for invocation in (cell.invocation, *(cell.reentrant_invocations or ())):
        if invocation is not None and not invocation.finished and invocation.task is not None:
            invocation.cancel("cancelled")
    if cell.task is not None and cell.spec.shutdown_s is not None:
        cell.system.loop.call_later(cell.spec.shutdown_s, _let_go, cell, cell.task)


def _let_go(cell: Cell, task: asyncio.Task[None]) -> None:
    """A failed actor's handler will not end: its message is lost, and the restart does not wait for it any longer."""
    if cell.task is task and cell.invocation is not None and cell.phase == "failed":
        cell.system.reporter.problem(f"{cell.address}: a handler goes on though its actor has failed: let go of")
        invocation, cell.invocation, cell.task = cell.invocation, None, None
        _cut_off(cell, invocation, "cancelled")
        cell.settle()


def stop_self(cell: Cell, _: object = None) -> None:
    """Signal: the actor ends by its own decision; a permanent one is restarted."""
    if cell.phase == "live":
        cell.phase = "failed"
        cell.refresh()
        cell.system.instance_ended(cell, None)
