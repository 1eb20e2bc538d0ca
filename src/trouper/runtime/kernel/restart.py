"""Restarts: carries out what ``supervision.SupervisorState`` decides when a child has failed or stopped itself.

It is done at once, even while the parent's own handler is waiting: a parent that asks its failed child must not keep
that child from being restarted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from .errors import RestartsExceeded
from .lifecycle import (
    STOP,
    SUPERVISION,
    Signal,
    Transition,
    abandon_handler,
    begin,
    mark_failed,
    may_wait,
    request_stop,
    restart,
    run_transition,
    stop,
    stop_for_restart,
    stop_self,
)
from .supervision import ChildEnded, Restart, RestartPlan, SupervisorState

if TYPE_CHECKING:
    from .cell import Cell
    from .system import System


class _RestartTypes(Mapping[str, Restart]):
    """The restart types of the living children by name, as ``ChildEnded`` wants them."""

    __slots__ = ("_children",)

    def __init__(self, children: dict[str, Cell]) -> None:
        self._children = children

    def __getitem__(self, name: str) -> Restart:
        return self._children[name].spec.restart

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, child in self._children.items() if child.phase not in ("gone", "stopping")])

    def __len__(self) -> int:
        return len(self._children)


def instance_ended(child: Cell, error: BaseException | None) -> None:
    """Restart or stop the children as the parent's strategy says; if the parent fails by it, go on with its parent.

    error: the failure, or None when the child stopped itself.
    """
    failed: tuple[Cell, BaseException] | None = _one_ended(child, error)
    while failed is not None:
        mark_failed(*failed, None)
        failed = _one_ended(*failed)


def _one_ended(child: Cell, error: BaseException | None) -> tuple[Cell, BaseException] | None:
    """Handle the end of one instance; returns the supervisor that fails by it, with its error, or None."""
    parent = child.parent
    if parent is None or parent.children is None or parent.phase in ("stopping", "gone"):
        child.post(STOP, stop, error)
        if parent is None and error is not None:
            child.system.escalated(error)
        return None
    if parent.supervisor_state is None:
        parent.supervisor_state = SupervisorState(parent.spec.actor.supervision)
    significant = child.spec.significant
    others = sum(cell.spec.significant and cell is not child for cell in parent.children.values()) if significant else 0
    event = ChildEnded(
        child.name, error is not None, _RestartTypes(parent.children), significant, others, parent.system.random()
    )
    try:
        plan = parent.supervisor_state.step(event, parent.system.loop.time())
    except Exception as broken:  # noqa: BLE001  a strategy of the user's own may raise anything
        child.post(STOP, stop, error)
        return parent, broken
    strategy = parent.supervisor_state.strategy
    if plan.escalate:
        child.post(STOP, stop, error)
        exceeded = RestartsExceeded(
            f"{parent.address}: its children failed more than {strategy.intensity} times in {strategy.period_s:g} s; "
            f"the last one was {child.name}, with {parent.system.reporter.brief(error) if error else 'no error'}"
        )
        exceeded.__cause__ = error
        return parent, exceeded
    _carry_out(parent, child, plan, error)
    return None


def _carry_out(parent: Cell, child: Cell, plan: RestartPlan, error: BaseException | None) -> None:
    if plan.restart:
        wait = f" in {plan.delay_s:.3g} s" if plan.delay_s else ""
        with_it = f" with {len(plan.restart) - 1} others" if len(plan.restart) > 1 else ""
        parent.system.reporter.problem(f"{child.address} is restarted{wait}{with_it} by {parent.address}")
    if child.name in plan.end:
        child.post(STOP, stop, error)
    if plan.shut_down:
        parent.post(STOP, stop_self)
    elif plan.restart == (child.name,) and not plan.end and not plan.delay_s:
        child.post(SUPERVISION, restart, error)
    elif plan.restart:
        involved = {*plan.end, *plan.restart}
        together = [cell for name, cell in (parent.children or {}).items() if name in involved]
        for cell in together:
            cell.phase = "failed"
            cell.refresh()
            if cell.group_restart is not None:  # its members are all in the new one
                cell.group_restart.cancel()
        _begin_group_restart(parent.system, together, set(plan.end), plan.delay_s, error)


def _begin_group_restart(
    system: System, cells: list[Cell], ending: set[str], delay_s: float, error: BaseException | None
) -> None:
    """Restart children in a task; when the program has cancelled it, those that it has left behind are begun anew."""

    def on_done(task: asyncio.Task[None]) -> None:
        left = [cell for cell in cells if cell.group_restart is task and cell.phase == "failed"]
        if task.cancelled() and left and not system.closing:
            _begin_group_restart(system, left, ending, delay_s, error)

    task = system.background(_GroupRestart(cells, ending, delay_s, error).run())
    task.add_done_callback(on_done)
    for cell in cells:
        cell.group_restart = task


class _GroupRestart:
    """A restart of several children: stop all, newest first; wait; start all but those that end, oldest first.

    A failure meanwhile begins another group restart by itself.
    """

    def __init__(self, cells: list[Cell], ending: set[str], delay_s: float, error: BaseException | None) -> None:
        self._cells, self._ending, self._delay_s, self._error = cells, ending, delay_s, error
        self._stepped = asyncio.Event()
        self._failed = False

    async def run(self) -> None:
        for cell in reversed(self._cells):
            if cell.name in self._ending:
                request_stop(cell)
                await asyncio.shield(cell.end_future())
            else:
                await self._step(cell, self._halt)
        await asyncio.sleep(self._delay_s)
        for cell in self._cells:
            if not cell.gone:
                await self._step(cell, self._begin)
            if self._failed:
                return

    async def _step(self, cell: Cell, signal: Signal) -> None:
        """Run one signal of a cell to its end, or until the actor ends; a handler that takes too long is cancelled."""
        self._stepped.clear()
        cell.post(SUPERVISION, signal)
        if cell.task is not None and cell.invocation is not None and cell.spec.shutdown_s is not None:
            cell.system.loop.call_later(cell.spec.shutdown_s, _interrupt, cell, cell.task)
        ended, stepped = cell.end_future(), asyncio.ensure_future(self._stepped.wait())
        try:
            await asyncio.wait((ended, stepped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stepped.cancel()

    def _halt(self, cell: Cell, _: object) -> None:
        if cell.phase != "failed":
            self._stepped.set()
        else:
            run_transition(cell, self._then(stop_for_restart(cell, self._error)), may_wait=may_wait(cell))

    def _begin(self, cell: Cell, _: object) -> None:
        if cell.phase != "failed":
            self._stepped.set()
        else:
            run_transition(cell, self._start(cell), may_wait=may_wait(cell))

    async def _then(self, transition: Transition) -> None:
        await transition
        self._stepped.set()

    async def _start(self, cell: Cell) -> None:
        await begin(cell, None, restarting=True)
        self._failed = cell.phase == "failed"
        self._stepped.set()


def _interrupt(cell: Cell, task: asyncio.Task[None]) -> None:
    if cell.spec.off_loop:
        abandon_handler(cell, task)  # what runs in a thread cannot be cancelled
    elif cell.task is task and cell.invocation is not None:
        cell.invocation.cancel("cancelled")
