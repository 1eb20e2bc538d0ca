"""Lifecycle: how an actor starts, fails, restarts, stops, and who hears of it.

A part of ``cell.py`` that reads better by itself.  Each step is a coroutine, run on the spot when nothing in it can
wait (no children, plain hooks), else as the cell's task.  What becomes of children that fail is decided by the pure
``supervision.Ledger`` at once, even while the parent's own handler is waiting: a parent that asks its failed child
must not be the one who keeps it from being restarted.

Laws of this file:
1. A name is free again before anybody hears of the end.
2. Children end before their parent, the newest first.
3. Everyone who watches gets exactly one ``Down``.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from .ask import content
from .errors import InternalError, RestartsExceeded, StartFailed, WrongReply
from .letters import Down
from .supervision import ChildEnded, Ledger, Plan, Restart

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


def _conduct(cell: Cell, step: Step, *, may_wait: bool) -> None:
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
    _conduct(cell, _begin(cell, spawner), may_wait=cell.spec.actor.__async_start__)


async def _begin(cell: Cell, spawner: Spawned | None) -> None:
    cell.phase, cell.error = "starting", None
    cell.behaviour, cell.become_stack = cell.spec.actor.__behaviour__, ()
    try:
        cell.actor = cell.build()
        await _hook(cell, cell.actor.on_start, None)
    except BaseException as error:  # noqa: BLE001  whatever a start raises is its actor's failure
        if spawner is None and not cell.gone:
            crash(cell, error, None)
        elif spawner is not None:
            if not cell.gone:
                finish(cell, "failed", error)
            failed = StartFailed(f"{cell.address} did not start: {error!r}")
            failed.__cause__ = error
            spawner.settle(failed)
        return
    cell.phase = "live"
    cell.refresh()
    if spawner is not None:
        spawner.settle(None)


async def _halt(cell: Cell, hook: Callable[[], Awaitable[None] | None] | None, *, restarting: bool) -> None:
    """End an instance: children newest first, the user's hook, then what the instance owned."""
    keep = restarting and cell.spec.actor.keep_children
    children = [] if keep or cell.children is None else list(cell.children.values())
    for child in reversed(children):
        request_stop(child)
        if not child.gone:
            await child.end_future()
    if hook is not None:
        try:
            await _hook(cell, hook, cell.spec.shutdown_s)
        except Exception as error:  # noqa: BLE001  an end must not be kept from ending
            cell.system.reporter.problem(f"{cell.address} failed in {hook.__qualname__} and ends all the same", error)
    _release(cell, restarting=restarting)
    if restarting:
        cell.actor = None


async def _halt_to_restart(cell: Cell, error: object) -> None:
    old, failure = cell.actor, error if isinstance(error, BaseException) else None
    await _halt(cell, None if old is None else lambda: old.before_restart(failure), restarting=True)


def _may_wait(cell: Cell) -> bool:
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
    _conduct(cell, _restart(cell, error), may_wait=_may_wait(cell))


async def _restart(cell: Cell, error: object) -> None:
    await _halt_to_restart(cell, error)
    await _begin(cell, None)


def stop(cell: Cell, reason: object) -> None:
    """Signal: end for good, in order."""
    cell.phase = "stopping"
    cell.refresh()
    _conduct(cell, _stop(cell, str(reason), None), may_wait=_may_wait(cell))


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
    if cell.ended is not None and not cell.ended.done():
        cell.ended.set_result(None)


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


class _RestartTypes(Mapping[str, Restart]):
    """The live children as the pure ledger wants to see them."""

    __slots__ = ("_children",)

    def __init__(self, children: dict[str, Cell]) -> None:
        self._children = children

    def __getitem__(self, name: str) -> Restart:
        return self._children[name].spec.restart

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, child in self._children.items() if child.phase not in ("gone", "stopping")])

    def __len__(self) -> int:
        return len(self._children)


def crash(cell: Cell, error: BaseException, item: object) -> None:
    """The actor failed: it handles nothing until its supervisor's plan has been carried out."""
    cell.phase, cell.error = "failed", error
    cell.refresh()
    cell.system.reporter.crash(cell, error, content(item))
    instance_ended(cell, error)


def leave(cell: Cell, _: object = None) -> None:
    """Signal: the actor ends by its own decision; a permanent one is restarted."""
    if cell.phase == "live":
        cell.phase = "failed"
        cell.refresh()
        instance_ended(cell, None)


def instance_ended(child: Cell, error: BaseException | None) -> None:
    """Ask the parent's ledger what becomes of the children, and carry it out."""
    parent = child.parent
    if parent is None or parent.children is None or parent.phase in ("stopping", "gone"):
        child.post(STOP, _end, error)
        if parent is None and error is not None:
            child.system.escalated(error)
        return
    if parent.ledger is None:
        parent.ledger = Ledger(parent.spec.actor.supervision)
    significant = child.spec.significant
    others = sum(cell.spec.significant and cell is not child for cell in parent.children.values()) if significant else 0
    event = ChildEnded(
        child.name, error is not None, _RestartTypes(parent.children), significant, others, parent.system.random()
    )
    _carry_out(parent, child, parent.ledger.step(event, parent.system.loop.time()), error)


def _carry_out(parent: Cell, child: Cell, plan: Plan, error: BaseException | None) -> None:
    children = parent.children or {}
    for name in plan.end:
        if name == child.name:
            child.post(STOP, _end, error)
        else:
            request_stop(children[name])
    if plan.escalate:
        strategy = parent.spec.actor.supervision
        exceeded = RestartsExceeded(
            f"{parent.address}: its children failed more than {strategy.restarts} times in {strategy.within_s:g} s; "
            f"the last one was {child.name}, with {error!r}"
        )
        exceeded.__cause__ = error
        crash(parent, exceeded, None)
    elif plan.shut_down:
        parent.post(STOP, leave)
    elif plan.restart == (child.name,) and not plan.delay_s:
        child.post(SUPERVISION, restart, error)
    elif plan.restart:
        together = [children[name] for name in plan.restart]
        for cell in together:
            cell.phase = "failed"
            cell.refresh()
            if cell.round is not None:  # its members are all in the new round
                cell.round.cancel()
        task = parent.run_aside(_Round(together, plan.delay_s, error).run())
        for cell in together:
            cell.round = task


def _end(cell: Cell, error: object) -> None:
    """Signal: end for good after the instance has failed, or has left."""
    cell.phase = "stopping"
    cell.refresh()
    failure = error if isinstance(error, BaseException) else None
    step = _stop(cell, "stopped" if failure is None else "failed", failure)
    _conduct(cell, step, may_wait=_may_wait(cell))


class _Round:
    """One restart of several children: stop all, newest first; wait; start all, oldest first.

    A failure on the way begins another round by itself.
    """

    def __init__(self, cells: list[Cell], delay_s: float, error: BaseException | None) -> None:
        self._cells, self._delay_s, self._error = cells, delay_s, error
        self._stepped = asyncio.Event()

    async def run(self) -> None:
        for cell in reversed(self._cells):
            await self._step(cell, self._halt)
        await asyncio.sleep(self._delay_s)
        for cell in self._cells:
            await self._step(cell, self._begin)
            if cell.phase == "failed":
                return

    async def _step(self, cell: Cell, signal: Signal) -> None:
        """Have one cell take one step, for as long as it lives; a handler that is at work too long is cancelled."""
        self._stepped.clear()
        cell.post(SUPERVISION, signal)
        if cell.task is not None and cell.turn is not None and cell.spec.shutdown_s is not None:
            cell.system.loop.call_later(cell.spec.shutdown_s, _interrupt, cell, cell.task)
        ended, stepped = cell.end_future(), asyncio.ensure_future(self._stepped.wait())
        try:
            await asyncio.wait((ended, stepped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stepped.cancel()

    def _halt(self, cell: Cell, _: object) -> None:
        _conduct(cell, self._then(_halt_to_restart(cell, self._error)), may_wait=_may_wait(cell))

    def _begin(self, cell: Cell, _: object) -> None:
        _conduct(cell, self._then(_begin(cell, None)), may_wait=_may_wait(cell))

    async def _then(self, step: Step) -> None:
        await step
        self._stepped.set()


def _interrupt(cell: Cell, task: asyncio.Task[None]) -> None:
    if cell.task is task and cell.turn is not None:
        cell.turn.excuse = "cancelled"
        task.cancel()
