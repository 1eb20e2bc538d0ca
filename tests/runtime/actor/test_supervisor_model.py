"""The real tree beside the reference model, for random trees and random things that happen to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.actor.supervisor_model import Child, History, Model, Spec
from tests.runtime.stage import cell_of
from trouper import (
    Actor,
    ActorRef,
    ChildRefused,
    Message,
    Node,
    OneForAll,
    OneForOne,
    RestForOne,
    Supervisor,
    SupervisorHandle,
    handler,
)
from trouper import Child as ChildSpecification
from trouper.runtime.kernel.cell import Cell
from trouper.runtime.kernel.lifecycle import SUPERVISION, crash
from trouper.runtime.kernel.supervision import AutoShutdown, Restart
from trouper.testing import VirtualLoop, run_virtual, settle

STRATEGIES = {"one_for_one": OneForOne, "one_for_all": OneForAll, "rest_for_one": RestForOne}


class Fail(Message[None]):
    """Raise."""


class Leave(Message[None]):
    """The actor stops itself."""


@dataclass(eq=False)
class World:
    """What the workers of one example share."""

    history: History
    broken: dict[str, int]


class Worker(Actor):
    """Appends its starts and stops to the history."""

    def __init__(self, world: World, path: str) -> None:
        self.world, self.path, self.up = world, path, False

    def on_start(self) -> None:
        if self.world.broken.get(self.path, 0) > 0:
            self.world.broken[self.path] -= 1
            self.world.history.append(("broken", self.path))
            raise ValueError("broken")
        self.up = True
        self.world.history.append(("start", self.path))

    def on_stop(self) -> None:
        if self.up:
            self.world.history.append(("stop", self.path))

    @handler
    def fail(self, _: Fail) -> None:
        raise ValueError("told to fail")

    @handler
    def leave(self, _: Leave) -> None:
        self.stop()


class SlowWorker(Worker):
    """The same with hooks that have to wait, so that each step of the life is a task."""

    async def on_start(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  a hook may be either
        await asyncio.sleep(0)
        super().on_start()

    async def on_stop(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  a hook may be either
        await asyncio.sleep(0)
        super().on_stop()


def specification(spec: Spec, path: str, world: World, worker: type[Worker]) -> ChildSpecification:
    """Say to Trouper what ``spec`` says to the model."""
    if spec.strategy is None:
        return ChildSpecification(
            worker, world, path, name=spec.name, restart=spec.restart, significant=spec.significant
        )
    strategy = STRATEGIES[spec.strategy](spec.restarts, spec.within_s, None, spec.auto_shutdown)
    kids = [specification(kid, f"{path}/{kid.name}", world, worker) for kid in spec.kids]
    made = partial(Supervisor, *kids, strategy=strategy)
    return ChildSpecification(made, name=spec.name, restart=spec.restart, significant=spec.significant)


# --- what is drawn ---------------------------------------------------------------------------------------------------

RESTARTS: list[Restart] = ["permanent", "transient", "temporary"]
AUTO: list[AutoShutdown] = ["never", "never", "any_significant", "all_significant"]


@st.composite
def workers(draw: st.DrawFn, name: str, *, may_be_significant: bool) -> Spec:
    """A worker of any kind."""
    restart = draw(st.sampled_from(RESTARTS))
    return Spec(name, restart, may_be_significant and restart != "permanent" and draw(st.booleans()))


@st.composite
def supervisors(draw: st.DrawFn, name: str, depth: int, *, may_be_significant: bool) -> Spec:
    """A supervisor of any kind, with up to four children, of which one in four is a supervisor too."""
    auto = draw(st.sampled_from(AUTO))
    significant = auto != "never"
    kids = [
        draw(supervisors(f"s{each}", depth - 1, may_be_significant=significant))
        if depth and draw(st.integers(0, 3)) == 0
        else draw(workers(f"w{each}", may_be_significant=significant))
        for each in range(draw(st.integers(1, 4)))
    ]
    own = draw(workers(name, may_be_significant=may_be_significant))
    return replace(
        own,
        strategy=draw(st.sampled_from(sorted(STRATEGIES))),
        restarts=draw(st.integers(0, 3)),
        auto_shutdown=auto,
        kids=tuple(kids),
    )


happenings = st.lists(
    st.tuples(
        st.sampled_from(["fail", "fail", "fail", "leave", "stop", "wait", "break", "start", "restart", "delete"]),
        st.integers(0, 50),
    ),
    max_size=15,
)


def by_supervisor(history: History) -> dict[str, History]:
    """What happened to the children of each supervisor."""
    found: dict[str, History] = {}
    for event in history:
        found.setdefault(event[1].rpartition("/")[0], []).append(event)
    return found


class Comparison:
    """One example: the model, the real tree, and the same things happening to both."""

    def __init__(self, node: Node, top: Spec, worker: type[Worker]) -> None:
        self.node, self.top, self.worker = node, top, worker
        self.model = Model(top)
        self.world = World([], {})
        self.added = 0

    async def start(self) -> None:
        made = specification(self.top, f"/{self.top.name}", self.world, self.worker)
        await self.node.spawn(made.actor, name=self.top.name, restart=self.top.restart, shutdown_s=None)

    def check(self) -> None:
        """The living children in order, and those started and stopped since the last check in order.

        When the end of a child has ended its supervisor, its subtree and its ancestors' other children end at the
        same time: then the order is compared among the children of each supervisor.
        """
        assert self.real_alive() == self.model.alive()
        happened, expected = self.world.history, self.model.history
        if self.model.climbed:
            assert by_supervisor(happened) == by_supervisor(expected)
        else:
            assert happened == expected
        happened.clear()
        expected.clear()
        self.model.climbed = False

    def real_alive(self) -> list[str]:
        return [str(cell.address.path).removeprefix("user") for cell in self._walk(self.node.system.user)]

    def _walk(self, parent: Cell) -> Iterator[Cell]:
        for cell in (parent.children or {}).values():
            yield cell
            yield from self._walk(cell)

    def ref(self, child: Child) -> ActorRef:
        return next(cell.ref for cell in self._walk(self.node.system.user) if f"user{child.path}" == cell.address.path)

    async def happen(self, what: str, number: int) -> None:
        alive = list(self.model.children())
        if what == "wait":
            loop = self.node.system.loop
            assert isinstance(loop, VirtualLoop)
            loop.leap(float(number % 8))
            self.model.now += number % 8
        elif alive:
            child = alive[number % len(alive)]
            if what in ("start", "restart", "delete"):
                await self._manage(what, number, child)
            else:
                self._befall(what, number, child)
        await settle()

    def _befall(self, what: str, number: int, child: Child) -> None:
        ref, worker = self.ref(child), child.spec.strategy is None
        if what == "fail":
            if worker:
                ref.tell(Fail())
            else:
                cell_of(ref).post(SUPERVISION, lambda cell, _: crash(cell, ValueError("told to fail"), None))
            self.model.ended_by_itself(child, failed=True)
        elif what == "leave" and worker:
            ref.tell(Leave())
            self.model.ended_by_itself(child, failed=False)
        elif what == "stop":
            ref.stop()
            self.model.terminate(child)
        elif what == "break" and worker:
            self.world.broken[child.path] = self.model.broken[child.path] = number % 3

    async def _manage(self, what: str, number: int, child: Child) -> None:
        parent = child if child.spec.strategy is not None else child.parent
        assert parent is not None, "every worker has a supervisor"
        handle = SupervisorHandle(self.ref(parent))
        names = list(parent.listed) or ["absent"]
        name = names[number % len(names)]
        refusal: str | None = None
        expected: str | None = None
        try:
            if what == "start":
                self.added += number % 2
                spec = Spec(f"d{self.added}", RESTARTS[number % 3])
                expected = self.model.start_child(parent, spec)
                await handle.start_child(specification(spec, f"{parent.path}/{spec.name}", self.world, self.worker))
            elif what == "restart":
                expected = self.model.restart_child(parent, name)
                await handle.restart_child(name)
            else:
                expected = self.model.delete_child(parent, name)
                await handle.delete_child(name)
        except ChildRefused as error:
            refusal = error.reason
        assert refusal == expected


async def compare(top: Spec, happening: list[tuple[str, int]], worker: type[Worker]) -> None:
    """Let the same happen to both, and hold one against the other after each event."""
    async with Node(supervision=OneForOne(intensity=1_000_000), shutdown_s=None) as node:
        comparison = Comparison(node, top, worker)
        await comparison.start()
        comparison.check()
        for what, number in happening:
            await comparison.happen(what, number)
            comparison.check()


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Hundreds of thousands of planned crashes need no log."""
    log = logging.getLogger("trouper")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)


@given(supervisors("top", 2, may_be_significant=False), happenings)
def test_the_tree_does_what_the_model_of_otp_does(top: Spec, happening: list[tuple[str, int]]) -> None:
    """For any tree and whatever happens to it, the same children live, started and stopped in the same order."""
    run_virtual(lambda: compare(top, happening, Worker))


@given(supervisors("top", 2, may_be_significant=False), happenings)
def test_the_tree_does_the_same_when_every_hook_waits(top: Spec, happening: list[tuple[str, int]]) -> None:
    """Hooks that have to wait change when things happen, and nothing else."""
    run_virtual(lambda: compare(top, happening, SlowWorker))
