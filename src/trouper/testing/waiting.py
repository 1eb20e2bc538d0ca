"""What each task and actor of a loop waits for: the report when a program on virtual time can never go on.

Nothing here runs unless a test has failed, so it may be slow: the nodes of the loop are found by asking the garbage
collector, so that no other run has to keep a register of them.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable

from ..runtime.kernel.cell import Cell
from ..runtime.kernel.system import System
from ..runtime.observe.reports import bounded, bounded_repr

LINES_MAX = 40
"""Tasks, and actors, that are listed; the rest is counted."""
_FRAMES_MAX = 12
_TASK_CHARS_MAX = 400


def describe_waiting(loop: asyncio.AbstractEventLoop) -> str:
    """List the tasks that wait, innermost line first, and the actors that have mail, are at work or do not start."""
    tasks = [_describe_task(task) for task in sorted(asyncio.all_tasks(loop), key=_age)]
    actors = [_describe_cell(cell) for system in _systems(loop) for cell in system.cells() if _is_busy(cell)]
    return "\n".join([*_section("waiting tasks", tasks), *_section("actors with mail or at work", actors)])


def _section(title: str, lines: list[str]) -> Iterable[str]:
    yield f"{title}: {len(lines) or 'none'}"
    yield from (f"  {line}" for line in lines[:LINES_MAX])
    if len(lines) > LINES_MAX:
        yield f"  ... and {len(lines) - LINES_MAX} more"


def _age(task: asyncio.Task[object]) -> int:
    return hash(task)  # on the virtual loop a task's hash is its number


def _describe_task(task: asyncio.Task[object]) -> str:
    places: list[str] = []
    waits_for: object = task.get_coro()
    while waits_for is not None and len(places) < _FRAMES_MAX:
        frame = getattr(waits_for, "cr_frame", None) or getattr(waits_for, "gi_frame", None)
        if frame is None:
            break
        places.append(f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno} in {frame.f_code.co_qualname}")
        waits_for = getattr(waits_for, "cr_await", None) or getattr(waits_for, "gi_yieldfrom", None)
    return bounded(f"{task.get_name()} at {', called from '.join(reversed(places)) or 'no line'}", _TASK_CHARS_MAX)


def _systems(loop: asyncio.AbstractEventLoop) -> list[System]:
    """Find the nodes in a loop; ``type`` and not ``isinstance``, which would wake lazy objects of other packages."""
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), System)]
    return sorted((system for system in found if getattr(system, "loop", None) is loop), key=lambda each: each.name)


def _is_busy(cell: Cell) -> bool:
    return bool(cell.mail) or cell.invocation is not None or cell.task is not None or cell.phase == "failed"


def _describe_cell(cell: Cell) -> str:
    waits = sorted(
        str(wait.target.address) for wait in (cell.invocation.waits or () if cell.invocation is not None else ())
    )
    waits_text = f", waits for {', '.join(waits)}" if waits else ""
    first = f", next {bounded_repr(_first(cell))}" if cell.mail else ""
    return bounded(f"{cell.address}: {cell.describe()}{waits_text}{first}", _TASK_CHARS_MAX)


def _first(cell: Cell) -> object:
    item = next(iter(cell.mail or ()), None)
    return getattr(item, "message", item)
