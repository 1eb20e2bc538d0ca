import asyncio
from collections.abc import Callable

import pytest

from trouper import Actor, Message
from trouper.runtime.actor.timers import Timers
from trouper.runtime.kernel import lifecycle
from trouper.runtime.kernel.cell import Cell
from trouper.testing import Simulation, SimulationFailed, simulate


class Tick(Message):
    pass


class Ticking(Actor):
    """Has a timer, a child and, after a tick, something in its stash."""

    def __init__(self, depth: int) -> None:
        self.depth = depth

    def on_start(self) -> None:
        self.timers.every("tick", 60.0, Tick())
        if self.depth:
            self.spawn_nowait(Ticking, self.depth - 1, name="child")


async def scenario(sim: Simulation) -> None:
    """A parent and a child, for a while."""
    await sim.node.spawn(Ticking, 1, name="parent")
    await asyncio.sleep(10)


def _keep_timers(patch: pytest.MonkeyPatch) -> None:
    def release(timers: Timers, cell: Cell, *, restarting: bool) -> None: ...

    patch.setattr(Timers, "release", release)


def _leave_children(patch: pytest.MonkeyPatch) -> None:
    async def end_children(cell: Cell) -> None: ...

    patch.setattr(lifecycle, "_end_children", end_children)


def _keep_resources(patch: pytest.MonkeyPatch) -> None:
    finish = lifecycle.finish

    def careless(cell: Cell, reason: str, error: BaseException | None) -> None:
        finish(cell, reason, error)
        cell.resources = [Timers.__new__(Timers)]

    patch.setattr(lifecycle, "finish", careless)


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (_keep_timers, r"a timer is still set: <TimerHandle when=1060\.0 Timers\._fire\("),
        (_leave_children, r"trouper://sim/user/parent/child#5 has not ended: live"),
        (_keep_resources, r"trouper://sim/user/parent#4 has ended and still has resources"),
    ],
)
def test_what_is_left_behind_is_found(
    break_it: Callable[[pytest.MonkeyPatch], None], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer, an actor or anything else that outlives the end of the node fails the simulation."""
    simulate(scenario)
    break_it(monkeypatch)
    with pytest.raises(SimulationFailed, match=expected):
        simulate(scenario)
