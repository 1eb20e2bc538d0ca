"""The kit for extensions: it runs them on simulated nodes, and finds one that does not keep to its life."""

from __future__ import annotations

import pytest

from trouper import Actor, Message, handler
from trouper.lowlevel import Extension, NodeContext, PeerInfo
from trouper.testing import Simulation, SimulationFailed, check_extension, simulate_extension


class Count(Message[int]):
    """The reply is how many of these came."""


class Counter(Actor):
    def __init__(self) -> None:
        self.count = 0

    @handler
    def add(self, msg: Count) -> int:
        self.count += 1
        return self.count


class Counting(Extension, name="counting"):
    """Counts the requests of other nodes."""

    async def start(self, ctx: NodeContext) -> None:
        self.counter = await ctx.spawn(Counter, name="counter")
        ctx.serve(Count, self.on_count)

    async def on_count(self, msg: Count, peer: PeerInfo) -> int:
        return await self.counter.ask(msg)

    async def count(self, name: str) -> int:
        peer = self.context.peers.get(name)
        assert peer is not None
        return await self.context.ask(peer.node_id, Count())


class OnCounting(Extension, name="on_counting", requires=[Counting]):
    """Needs the other one."""


class Forgetful(Counting, name="forgetful"):
    """Serves nothing at its second start."""

    async def start(self, ctx: NodeContext) -> None:
        if self.context.node.extensions[0].restarts == 0:
            await super().start(ctx)


class Broken(Counting, name="broken"):
    """Does not start a second time."""

    async def start(self, ctx: NodeContext) -> None:
        if self.context.node.extensions[0].restarts > 0:
            raise OSError("no second start")
        await super().start(ctx)


def test_a_scenario_calls_extensions_on_simulated_nodes() -> None:
    """By name, in the loop of each; the same seed gives the same run."""
    counts: list[int] = []

    async def scenario(simulation: Simulation) -> None:
        counts.extend([await simulation.run_on(name, lambda node: node[Counting].count("n3")) for name in ("n1", "n2")])

    one, two = (simulate_extension(Counting, scenario, seed=7) for _ in range(2))
    assert counts == [1, 2, 1, 2]
    assert one.digest == two.digest


def test_the_check_of_the_life_of_an_extension_passes_a_good_one() -> None:
    """Also with what it requires."""
    check_extension(Counting)
    check_extension(OnCounting, requires=[Counting])


def test_the_check_finds_an_extension_that_forgets() -> None:
    """What it served before its failure, and does not serve after it."""
    with pytest.raises(SimulationFailed, match=r"extension forgetful has \(\[\], \[\]\) after a failure, and had"):
        check_extension(Forgetful)


def test_an_extension_that_does_not_run_again_is_found() -> None:
    """By the check, whose wait gets the error, and by any scenario, at its end."""
    with pytest.raises(Exception, match="no second start"):
        check_extension(Broken)

    async def scenario(simulation: Simulation) -> None:
        actor = simulation["n1"].find("system/broken")
        assert actor is not None
        simulation.crash(actor)

    with pytest.raises(SimulationFailed, match="extension broken of node n1 is failed: OSError: no second start"):
        simulate_extension(Broken, scenario)
