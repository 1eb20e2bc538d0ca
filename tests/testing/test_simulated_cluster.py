import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from trouper import (
    Actor,
    ActorRef,
    AskTimeout,
    CallerError,
    Down,
    EventSourcedActor,
    InvalidOption,
    Message,
    Node,
    applies,
    handler,
)
from trouper.testing import Fault, NodeCrashed, Plan, Probe, Risks, Simulation, simulate
from trouper.testing.faults import KINDS, NODE_KINDS, FaultKind
from trouper.testing.simulated_cluster import pairs_between
from trouper.transports.network_faults import Quality

ROOT = Path(__file__).parents[2]


class Add(Message[int]):
    """Add; the reply is the sum."""

    n: int


class Late(Message[int]):
    """Add after a second."""

    n: int


class Added(Message):
    """An event."""

    n: int


class Counter(Actor):
    """Adds up."""

    def __init__(self) -> None:
        self.sum = 0

    @handler
    def add(self, msg: Add) -> int:
        self.sum += msg.n
        return self.sum

    @handler
    async def late(self, msg: Late) -> int:
        await asyncio.sleep(1)
        return self.add(Add(msg.n))


class Bank(EventSourcedActor):
    """Adds up, and keeps it."""

    def __init__(self) -> None:
        self.sum = 0

    @handler
    async def add(self, msg: Add) -> int:
        await self.persist(Added(msg.n))
        return self.sum

    @applies
    def added(self, event: Added) -> None:
        self.sum += event.n


async def fill(bank: ActorRef, acknowledged: list[int]) -> None:
    """Add ones, and note what was acknowledged."""
    while len(acknowledged) < 20:
        acknowledged.append(await bank.ask(Add(1)))


async def begin(node: Node) -> None:
    """Every node has a counter and a bank."""
    await node.spawn(Counter, name="counter")
    await node.spawn(Bank, name="bank")


async def far(sim: Simulation, here: str, there: str, name: str = "counter") -> ActorRef:
    """The ref that one node has of an actor on another one."""
    ref = await sim.run_on(here, lambda node: node.network.whereis(there, f"user/{name}"))
    assert isinstance(ref, ActorRef)
    return ref


async def storm(sim: Simulation) -> None:
    """Counters are asked across nodes, whatever happens."""
    await sim.boot(begin)
    for _ in range(20):
        one, other = sim.random.sample(sim.nodes, 2) if len(sim.nodes) > 1 else (sim.nodes[0], sim.nodes[0])
        try:
            await (await far(sim, one.name, other.name)).ask(Add(1), 1.0)
        except Exception:  # noqa: BLE001  the network is bad on purpose
            await asyncio.sleep(0.5)


def storm_digest(seed: int) -> str:
    """The hash of what happens in a storm."""
    plan = Risks(kinds=(*KINDS, *NODE_KINDS), within_s=5.0, for_s_max=2.0).draw(random.Random(seed))
    return simulate(storm, seed=seed, plan=plan, nodes=3, quality=Quality(jitter_s=0.01, loss=0.02)).digest


def test_a_seed_gives_the_same_run_of_a_cluster() -> None:
    """Two runs of one seed agree in every event, faults of nodes included, and other seeds give other runs."""
    digests = [storm_digest(seed) for seed in range(12)]
    assert digests == [storm_digest(seed) for seed in range(12)]
    assert len(set(digests)) == 12


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_a_seed_gives_the_same_run_of_a_cluster_in_another_process(hash_seed: str) -> None:
    """A fresh interpreter, where texts hash otherwise and everything lies elsewhere in memory, agrees too."""
    program = (
        "import importlib.util, sys; spec = importlib.util.spec_from_file_location(sys.argv[2], sys.argv[1]);"
        "made = importlib.util.module_from_spec(spec); sys.modules[sys.argv[2]] = made; spec.loader.exec_module(made);"
        "print(*(made.storm_digest(seed) for seed in range(5)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, __file__, __name__],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [storm_digest(seed) for seed in range(5)]


def test_nodes_are_named_and_linked_when_the_scenario_begins() -> None:
    """Every node is linked with all others, or with those that it was told to join."""
    seen: dict[str, list[str]] = {}

    async def scenario(sim: Simulation) -> None:
        assert sim.node is sim.nodes[0]
        await asyncio.sleep(1)
        seen.update({node.name: sorted(node.network.peers) for node in sim.nodes})

    simulate(scenario, nodes=3)
    assert seen == {"n1": ["n2", "n3"], "n2": ["n1", "n3"], "n3": ["n1", "n2"]}
    seen.clear()
    simulate(scenario, nodes=["a", "b", "c"], joins={"b": ["a"], "c": ["b"]})
    assert seen == {"a": ["b"], "b": ["a", "c"], "c": ["b"]}


def test_a_partition_loses_and_a_repair_brings_back() -> None:
    """Across a partition an ask times out; what was sent meanwhile arrives after the repair, once."""

    async def scenario(sim: Simulation) -> None:
        await sim.boot(begin)
        counter = await far(sim, "n1", "n2")
        sim.partition("n1")
        with pytest.raises(AskTimeout):
            await counter.ask(Add(1), 2.0)
        counter.tell(Add(10))
        sim.repair()
        assert await counter.ask(Add(100)) in (110, 111)

    simulate(scenario, nodes=3)


def test_a_partition_may_be_one_way() -> None:
    """What n1 sends is lost, and what the others send still arrives."""

    async def scenario(sim: Simulation) -> None:
        faults = sim.cluster.network.faults
        sim.partition("n1", ["n2", "n3"], one_way=True)
        assert faults.is_cut("n1", "n2")
        assert faults.is_cut("n1", "n3")
        assert not faults.is_cut("n2", "n1")
        assert not faults.is_cut("n2", "n3")

    simulate(scenario, nodes=3)


def test_groups_are_parted_from_each_other_alone() -> None:
    """A partition names sides; one side alone stands against all others."""
    names = ["a", "b", "c", "d"]
    assert pairs_between([["a", "b"], "c"], names) == [("a", "c"), ("b", "c")]
    assert pairs_between(["a", "b", "c"], names) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs_between(["d"], names) == [("d", "a"), ("d", "b"), ("d", "c")]


def test_what_is_held_arrives_at_the_release() -> None:
    """A held message is neither lost nor early."""

    async def scenario(sim: Simulation) -> None:
        await sim.boot(begin)
        counter = await far(sim, "n1", "n2")
        sim.hold("n1", "n2")
        asked = counter.ask(Add(1), 10.0)
        await asyncio.sleep(3)
        assert not asked.done()
        sim.release()
        assert await asked == 1

    simulate(scenario, nodes=2)


def test_a_crash_is_told_of_once_and_takes_what_was_not_kept() -> None:
    """Watchers get one Down; the node comes back with another generation, its journal, and nothing else."""

    async def scenario(sim: Simulation) -> None:
        await sim.boot(begin)
        counter, bank = await far(sim, "n1", "n2"), await far(sim, "n1", "n2", "bank")
        assert (await counter.ask(Add(5)), await bank.ask(Add(5))) == (5, 5)
        probe = Probe(sim["n1"])
        probe.watch(counter)
        before = sim["n2"].network.node_id
        sim.crash("n2")
        assert not sim.is_up("n2")
        assert [node.name for node in sim.nodes] == ["n1"]
        await asyncio.sleep(1)
        await sim.restart("n2")
        await sim.wait_connected()
        await probe.expect_down(counter, "node_lost")
        assert sim["n2"].network.node_id.generation != before.generation
        counter, bank = await far(sim, "n1", "n2"), await far(sim, "n1", "n2", "bank")
        assert (await counter.ask(Add(1)), await bank.ask(Add(1))) == (1, 6)
        await asyncio.sleep(60)
        assert [type(message) for message in probe.received] == [Down]

    for seed in range(5):
        simulate(scenario, seed=seed, nodes=2)


@pytest.mark.parametrize("operation", range(1, 12))
def test_a_crash_in_the_middle_of_a_write_tears_no_acknowledged_event(operation: int) -> None:
    """Wherever the disk is when the power fails, what was acknowledged is there, and no more than was asked."""
    acknowledged: list[int] = []

    async def scenario(sim: Simulation) -> None:
        await sim.boot(begin)
        acknowledged[:] = [0]
        bank = sim["n1"].find("user/bank")
        assert bank is not None
        sim.crash("n1", in_operation=operation)
        with pytest.raises(NodeCrashed):
            await fill(bank, acknowledged)
        await sim.restart("n1")
        bank = sim["n1"].find("user/bank")
        assert bank is not None
        assert acknowledged[-1] <= await bank.ask(Add(0)) <= acknowledged[-1] + 1

    for seed in range(4):
        simulate(scenario, seed=seed, nodes=1)


def test_a_paused_node_handles_nothing_and_then_everything() -> None:
    """A node that stands still is slow to others, and not dead; what came meanwhile is handled afterwards."""

    async def scenario(sim: Simulation) -> None:
        await sim.boot(begin)
        counter = await far(sim, "n1", "n2")
        sim.pause("n2")
        asked = counter.ask(Add(1), 10.0)
        await asyncio.sleep(4)
        assert not asked.done()
        sim.resume("n2")
        assert await asked == 1

    simulate(scenario, nodes=2)


def test_a_slow_node_rests_after_each_turn() -> None:
    """It answers late."""

    async def scenario(sim: Simulation) -> None:
        await sim.boot(begin)
        counter = await far(sim, "n1", "n2")
        sim.slow("n2", 0.2)
        before = sim.now_s
        for _ in range(3):
            await counter.ask(Add(1))
        assert sim.now_s - before > 0.4

    simulate(scenario, nodes=2)


def test_clocks_may_be_wrong() -> None:
    """A clock that drifts rings by its own time, also in the next generation of its node."""

    async def scenario(sim: Simulation) -> None:
        await sim.boot(begin)
        sim.skew("n2", drift=1.0)
        for _ in range(2):
            counter = await far(sim, "n1", "n2")
            before = sim.now_s
            await counter.ask(Late(1))
            assert 0.5 <= sim.now_s - before < 0.6
            old = sim["n2"].network.node_id.generation
            sim.crash("n2")
            await sim.restart("n2")
            await sim.wait_connected()
            assert sim["n2"].network.node_id.generation != old

    simulate(scenario, nodes=2)


def test_a_node_may_be_stopped_and_started_again() -> None:
    """A stop is in order: nothing is lost, and the next life begins as every life does."""

    async def scenario(sim: Simulation) -> None:
        await sim.boot(begin)
        await sim.stop("n2")
        assert not sim.is_up("n2")
        with pytest.raises(NodeCrashed, match=r"^node n2 is down: restart it first$"):
            sim.run_on("n2", begin)
        await sim.restart("n2")
        await sim.wait_connected()
        assert await (await far(sim, "n1", "n2")).ask(Add(2)) == 2

    simulate(scenario, nodes=2)


def test_misuse_is_refused() -> None:
    """Unknown names, a second crash, verbs of a cluster without one: each says what is wrong."""

    async def scenario(sim: Simulation) -> None:
        with pytest.raises(CallerError, match=r"^there is no node 'n9' in this simulation; there are: n1$"):
            sim.crash("n9")
        with pytest.raises(CallerError, match=r"^node n1 runs already: crash or stop it first$"):
            await sim.restart("n1")
        sim.crash("n1")
        with pytest.raises(CallerError, match=r"^node n1 is down already$"):
            sim.crash("n1")

    simulate(scenario, nodes=1)

    async def alone(sim: Simulation) -> None:
        with pytest.raises(CallerError, match=r"^this simulation has one node and no network: give simulate\("):
            sim.partition("n1")

    simulate(alone)
    with pytest.raises(InvalidOption):
        simulate(alone, nodes=["a", "a"])


@pytest.mark.parametrize("kind", NODE_KINDS)
def test_every_fault_of_a_plan_is_carried_out_and_ends(kind: FaultKind) -> None:
    """Whatever strikes a cluster, it is well again afterwards."""

    async def scenario(sim: Simulation) -> None:
        await sim.boot(begin)
        await asyncio.sleep(40)
        await sim.wait_connected()
        for one, other in (("n1", "n2"), ("n2", "n3"), ("n3", "n1")):
            assert await (await far(sim, one, other)).ask(Add(1)) > 0

    for pick in (0.1, 0.5, 0.9):
        fault = Fault(2.0, kind, pick, 3.0, 5, 0.2 + pick / 2)
        simulate(scenario, seed=int(pick * 10), plan=Plan((fault,)), nodes=3)
