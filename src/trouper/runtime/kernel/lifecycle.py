"""Lifecycle: how an actor starts, fails, restarts and stops, and how its watchers are told.

A *transition* is a coroutine.  It runs at once when nothing in it can wait (no children, plain hooks), else as the
cell's task.  When an instance has failed, or has stopped itself, the cell handles nothing and
``System.instance_ended`` is called: ``restart.py`` asks the pure ``supervision.SupervisorState`` what to do, and posts
``restart`` or ``stop``.

Laws of this file:
1. A name is free again before any watcher is told of the end.
2. Children end before their parent, the newest first.
3. Each watcher gets exactly one ``Down``.
4. A task that has not taken its first step is never cancelled: it could not clean up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from .ask import content, current_invocation
from .errors import InternalError, StartFailed, WrongReply
from .executor import run_off_loop
from .ref import DeadLetter, Down

if TYPE_CHECKING:
    from .ask import Invocation
    from .bare_actor import BareActor
    from .cell import Cell
    from .message import Message

KILL, STOP, SUPERVISION, REQUEST = range(4)
"""Priorities of signals, the most urgent first."""
KILL_GRACE_S = 1.0
"""Seconds that a killed actor's task may take to unwind; then the actor counts as ended all the same."""
Signal = Callable[["Cell", object], None]
Transition = Coroutine[object, object, None]


class Watcher(Protocol):
    """Is told of an actor's end: another cell, a link, a peer node."""

    def on_down(self, down: Down) -> None: ...


class Resource(Protocol):
    """Belongs to one instance of an actor, and is released when that ends: timers, a stash."""

    @property
    def retained(self) -> int:
        """Number of messages that it keeps, taken from the mailbox."""
        ...

    def release(self, cell: Cell, *, restarting: bool) -> None: ...


class StartWaiter(Protocol):
    """Is told how a start ended; ``error`` is None when it succeeded."""

    def start_done(self, error: BaseException | None) -> None: ...


# --- running a transition --------------------------------------------------------------------------------------------


def run_transition(cell: Cell, transition: Transition, *, may_wait: bool) -> None:
    """Run a transition: at once, or as the cell's task where it may have to wait."""
    outgoing = cell.system.outgoing
    invocation = outgoing.invocation_in(cell) if outgoing.follows else None
    if may_wait:
        _begin_task(cell, transition, current_invocation.get() or invocation)
        return
    try:
        if invocation is None:
            cell.system.enter(transition.send, None)
        else:
            cell.system.enter(_send_with, transition, invocation)
    except StopIteration:
        return
    transition.close()
    raise InternalError(f"{cell.address}: a lifecycle transition waited that must not wait")


def _send_with(transition: Transition, invocation: Invocation) -> None:
    """Run a transition whose messages get the headers that ``invocation`` carries."""
    running, token = invocation.cell.system.dispatcher.running, current_invocation.set(invocation)
    invocation.cell.system.dispatcher.running = None
    try:
        transition.send(None)
    finally:
        invocation.cell.system.dispatcher.running = running
        current_invocation.reset(token)


def _begin_task(cell: Cell, transition: Transition, invocation: Invocation | None) -> None:
    """Run a transition as the cell's task; one that the program has cancelled before its first step is begun again."""

    def on_done(task: asyncio.Task[None]) -> None:
        if cell.task is task and not cell.begun:
            _begin_task(cell, transition, invocation)

    cell.begun = False
    cell.task = cell.system.begin_task(_as_task(cell, transition), invocation)
    cell.task.add_done_callback(on_done)


async def _wait_for(cell: Cell, futures: Sequence[asyncio.Future[None]], timeout_s: float | None = None) -> None:
    """Wait until all are done, even if the program cancels the task of this transition; a kill ends the wait."""
    while futures:
        try:
            await asyncio.wait(futures, timeout=timeout_s)
        except asyncio.CancelledError:
            if cell.gone:
                raise
            continue
        return


async def _as_task(cell: Cell, transition: Transition) -> None:
    me, cell.begun = cell.task, True
    await transition
    if cell.task is me:
        cell.task = None
        cell.reschedule()


def may_wait(cell: Cell) -> bool:
    """Return whether ending this instance, or starting the next one, may have to wait."""
    return bool(cell.children) or bool(cell.reentrant_invocations) or cell.spec.hooks_wait


async def _hook(cell: Cell, limit_s: float | None, hook: Callable[..., Awaitable[None] | None], *args: object) -> None:
    """Call a user's hook, plain or async; an async one may take ``limit_s`` seconds, None is for ever."""
    if cell.spec.off_loop and hook is not _no_hook:
        async with asyncio.timeout(limit_s):
            result = await run_off_loop(cell, hook, *args)
    else:
        result = hook(*args)
    if result is None:
        return
    if cell.task is None:  # the transition must not wait, since no hook of the class is async
        if isinstance(result, Coroutine):
            result.close()
        raise WrongReply(f"{hook.__qualname__} of {cell.address} returned {result!r}: make it `async def`")
    async with asyncio.timeout(limit_s):
        await result


# --- start, restart, stop --------------------------------------------------------------------------------------------


def start(cell: Cell, waiter: StartWaiter | None) -> None:
    """Make and start the first instance.  ``waiter`` is told the result; None leaves a failure to the supervisor."""
    run_transition(cell, begin(cell, waiter, restarting=False), may_wait=cell.spec.start_waits)


async def begin(cell: Cell, waiter: StartWaiter | None, *, restarting: bool) -> None:
    """Make an instance and start it.  A failure goes to the waiter, or to the supervisor when there is none."""
    error: BaseException | None = None
    if not cell.gone:
        cell.phase, cell.supervisor_state, cell.become_stack = "starting", None, None
        cell.handler_table = cell.spec.handler_table
        cell.started_at, cell.restarts = cell.system.loop.time(), cell.restarts + restarting
        try:
            cell.actor = await run_off_loop(cell, cell.build) if cell.spec.off_loop else cell.build()
            await _hook(cell, None, cell.actor.on_start)
        except BaseException as raised:  # noqa: BLE001  whatever a start raises is its actor's failure
            error = raised
    if error is None and cell.phase == "starting":
        cell.phase = "live"
        cell.refresh()
        _notify(cell, "restarted" if restarting else "started")
    if cell.phase == "failed":  # a sibling has failed meanwhile: a group restart is about to end this instance too
        error = None
    if error is None and not cell.gone:
        if waiter is not None:
            waiter.start_done(None)
    elif waiter is not None:
        if not cell.gone:
            await _end_children(cell)
            finish(cell, "failed", error)
        why = "it was killed meanwhile" if error is None else cell.system.reporter.brief(error)
        failed = StartFailed(f"{cell.address} did not start: {why}")
        failed.__cause__ = error
        waiter.start_done(failed)
    elif error is not None and not cell.gone:
        crash(cell, error, None)


async def _stop_instance(
    cell: Cell, *, restarting: bool, hook: Callable[..., Awaitable[None] | None], args: tuple[object, ...]
) -> None:
    """End an instance: wait for reentrant handlers and children, call the user's hook, then release its resources."""
    at_work = [each.task for each in cell.reentrant_invocations or () if each.task is not None]
    await _wait_for(cell, at_work, cell.spec.shutdown_s)
    if not (restarting and cell.spec.actor.keep_children):
        await _end_children(cell)
    try:
        await _hook(cell, cell.spec.shutdown_s, hook, *args)
    except BaseException as error:  # noqa: BLE001  a failing hook must not keep the actor from ending
        if not cell.gone:
            cell.system.reporter.problem(f"{cell.address} failed in {hook.__qualname__} and ends all the same", error)
    if not cell.gone:
        _release(cell, restarting=restarting)


async def _end_children(cell: Cell) -> None:
    """Stop the children: first those that are stopping already, then the newest first.

    Where this transition must not wait, a child that needs time is killed.
    """
    newest_first = list(reversed((cell.children or {}).values()))
    for child in sorted(newest_first, key=lambda each: each.phase != "stopping"):
        if child.group_restart is not None:
            group_restart, child.group_restart = child.group_restart, None
            group_restart.cancel()
        request_stop(child)
        if not child.gone and cell.task is None:
            kill(child)
        elif not child.gone:
            await _wait_for(cell, [child.end_future()])


def _release(cell: Cell, *, restarting: bool) -> None:
    for invocation in list(cell.reentrant_invocations or ()):
        _cancel_and_count(cell, invocation, "cancelled")
    for task in list(cell.background_tasks or ()):
        task.cancel()
    for ask in list(cell.asks or ()):
        ask.cancel()
    resources, cell.resources = cell.resources, None
    for resource in resources or ():
        resource.release(cell, restarting=restarting)


def _cancel_and_count(cell: Cell, invocation: Invocation, reason: str) -> None:
    """Cancel a handler, and count its message now, whatever the handler still does."""
    if not invocation.finished:
        invocation.finished = True
        cell.lose(invocation.item, reason)
        if cell.hooks is not None:
            cell.hooks.end(cell, invocation.item, asyncio.CancelledError(reason))
    invocation.cancel(reason)


def _no_hook() -> None:
    """Stands for the hook where there is no instance."""


async def stop_for_restart(cell: Cell, error: object) -> None:
    """End an instance that will be replaced; ``before_restart`` gets the error of this or of another instance."""
    old, cell.actor = cell.actor, None
    if old is None:
        _release(cell, restarting=True)
    else:
        failure = error if isinstance(error, BaseException) else None
        await _stop_instance(cell, restarting=True, hook=old.before_restart, args=(failure,))


def restart(cell: Cell, error: object) -> None:
    """Signal: replace the instance; the ref, the mailbox and the watchers stay."""
    if cell.phase == "failed":
        run_transition(cell, _restart(cell, error), may_wait=may_wait(cell))


async def _restart(cell: Cell, error: object) -> None:
    await stop_for_restart(cell, error)
    await begin(cell, None, restarting=True)


def stop(cell: Cell, error: object) -> None:
    """Signal: end for good, in order; ``error`` is the failure that caused it, or None."""
    if cell.phase in ("stopping", "gone"):
        return
    cell.phase = "stopping"
    cell.refresh()
    run_transition(cell, _stop(cell, error if isinstance(error, BaseException) else None), may_wait=may_wait(cell))


async def _stop(cell: Cell, error: BaseException | None) -> None:
    if not cell.gone:
        hook = _no_hook if cell.actor is None else cell.actor.on_stop
        await _stop_instance(cell, restarting=False, hook=hook, args=())
    finish(cell, "stopped" if error is None else "failed", error)


def finish(cell: Cell, reason: str, error: BaseException | None) -> None:
    """End the actor: free its name, make dead letters of what is queued, tell the watchers."""
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
            _call_on_undelivered(cell, actor, DeadLetter(cast("Message[object]", content(item)), cell.ref, reason))
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
    _notify(cell, "ended")
    _resolve_ended(cell)


def _call_on_undelivered(cell: Cell, actor: BareActor, letter: DeadLetter) -> None:
    try:
        actor.on_undelivered(letter)
    except BaseException as error:  # noqa: BLE001  a failing hook must not keep the actor from ending
        cell.system.reporter.problem(f"{cell.address} failed in on_undelivered and ends all the same", error)


def _notify(cell: Cell, event: str) -> None:
    for listener in cell.system.on_lifecycle:
        try:
            listener(cell, event)
        except Exception as error:  # noqa: BLE001  a failing listener must not keep a transition from its end
            cell.system.reporter.problem(f"{listener!r} failed when it was told that {cell.address} has {event}", error)


def _resolve_ended(cell: Cell) -> None:
    if cell.ended is not None and not cell.ended.done():
        cell.ended.set_result(None)


# --- requests from outside -------------------------------------------------------------------------------------------


def request_stop(cell: Cell) -> None:
    """Stop after the current message: at once when there is none, else within ``shutdown_s``, then kill."""
    if cell.phase in ("gone", "stopping"):
        return
    if cell.task is None and cell.system.dispatcher.running is not cell and cell.phase != "starting":
        stop(cell, None)
        return
    cell.post(STOP, stop)
    if cell.task is not None and cell.spec.shutdown_s is not None:
        cell.system.loop.call_later(cell.spec.shutdown_s, _kill_overdue, cell, cell.task)


def _kill_overdue(cell: Cell, task: asyncio.Task[None]) -> None:
    if cell.task is task and not cell.gone:
        limit = f"{cell.spec.shutdown_s:g} s ({cell.describe()})"
        cell.system.reporter.problem(f"{cell.address} did not end within {limit}: it is killed")
        kill(cell)


def request_drain(cell: Cell) -> None:
    """Stop after the messages that are queued now."""
    if cell.mail is None:
        request_stop(cell)
    elif cell.phase != "stopping" and cell.drain_left is None:
        cell.drain_left = len(cell.mail)
        cell.refresh()


def request_kill(cell: Cell) -> None:
    """End at once; when called in a plain handler of the actor, or of a descendant, right after that handler."""
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
    """End the actor and its descendants at once, leaves first; tasks are cancelled, and get ``KILL_GRACE_S``."""
    tree = [cell]
    for each in tree:
        tree.extend((each.children or {}).values())
    for each in reversed(tree):
        _kill_one(each)


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
        _cancel_and_count(cell, invocation, "killed")
    elif cell.begun:
        task.cancel()
    finish(cell, "killed", None)
    cell.ended = ended
    task.add_done_callback(lambda _: _resolve_ended(cell))
    cell.system.loop.call_later(KILL_GRACE_S, _resolve_ended, cell)


# --- failure ---------------------------------------------------------------------------------------------------------


def fail(cell: Cell, error: BaseException, item: object) -> None:
    """The actor's own code has raised: fail the actor, unless its class or its spawn lists the error in ``resume``."""
    if isinstance(error, cell.spec.resume):
        doing = "" if item is None else f" handling {type(content(item)).__qualname__}"
        cell.system.reporter.problem(f"{cell.address} failed{doing}, and goes on as its `resume` says", error)
    else:
        crash(cell, error, item)


def crash(cell: Cell, error: BaseException, item: object) -> None:
    """Fail the actor: it handles nothing until the supervisor has restarted or stopped it."""
    mark_failed(cell, error, item)
    cell.system.instance_ended(cell, error)


def mark_failed(cell: Cell, error: BaseException, item: object) -> None:
    """The first half of ``crash``, for ``restart.py``, which goes up the tree of supervisors in a loop."""
    cell.phase = "failed"
    cell.refresh()
    cell.system.reporter.crash(cell, error, content(item))
    for invocation in (cell.invocation, *(cell.reentrant_invocations or ())):
        if invocation is not None and not invocation.finished and invocation.task is not None:
            invocation.cancel("cancelled")
    if cell.task is not None and cell.spec.shutdown_s is not None:
        cell.system.loop.call_later(cell.spec.shutdown_s, abandon_handler, cell, cell.task)


def abandon_handler(cell: Cell, task: asyncio.Task[None]) -> None:
    """The handler of a failed actor does not end: its message is lost, and the restart no longer waits for it."""
    if cell.task is task and cell.invocation is not None and cell.phase == "failed":
        cell.system.reporter.problem(f"{cell.address}: a handler goes on though its actor has failed: it is abandoned")
        invocation, cell.invocation, cell.task = cell.invocation, None, None
        _cancel_and_count(cell, invocation, "cancelled")
        cell.reschedule()


def stop_self(cell: Cell, _: object = None) -> None:
    """Signal: the actor stops itself; a permanent one is restarted."""
    if cell.phase == "live":
        cell.phase = "failed"
        cell.refresh()
        cell.system.instance_ended(cell, None)
