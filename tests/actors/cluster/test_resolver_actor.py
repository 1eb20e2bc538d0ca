"""The resolver's actor asks, waits and gives orders, on whole nodes."""

import asyncio

import pytest
from msgspec.structs import replace

from tests.actors.cluster.stage import REJOINING, Seen, Witness, play, view
from trouper.actors.cluster.splitbrain.resolver import SplitBrainSettings
from trouper.actors.cluster.splitbrain.strategies import DownAll, KeepOldest, LeaseMajority, StaticQuorum
from trouper.testing import Simulation


class OneLease:
    """A lease that one node can have, shared by all nodes of a simulation."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self.had: list[str] = []

    def of(self, node: str) -> "Seat":
        """The lease as one node sees it."""
        return Seat(self, node)


class Seat:
    """One node's way to the lease."""

    def __init__(self, lease: OneLease, node: str) -> None:
        self.lease, self.node = lease, node

    async def acquire(self) -> bool:
        if self.lease.holder in (None, self.node):
            self.lease.holder = self.node
            self.lease.had.append(self.node)
        return self.lease.holder == self.node

    async def release(self) -> None:
        if self.lease.holder == self.node:
            self.lease.holder = None


async def _cut(sim: Simulation, *sides: list[str]) -> list[str]:
    await asyncio.sleep(5.0)  # by then all count as up
    sim.partition(*sides)
    await asyncio.sleep(60.0)
    return [view(node) for node in sim.nodes]


def test_a_quorum_that_is_too_large_downs_both_sides() -> None:
    """And both come back together once the cut is repaired: nobody founds a cluster without the quorum."""

    async def scene(sim: Simulation) -> None:
        seen = await _cut(sim, ["n1", "n2"], ["n3", "n4"])
        assert seen == ["n1", "n2", "n3", "n4"]

    quorum = replace(REJOINING, split_brain=SplitBrainSettings(StaticQuorum(3)))
    play(scene, nodes=4, config=quorum)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_oldest_decides(seed: int) -> None:
    """The side of the node that joined first goes on, however small it is: it finds all others unreachable at once."""

    async def scene(sim: Simulation) -> None:
        seen = await _cut(sim, ["n1", "n2"], ["n3", "n4", "n5"])
        assert seen[:2] == ["n1 n2", "n1 n2"]
        assert seen[2:] == ["n3", "n4", "n5"]

    play(scene, nodes=5, seed=seed, config=replace(REJOINING, split_brain=SplitBrainSettings(KeepOldest())))


def test_the_side_that_gets_the_lease_goes_on() -> None:
    """The other one hears that it is taken, and goes down."""
    lease = OneLease()

    async def scene(sim: Simulation) -> None:
        seen = await _cut(sim, ["n1", "n2"], ["n3", "n4"])
        assert lease.had, "nobody has asked for it"
        kept = {"n1 n2"} if lease.had[0] in ("n1", "n2") else {"n3 n4"}
        assert kept <= set(seen)
        assert sum(names in seen for names in ("n1 n2", "n3 n4")) == 1

    strategy = SplitBrainSettings(LeaseMajority())
    play(scene, nodes=4, config=lambda name: replace(REJOINING, split_brain=strategy, lease=lease.of(name)))


def test_nothing_is_settled_without_a_resolver() -> None:
    """Members stay unreachable until they are back."""

    async def scene(sim: Simulation) -> None:
        witness = await sim["n1"].spawn(Witness)
        assert await _cut(sim, ["n1"], ["n2", "n3"]) == ["n1 !n2 !n3", "!n1 n2 n3", "!n1 n2 n3"]
        sim.repair()
        await asyncio.sleep(60.0)
        assert {view(node) for node in sim.nodes} == {"n1 n2 n3"}
        assert not [line for line in await witness.ask(Seen()) if line.startswith(("MemberDown", "split_brain"))]

    play(scene, config=replace(REJOINING, split_brain=None))


def test_down_all_downs_everybody() -> None:
    """For those who would rather begin anew."""

    async def scene(sim: Simulation) -> None:
        assert await _cut(sim, ["n1", "n2"], ["n3"]) == ["n1", "n2", "n3"]

    play(scene, config=replace(REJOINING, split_brain=SplitBrainSettings(DownAll())))
