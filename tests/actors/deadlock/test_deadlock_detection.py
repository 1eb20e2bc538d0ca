"""Cycles of asks over several nodes: one ask raises `DeadlockError` within a second, and no other fails.

`Link` waits for the next of a chain; the last of the chain may be the first again.  An error goes back along the chain,
so who asked the first actor hears of it too.
"""

import asyncio

import pytest

from tests.runtime.net.stage import check_books, pair, paired, peer_of, spawn_remote
from tests.runtime.stage import play
from trouper import Actor, ActorRef, ActorStopped, AskTimeout, DeadlockError, Message, Node, handler
from trouper.actors.deadlock.deadlock_extension import SCAN_S
from trouper.testing import Simulation, settle, simulate
from trouper.transports.network_faults import Quality

BOUND_S = 1.0
"""Within so many seconds across nodes, says law 6."""


class Chain(Message[str]):
    """Wait a little, then ask the next; the reply of the ask that closes the cycle is its seconds and the cycle."""

    rest: tuple[ActorRef, ...]
    pause_s: float = 0.0


class Slow(Message[str]):
    """Take so many seconds for the reply."""

    seconds: float


class Ask(Message[str]):
    """Ask that one for something slow; the reply is its reply, or the name of the error."""

    target: ActorRef
    seconds: float = 0.0


class Quick(Message[str]):
    """The same, for a handler that is reentrant."""

    seconds: float


class Pass(Message[str]):
    """Hand the ask on to that one, as something slow."""

    target: ActorRef


class Back(Message[str]):
    """Ask the first, by its reentrant handler, while it waits for this one."""

    first: ActorRef


class Roam(Message[list[str]]):
    """Ask the first, with the rest of the way; the reply is the errors that it met on it."""

    way: tuple[ActorRef, ...]


class Link(Actor):
    """Asks the next actor; it survives the errors, so that it is there for the next scene."""

    @handler
    async def chain(self, msg: Chain) -> str:
        await asyncio.sleep(msg.pause_s)
        if not msg.rest:
            return "no ring"
        began = asyncio.get_running_loop().time()
        try:
            return await msg.rest[0].ask(Chain(msg.rest[1:], msg.pause_s), 30.0)
        except DeadlockError as error:
            return f"{asyncio.get_running_loop().time() - began:g} {' '.join(error.cycle)}"
        except (ActorStopped, AskTimeout) as error:
            return type(error).__name__

    @handler
    async def slow(self, msg: Slow) -> str:
        await asyncio.sleep(msg.seconds)
        return "done"

    @handler
    async def ask_other(self, msg: Ask) -> str:
        try:
            return await msg.target.ask(Slow(msg.seconds), 60.0)
        except DeadlockError:
            return "DeadlockError"

    @handler
    async def roam(self, msg: Roam) -> list[str]:
        await asyncio.sleep(0.05)
        if not msg.way:
            return []
        try:
            return await msg.way[0].ask(Roam(msg.way[1:]), 60.0)
        except (DeadlockError, AskTimeout, ActorStopped) as error:
            return [type(error).__name__]

    @handler
    def pass_on(self, msg: Pass) -> str:
        self.forward(msg.target, Slow(0.0))
        return ""

    @handler
    async def there_and_back(self, msg: Back) -> str:
        return await msg.first.ask(Quick(2.0))


def _told(reply: str) -> tuple[float, list[str]]:
    """The seconds, and the names of the actors in the cycle."""
    seconds, *cycle = reply.split()
    return float(seconds), [address.rpartition("/")[2].partition("#")[0] for address in cycle]


async def _links(node: Node, other: str, count: int) -> list[ActorRef]:
    """So many actors, on this node and the other one in turn."""
    return [
        await spawn_remote(node, other, Link, name=f"link-{index}")
        if index % 2
        else await node.spawn(Link, name=f"link-{index}")
        for index in range(count)
    ]


@pytest.mark.parametrize("count", [2, 4, 8])
def test_a_ring_through_two_nodes_is_named_within_a_second(count: int) -> None:
    """Also one that passes each node several times.  The ask that closed it is the one that is refused, and alone."""
    a, b = pair()

    async def main() -> None:
        async with a, b:
            await a.network.wait_for_peer("b")
            links = await _links(a, "b", count)
            reply = await links[0].ask(Chain((*links[1:], links[0]), 0.01), 30.0)
            seconds, names = _told(reply)
            assert seconds <= BOUND_S
            assert names == [f"link-{count - 1}", *[f"link-{index}" for index in range(count)]]
            assert await links[1].ask(Chain(()), 5.0) == "no ring"

    play(main)
    check_books(a, b)


@paired
async def test_a_ring_through_a_stand_in_is_found(a: Node, b: Node) -> None:
    """What `spawn(..., place=...)` gives is handed on, and waits there as any other ask does."""
    here, placed = await a.spawn(Link, name="here"), await a.spawn(Link, name="there", place="b")
    seconds, names = _told(await here.ask(Chain((placed, here)), 30.0))
    assert seconds <= BOUND_S
    assert sorted(set(names)) == ["here", "there"]
    # The other way round the far actor asks by way of the proxy, which is not on its own node.
    seconds, names = _told(await placed.ask(Chain((here, placed)), 30.0))
    assert seconds <= BOUND_S
    assert sorted(set(names)) == ["here", "there"]


@paired
async def test_a_ring_through_an_ask_that_was_handed_on_is_found(a: Node, b: Node) -> None:
    """An actor that forwards an ask to another node is no part of the cycle, and does not hide it."""

    class Thrower(Actor):
        @handler
        async def chain(self, msg: Chain) -> str:
            try:
                return await msg.rest[0].ask(Pass(self.ref), 30.0)
            except DeadlockError as error:
                return f"0 {' '.join(error.cycle)}"

        @handler
        def slow(self, msg: Slow) -> str:
            return "done"

    thrower, boomerang = await a.spawn(Thrower, name="thrower"), await spawn_remote(a, "b", Link)
    began = asyncio.get_running_loop().time()
    _, names = _told(await thrower.ask(Chain((boomerang,)), 30.0))
    assert asyncio.get_running_loop().time() - began <= BOUND_S
    assert names == ["thrower", "thrower"]


@paired
async def test_of_two_that_ask_each_other_at_once_one_is_refused(a: Node, b: Node) -> None:
    """And the other one gets its answer."""
    here, there = await a.spawn(Link), await spawn_remote(a, "b", Link)
    replies = await asyncio.gather(here.ask(Ask(there), 30.0), there.ask(Ask(here), 30.0))
    assert sorted(replies) == ["DeadlockError", "done"]


@paired
async def test_slow_answers_are_not_refused(a: Node, b: Node) -> None:
    """However long a chain of asks takes that goes back and forth, and however many stand in line behind it."""
    links = await _links(a, "b", 6)
    last = await a.spawn(Link)
    asked = [links[0].ask(Chain((*links[1:4], last), 1.0), 60.0) for _ in range(2)]
    asked += [links[4].ask(Ask(links[5], 8.0), 60.0), links[2].ask(Ask(links[5], 8.0), 60.0)]
    assert await asyncio.gather(*asked) == ["no ring", "no ring", "done", "done"]


@paired
async def test_a_reentrant_handler_closes_no_ring(a: Node, b: Node) -> None:
    """It is let in while its actor waits, also when that takes long."""
    second = await spawn_remote(a, "b", Link)

    class First(Actor):
        @handler
        async def ask_other(self, msg: Ask) -> str:
            return await msg.target.ask(Back(self.ref), 30.0)

        @handler(reentrant=True)
        async def quick(self, msg: Quick) -> str:
            await asyncio.sleep(msg.seconds)
            return "let in"

    first = await a.spawn(First)
    assert await first.ask(Ask(second), 30.0) == "let in"


@paired
async def test_nothing_is_looked_at_while_no_handler_waits(a: Node, b: Node) -> None:
    """The task that looks ends soon after the last ask; and an ask from outside of actors begins none."""
    there = await spawn_remote(a, "b", Link)
    idle = len(a.system.tasks)
    assert await there.ask(Slow(3.0)) == "done"
    assert len(a.system.tasks) == idle
    here = await a.spawn(Link)
    asked = here.ask(Ask(there, 1.0), 30.0)
    await settle()
    assert len(a.system.tasks) == idle + 1
    assert await asked == "done"
    assert not peer_of(there).asks
    await asyncio.sleep(2 * SCAN_S)
    assert len(a.system.tasks) == len(b.system.tasks) == idle


# --- three nodes, simulated ------------------------------------------------------------------------------------------


async def _three(node: Node) -> list[ActorRef]:
    """An actor on each node, as the first one sees them."""
    return [
        await node.spawn(Link, name="one"),
        await spawn_remote(node, "n2", Link, name="two"),
        await spawn_remote(node, "n3", Link, name="three"),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_ring_through_three_nodes_is_named_and_others_go_on(seed: int) -> None:
    """Within a second of virtual time; an actor that waits for one in the cycle has its answer afterwards."""

    async def scene(sim: Simulation) -> None:
        links = await sim.run_on("n1", _three)
        bystander = await sim["n1"].spawn(Link)
        other = bystander.ask(Ask(links[2], 0.0), 30.0)
        reply = links[0].ask(Chain((*links[1:], links[0]), 0.05), 30.0)
        behind = bystander.ask(Ask(links[1], 0.0), 30.0)
        seconds, names = _told(await reply)
        assert seconds <= BOUND_S
        assert names == ["three", "one", "two", "three"]
        assert [await other, await behind] == ["done", "done"]

    simulate(scene, seed=seed, nodes=3, quality=Quality(jitter_s=0.01))


def test_the_same_seed_finds_the_same_ring() -> None:
    """Also where three asks close a cycle at once; one of them is refused, and the others go on."""

    async def scene(sim: Simulation) -> None:
        links = await sim.run_on("n1", _three)
        pairs = zip(links, [*links[1:], links[0]], strict=True)
        replies = await asyncio.gather(*(who.ask(Ask(target), 30.0) for who, target in pairs))
        assert sorted(replies) == ["DeadlockError", "done", "done"]

    def digest() -> str:
        return simulate(scene, seed=3, nodes=3, quality=Quality(jitter_s=0.01)).digest

    assert digest() == digest()


def test_a_crash_of_a_node_in_a_ring_ends_it_as_any_other() -> None:
    """Its asks end with ActorStopped or by their deadline, and no deadlock is reported that is over."""

    async def scene(sim: Simulation) -> None:
        links = await sim.run_on("n1", _three)
        reply = links[0].ask(Chain((*links[1:], links[0]), 0.01), 60.0)
        await asyncio.sleep(0.2)
        sim.crash("n3")
        assert await reply in ("ActorStopped", "AskTimeout")

    simulate(scene, nodes=3)


def test_a_ring_across_a_cut_is_found_when_it_is_healed() -> None:
    """The probes of the time before are late, and harmless."""

    async def scene(sim: Simulation) -> None:
        links = await sim.run_on("n1", _three)
        reply = links[0].ask(Chain((*links[1:], links[0]), 0.01), 60.0)
        await asyncio.sleep(0.2)
        sim.partition("n3")
        await asyncio.sleep(5.0)
        sim.repair()
        assert len(_told(await reply)[1]) == 4

    simulate(scene, nodes=3)


@pytest.mark.parametrize("seed", range(8))
def test_no_storm_of_asks_has_to_wait_for_its_deadlines(seed: int) -> None:
    """Many actors that ask each other, on paths drawn from the seed: each cycle is found, one after the other."""
    errors: list[str] = []

    async def scene(sim: Simulation) -> None:
        links = [link for _ in range(3) for link in await sim.run_on("n1", _nameless)]
        ways = [tuple(sim.random.choices(links, k=5)) for _ in range(12)]
        for met in await asyncio.gather(*(way[0].ask(Roam(way[1:]), 60.0) for way in ways)):
            errors.extend(met)
        assert sim.now_s < 20.0

    simulate(scene, seed=seed, nodes=3, quality=Quality(jitter_s=0.01))
    assert set(errors) == {"DeadlockError"}


async def _nameless(node: Node) -> list[ActorRef]:
    """An actor on each node."""
    return [await node.spawn(Link), await spawn_remote(node, "n2", Link), await spawn_remote(node, "n3", Link)]
