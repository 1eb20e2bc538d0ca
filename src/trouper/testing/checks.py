"""What must hold at the end of every simulation, whatever the scenario was about.

Law 11 (accounting), law 8 (timers end with their actor), and that an ended actor refers to nothing any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ..runtime.actor.timers import Timers
from ..runtime.kernel.cell import Cell
from ..runtime.observe.accounting import Accounting
from ..runtime.observe.reports import bounded, trace
from .virtual_time import VirtualLoop

PROBLEMS_MAX = 20
_TRACE_CHARS_MAX = 3_000


class SimulationFailed(AssertionError):
    """A simulation left something behind, or lost a message."""


def miscounted(accounting: Accounting, *, ended: bool) -> list[str]:
    """Report missing messages; ended: none may be in flight or stashed either."""
    problems: list[str] = []
    if accounting.missing:
        problems.append(f"{accounting.missing} messages are unaccounted for: {accounting}")
    if ended and (accounting.in_flight or accounting.stashed):
        problems.append(f"messages are still under way after the end: {accounting}")
    return problems


def leaked(cells: Iterable[Cell]) -> list[str]:
    """Report cells whose actors have not ended, or have ended and still refer to something."""
    problems: list[str] = []
    for cell in cells:
        holds = {
            "mail": cell.mail,
            "signals": cell.signals,
            "a task": cell.task,
            "a message at work": cell.invocation,
            "children": cell.children,
            "tasks beside its handlers": cell.background_tasks,
            "resources": cell.resources,
            "an instance": cell.actor,
        }
        held = [name for name, value in holds.items() if value]
        if not cell.gone:
            problems.append(f"{cell.address} has not ended: {cell.describe()}")
        elif held:
            problems.append(f"{cell.address} has ended and still has {', '.join(held)}")
    return problems


def forgotten_timers(loop: VirtualLoop) -> list[str]:
    """Report timers of actors that are still set."""
    problems: list[str] = []
    for handle in loop.pending_timers():
        owner = getattr(getattr(handle, "_callback", None), "__self__", None)
        if isinstance(owner, Timers):
            problems.append(f"a timer is still set: {handle!r}")
    return problems


def failed_tasks(tasks: Iterable[asyncio.Task[object]]) -> list[str]:
    """Report tasks that have failed."""
    problems: list[str] = []
    for task in tasks:
        error = task.exception()
        if error is not None:
            problems.append(f"{task.get_name()} failed unseen: {bounded(trace(error), _TRACE_CHARS_MAX)}")
    return problems


def hold(problems: list[str]) -> None:
    """Raise ``SimulationFailed`` with the first problems, if there are any."""
    if problems:
        more = f"\n... and {len(problems) - PROBLEMS_MAX} more" if len(problems) > PROBLEMS_MAX else ""
        raise SimulationFailed("\n".join(problems[:PROBLEMS_MAX]) + more)
