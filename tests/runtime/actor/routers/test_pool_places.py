"""``Pool(place=...)``: routees are spread over nodes and workers, and follow those that come and go."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine

import pytest

from tests.runtime.stage import play_on
from tests.runtime.workers.stage import QUICK, Pid, run
from trouper import (
    Actor,
    ActorRef,
    Broadcast,
    InvalidOption,
    Message,
    Node,
    Pool,
    Resize,
    Routees,
    StartFailed,
    handler,
)
from trouper.cluster import ClusterConfig
from trouper.testing import Simulation, simulate


class Where(Message[str]):
    """The reply is the name of the node that the routee runs on."""


class Count(Message[int]):
    """The reply is how many of these the routee has handled."""


class Worker(Actor):
    """Says where it runs."""

    def __init__(self) -> None:
        self.handled = 0

    @handler
    def where(self, _: Where) -> str:
        return self.node.name

    @handler
    def count(self, _: Count) -> int:
        self.handled += 1
        return self.handled

    @handler
    def pid(self, _: Pid) -> int:
        return os.getpid()


async def spread_of(pool: ActorRef, size: int) -> Counter[str]:
    """Return how many routees run at each node."""
    routees = await pool.ask(Routees())
    assert len(routees) == size
    return Counter(await asyncio.gather(*(routee.ask(Where(), 20.0) for routee in routees)))


def members(node: Node) -> list[str]:
    """All members that are alive, as places."""
    return [member.name for member in node.cluster.members() if member.status == "alive"]


CONFIG = ClusterConfig(name="pools", detect=False)


def in_cluster(
    scene: Callable[[Simulation], Coroutine[object, object, None]], *, nodes: int = 3, seed: int = 1
) -> None:
    """Run a scene on simulated members n1, n2, ... of one cluster."""

    async def whole(sim: Simulation) -> None:
        for node in sim.nodes:
            await node.cluster.wait_for(nodes)
        await scene(sim)

    names = [f"n{number}" for number in range(1, nodes + 1)]
    simulate(
        whole,
        seed=seed,
        nodes=names,
        joins={name: ["n1"] for name in names[1:]},
        options=lambda _: {"cluster": CONFIG},
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_pool_follows_the_members_of_a_cluster(seed: int) -> None:
    """A member that crashes loses its share to the others, one that comes back gets it again; no routee is lost."""

    async def scene(sim: Simulation) -> None:
        pool = await sim["n1"].spawn(Pool(Worker, size=6, place=members), name="pool")
        assert await spread_of(pool, 6) == {"n1": 2, "n2": 2, "n3": 2}
        sim.crash("n3")
        await asyncio.sleep(40)
        assert await spread_of(pool, 6) == {"n1": 3, "n2": 3}
        await sim.restart("n3")
        await sim["n3"].cluster.wait_for(3)
        await asyncio.sleep(10)
        assert await spread_of(pool, 6) == {"n1": 2, "n2": 2, "n3": 2}
        assert await pool.ask(Resize(9)) == 9
        await asyncio.sleep(2)
        assert await spread_of(pool, 9) == {"n1": 3, "n2": 3, "n3": 3}
        assert await pool.ask(Resize(2)) == 2
        await asyncio.sleep(2)
        assert max((await spread_of(pool, 2)).values()) == 1

    in_cluster(scene, seed=seed)


def test_messages_to_a_routee_that_moves_are_handled_where_it_was() -> None:
    """A new place gets its share from routees that first handle what is queued."""

    async def scene(sim: Simulation) -> None:
        places = ["n1"]
        pool = await sim["n1"].spawn(Pool(Worker, size=2, place=lambda _: list(places), routing=Broadcast()))
        asked = [routee.ask(Count()) for routee in await pool.ask(Routees()) for _ in range(5)]
        places.append("n2")
        assert sorted(await asyncio.gather(*asked)) == sorted([1, 2, 3, 4, 5] * 2)
        await asyncio.sleep(3)
        assert await spread_of(pool, 2) == {"n1": 1, "n2": 1}

    in_cluster(scene, nodes=2)


def test_a_place_function_that_fails_or_gives_none_moves_nothing() -> None:
    """The pool goes on with the places that it has."""

    async def scene(sim: Simulation) -> None:
        said: list[str] = ["n1", "n2"]

        def place(_: Node) -> list[str]:
            if said == ["fail"]:
                raise ValueError("on purpose")
            return said

        pool = await sim["n1"].spawn(Pool(Worker, size=2, place=place))
        for said[:] in ([], ["fail"]):
            await asyncio.sleep(3)
            assert await spread_of(pool, 2) == {"n1": 1, "n2": 1}

    in_cluster(scene, nodes=2)


def test_one_place_or_a_function_of_one_is_as_for_spawn() -> None:
    """All routees run there; one that cannot be reached fails the start."""

    async def scene(sim: Simulation) -> None:
        node = sim["n1"]
        assert await spread_of(await node.spawn(Pool(Worker, size=2, place="n2")), 2) == {"n2": 2}
        pool = await node.spawn(Pool(Worker, size=2, place=lambda _: "n2"))
        assert await pool.ask(Resize(3)) == 3
        assert await spread_of(pool, 3) == {"n2": 3}
        with pytest.raises(StartFailed, match="nowhere"):
            await node.spawn(Pool(Worker, size=2, place=["n1", "nowhere"]))

    in_cluster(scene, nodes=2)


def test_what_is_no_place_of_a_pool_is_refused() -> None:
    """No place at all, where the pool is made or started."""
    with pytest.raises(InvalidOption, match=r"place=\[\] of a pool is empty"):
        Pool(Worker, place=[])

    async def scene(node: Node) -> None:
        with pytest.raises(StartFailed, match="its place gives no node to run on"):
            await node.spawn(Pool(Worker, place=lambda _: []))

    play_on(Node(), scene)


def test_a_pool_is_spread_over_workers_and_follows_them() -> None:
    """Real processes: one is added, one removed; the routees have the executor of the pool there."""

    async def until_spread(pool: ActorRef, wanted: list[int]) -> None:
        pids: list[object] = []
        for _ in range(200):
            routees = await pool.ask(Routees())
            pids = list(await asyncio.gather(*(each.ask(Pid(), 20.0) for each in routees), return_exceptions=True))
            if sorted(Counter(map(str, pids)).values()) == wanted:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"it is not spread: {pids}")

    async def scene() -> None:
        async with Node(workers=QUICK) as node:
            pool = await node.spawn(Pool(Worker, size=4, place=lambda node: node.workers, executor="thread"))
            await until_spread(pool, [2, 2])
            await node.workers.remove("worker-2")
            await until_spread(pool, [4])
            await node.workers.add()
            await until_spread(pool, [2, 2])

    run(scene())
