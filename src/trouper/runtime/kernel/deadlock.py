"""The wait-for graph of one node, and the search for the cycle that a new wait would close (law 6).

The vertices are handlers at work (``Invocation``).  A handler points at its waits, a wait at the actor that it waits
for, and that actor at the handler that must end first.  Waits are entered in both directions, in ``Invocation.waits``
and in ``Cell.waited_for``, so that the search can start from both ends.

Complexity: entering and leaving a wait is O(1).  The search alternates between the two ends and stops as soon as
either of them is exhausted, so it costs at most twice the smaller side.  The usual ask, of an actor that is idle or
whose handler waits for nothing, or by a handler that nobody waits for, is O(1), however many handlers are at work
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from .errors import DeadlockError

if TYPE_CHECKING:
    from .ask import Invocation
    from .cell import Cell

    Neighbours = Callable[[Invocation], Iterator[Invocation | None]]


class Wait(Protocol):
    """An edge of the graph: ``asker`` waits until ``target`` makes progress.

    handler: the reentrant handler that works on it; None while it is queued, or belongs to the actor's main handler.
    """

    target: Cell
    asker: Invocation | None
    handler: Invocation | None


def begin_wait(asker: Invocation, wait: Wait) -> None:
    """Enter a wait."""
    if asker.waits is None:
        asker.waits = {}
    asker.waits[wait] = None
    target = wait.target
    if target.waited_for is None:
        target.waited_for = {}
    target.waited_for[wait] = None


def end_wait(asker: Invocation, wait: Wait) -> None:
    """Remove a wait; one that is not in the graph is ignored."""
    if asker.waits is not None:
        asker.waits.pop(wait, None)
    waited_for = wait.target.waited_for
    if waited_for is not None:
        waited_for.pop(wait, None)
        if not waited_for:
            wait.target.waited_for = None  # an empty dict would outweigh an idle actor


def end_waits(asker: Invocation) -> None:
    """Remove all waits of a handler that has ended: asks that it made and did not await."""
    for wait in list(asker.waits or ()):
        end_wait(asker, wait)
    asker.waits = None


def check_cycle(asker: Invocation, target: Cell) -> None:
    """Raise ``DeadlockError`` if the handler at work in ``target`` waits, directly or indirectly, for ``asker``."""
    first = target.invocation
    if first is None:
        return
    path = [asker] if first is asker else _find_path(first, asker) if first.waits else None
    if path is not None:
        raise DeadlockError(tuple(str(invocation.cell.address) for invocation in (asker, *path)))


def _find_path(start: Invocation, end: Invocation) -> list[Invocation] | None:
    """Return the handlers from ``start`` to ``end``, each waiting for the next one; None when there is no path."""
    came_from: dict[Invocation, Invocation | None] = {start: None}
    leads_to: dict[Invocation, Invocation | None] = {end: None}
    forward, backward = _explore(came_from, _blockers), _explore(leads_to, _waiters)
    while True:
        for search, goal in ((backward, start), (forward, end)):
            try:
                found = next(search)
            except StopIteration:
                return None
            if found is goal:
                seen = came_from if goal is end else leads_to
                path = [goal]
                while (further := seen[path[-1]]) is not None:
                    path.append(further)
                return path if goal is start else path[::-1]


def _explore(seen: dict[Invocation, Invocation | None], neighbours: Neighbours) -> Iterator[Invocation | None]:
    """Search depth first from what is in ``seen``, one edge a step, and note from where each handler was reached."""
    front = list(seen)
    while front:
        at = front.pop()
        for found in neighbours(at):
            if found is not None and found not in seen:
                seen[found] = at
                front.append(found)
            yield found


def _blockers(invocation: Invocation) -> Iterator[Invocation | None]:
    """Yield for each wait the handler that must end first: the one that works on the ask, or keeps it queued."""
    for wait in invocation.waits or ():
        yield wait.handler or wait.target.invocation


def _waiters(invocation: Invocation) -> Iterator[Invocation | None]:
    """Yield the handlers that wait for this one to end."""
    if invocation.answers is not None and invocation.answers.handler is invocation:
        yield invocation.answers.asker
    if invocation.cell.invocation is invocation:
        for wait in invocation.cell.waited_for or ():
            yield wait.asker if wait.handler is None else None
