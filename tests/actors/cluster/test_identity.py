"""Nodes that come back: as another generation of their name, which no clock has numbered, they are reached by all."""

import asyncio
import time

import pytest
from msgspec.structs import replace

from tests.actors.cluster.stage import PLAIN, Seen, Witness, found, play, view
from trouper import Actor, ActorRef, ActorStopped, Message, Node, handler
from trouper.runtime.kernel.address import NodeId
from trouper.testing import Probe, Simulation, run_virtual, simulate

USUAL_S = 10.0
"""Seconds within which a node that came back is reached by all."""


class Count(Message[int]):
    """The reply is how often it was asked."""


class Counter(Actor):
    """Counts what it is asked."""

    count = 0

    @handler
    def tell_count(self, msg: Count) -> int:
        self.count += 1
        return self.count


async def _begin(node: Node) -> None:
    await node.spawn(Counter, name="counter")


async def _reached_by_all(sim: Simulation, name: str) -> list[ActorRef]:
    """All show the present generation of a node as a member, and reach its actors; returns their refs."""
    refs: list[ActorRef] = []
    for node in sim.nodes:
        if node.name == name:
            continue
        member = found(node, name)
        assert (member.status, member.generation) == ("alive", sim[name].network.node_id.generation)
        ref = await node.network.whereis(name, "user/counter")
        assert ref is not None
        assert await ref.ask(Count()) > 0
        refs.append(ref)
    return refs


async def _comes_back(sim: Simulation, clocks: "WrongClocks", *, after_s: float) -> None:
    await sim.boot(_begin)
    for shift_years in (-50, 50, 0, -1, 1):
        before = await _reached_by_all(sim, "n3")
        probes = [Probe(sim[name]) for name in ("n1", "n2")]
        for probe, ref in zip(probes, before, strict=True):
            probe.watch(ref)
        sim.crash("n3")
        clocks.shift_s = shift_years * 365 * 86_400.0
        await asyncio.sleep(after_s)
        await sim.restart("n3")
        await asyncio.sleep(USUAL_S)
        after = await _reached_by_all(sim, "n3")
        for probe, old, new in zip(probes, before, after, strict=True):
            await probe.expect_down(old, "node_lost")
            assert old != new
            with pytest.raises(ActorStopped):
                await old.ask(Count())
        assert {view(node) for node in sim.nodes} == {"n1 n2 n3"}


class WrongClocks:
    """Sets the wall clock of the whole process wrong, by so many seconds."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.shift_s = 0.0
        now_s, now_ns = time.time, time.time_ns
        patch.setattr(time, "time", lambda: now_s() + self.shift_s)
        patch.setattr(time, "time_ns", lambda: now_ns() + int(self.shift_s * 1e9))


@pytest.mark.parametrize("after_s", [0.01, 1.0, 60.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_node_that_comes_back_with_its_clock_years_off_is_reached_by_all(
    seed: int, after_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was missed or not: as a member, and by new refs to its actors; old refs are dead, their watchers told.

    Once for each restart, with a clock that is 50 years behind, then ahead, then right, and so on.
    """
    clocks = WrongClocks(monkeypatch)
    play(lambda sim: _comes_back(sim, clocks, after_s=after_s), seed=seed)


async def _twice_in_a_second(sim: Simulation) -> None:
    await sim.boot(_begin)
    seen = {sim["n3"].network.node_id.generation}
    for pause_s in (0.0, 0.001, 0.2):
        for _ in range(2):
            sim.crash("n3")
            await asyncio.sleep(pause_s)
            await sim.restart("n3")
            await asyncio.sleep(pause_s)
            seen.add(sim["n3"].network.node_id.generation)
        await asyncio.sleep(USUAL_S)
        await _reached_by_all(sim, "n3")
    assert len(seen) == 7


@pytest.mark.parametrize("seed", range(5))
def test_a_node_that_starts_twice_in_one_second_is_reached_by_all(seed: int) -> None:
    """Also when the first start did not live long enough to join."""
    play(_twice_in_a_second, seed=seed)


async def _stale_ref(sim: Simulation) -> None:
    await sim.boot(_begin)
    old = sim["n3"].network.node_id
    stranger = await sim["n2"].network.whereis("n3", "user/counter")
    assert stranger is not None
    sim.crash("n3")
    await sim.restart("n3")
    await asyncio.sleep(USUAL_S)
    await _reached_by_all(sim, "n3")
    passed_on = sim["n1"].network.directory.cell(old, stranger.address.uid, "user/counter").ref
    with pytest.raises(ActorStopped):
        await passed_on.ask(Count())
    assert await passed_on.wait_stopped() == "node_lost"
    now = sim["n3"].network.node_id
    assert now != old
    same_path = sim["n1"].network.directory.cell(now, stranger.address.uid, "user/counter").ref
    assert passed_on != same_path


def test_a_ref_of_an_ended_generation_that_is_passed_on_late_is_dead() -> None:
    """It does not reach the actor of the same path and uid in the present generation."""
    play(_stale_ref)


async def _cut_off(sim: Simulation) -> None:
    """One node alone is cut off, taken down by the others, and comes back as another generation meanwhile."""
    await sim.boot(_begin)
    sim.partition("n3")
    await asyncio.sleep(20)
    if sim.is_up("n3"):
        sim.crash("n3")
    sim.repair()
    await sim.restart("n3")
    await asyncio.sleep(USUAL_S)
    await _reached_by_all(sim, "n3")


@pytest.mark.parametrize("seed", range(3))
def test_a_node_that_was_cut_off_and_started_again_is_reached_by_all(seed: int) -> None:
    """The others may have taken the earlier generation down, or not yet."""
    play(_cut_off, seed=seed)


# -- nodes outside of a simulation, on virtual time --------------------------------------------------------------------


def _node(name: str, at: str, *join: str) -> Node:
    config = replace(PLAIN, announce=frozenset())
    return Node(name, listen=f"inprocess://{at}", join=[f"inprocess://{other}" for other in join], cluster=config)


@pytest.mark.parametrize("shift_s", [-1.6e9, 1.6e9])
def test_the_generation_of_a_node_comes_from_no_clock(shift_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has 64 random bits; a node that starts in 1970 is reached where the one before it was reached."""
    clocks = WrongClocks(monkeypatch)
    generations: list[int] = []

    async def main() -> None:
        async with _node("a", "a", "b") as a:
            for shift in (0.0, shift_s, 0.0):
                clocks.shift_s = shift
                async with _node("b", "b", "a") as b:
                    await b.spawn(Counter, name="counter")
                    await a.cluster.wait_for(2)
                    ref = await a.network.whereis("b", "user/counter")
                    assert ref is not None
                    assert await ref.ask(Count()) == 1
                    generations.append(b.network.node_id.generation)
                assert await ref.wait_stopped() in ("stopped", "node_lost")

    run_virtual(main)
    assert len(set(generations)) == 3
    assert all(0 < generation < 2**64 for generation in generations)
    assert max(generation.bit_length() for generation in generations) > 56, "a clock in nanoseconds has 61 bits"


def test_a_second_node_of_a_living_members_name_is_refused_and_the_member_keeps_its_name() -> None:
    """It is told why, as often as it tries; the member is reached as before, also when no session with it was open."""

    async def main() -> None:
        async with _node("a", "a", "a") as a, _node("b", "b", "a") as b, _node("c", "c", "a") as c:
            counter = await b.spawn(Counter, name="counter")
            await a.cluster.wait_for(3)
            ref = await a.network.whereis("b", "user/counter")
            assert ref is not None
            await asyncio.sleep(60)
            async with _node("b", "b2", "a", "c") as second:
                witness = await second.spawn(Witness)
                await asyncio.sleep(20)
                seen = await witness.ask(Seen())
                reason = "another b is alive at inprocess://b; take another name, or wait until it ends"
                assert {line for line in seen if line.startswith("refused")} == {
                    f"refused: inprocess://{seed} refuses this node (name_taken): {reason}" for seed in ("a", "c")
                }
                assert not second.cluster.is_joined
                assert await ref.ask(Count()) == 1
            assert counter.address == ref.address
            assert {found(node, "b").endpoint for node in (a, b, c)} == {"inprocess://b"}
            assert {found(node, "b").generation for node in (a, b, c)} == {b.network.node_id.generation}

    run_virtual(main)


def test_a_node_that_moves_to_another_endpoint_takes_its_name_once_the_member_is_unreachable() -> None:
    """As a container that is replaced does: the earlier generation is ended first, then the new one is reached."""
    places = {name: name for name in ("n1", "n2", "n3")}

    async def scene(sim: Simulation) -> None:
        await sim.boot(_begin)
        await sim["n1"].cluster.wait_for(3)
        (old, _) = await _reached_by_all(sim, "n3")
        witness, probe = await sim["n2"].spawn(Witness), Probe(sim["n1"])
        probe.watch(old)
        sim.crash("n3")
        places["n3"] = "n3/elsewhere"
        await sim.restart("n3")
        await asyncio.sleep(1)
        assert not sim["n3"].cluster.is_joined, "the member of its name may still be alive"
        await asyncio.sleep(39)
        (new, _) = await _reached_by_all(sim, "n3")
        assert found(sim["n2"], "n3").endpoint == "sim://n3/elsewhere"
        assert new != old
        await probe.expect_down(old, "node_lost")
        seen = await witness.ask(Seen())
        assert seen.index("MemberDown n3") < seen.index("MemberJoined n3", 1)

    simulate(
        scene,
        nodes=3,
        joins={},
        options=lambda name: {"cluster": PLAIN, "listen": f"sim://{places[name]}", "join": ["sim://n1", "sim://n2"]},
    )


async def _over(sim: Simulation) -> None:
    n1, n2 = sim["n1"], sim["n2"]
    another = NodeId("n2", n2.network.node_id.generation ^ 1)
    n1.network.directory.begin_generation(another)  # as its session does when n2 is silent and another node greets
    n1.network.end_session("n2", "another node has its name")
    await asyncio.sleep(30)
    assert n2.shutdown.reason is not None
    assert n2.shutdown.reason.startswith("the cluster 'tests' holds node n2 for over: another node took the name n2")


def test_a_member_whose_generation_is_over_elsewhere_shuts_down_with_the_reason() -> None:
    """No message of it would be taken there; it has to start again."""
    play(_over, nodes=2)
