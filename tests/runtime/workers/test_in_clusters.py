"""Nodes with workers in a cluster: names, groups, topics and services of actors on workers are known everywhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from msgspec.structs import replace

from tests.runtime.workers.stage import QUICK, Pass, Pid, run
from trouper import Actor, ActorRef, Message, Node, handler
from trouper.actors.cluster.config import ReplicationSettings
from trouper.cluster import ClusterConfig, NoNodeFits, any_node, labels

HERE = "tcp://127.0.0.1:0"
ONE = replace(QUICK, count=1)


def _config() -> ClusterConfig:
    return ClusterConfig(
        name="workers", announce=frozenset(), detect=False, replication=ReplicationSettings(interval_s=0.3)
    )


class Register(Message[None]):
    """Give this actor a name in the cluster, have it join a group, and subscribe it to a topic."""

    name: str
    group: str
    topic: str


class Find(Message[ActorRef | None]):
    """The reply is the actor of a name in the cluster."""

    name: str


class Members(Message[tuple[int, int]]):
    """The reply is the number of members of a group, and of offers of the service ``citizen``."""

    group: str


class Publish(Message[int]):
    """Publish a ``News`` to a topic; the reply is the number of receivers."""

    topic: str


class Known(Message[tuple[list[str], list[str]]]):
    """The reply is the members and the workers of the cluster."""


class News(Message[None]):
    """What is published."""

    text: str


class Read(Message[list[str]]):
    """The reply is the texts of all ``News``."""


class Citizen(Actor):
    """Uses the cluster from wherever it runs."""

    def __init__(self) -> None:
        self.read: list[str] = []

    @handler
    async def register(self, msg: Register) -> None:
        cluster = self.node.cluster
        await cluster.names.register(msg.name, self.ref)
        cluster.topics.subscribe(msg.topic, self.ref)
        cluster.services.register("citizen", self.ref)
        self.node.groups.join(msg.group, self.ref)

    @handler
    def find(self, msg: Find) -> ActorRef | None:
        return self.node.cluster.names.whereis(msg.name)

    @handler
    def members(self, msg: Members) -> tuple[int, int]:
        return len(self.node.groups.members(msg.group)), len(self.node.cluster.services.find("citizen"))

    @handler
    def publish(self, msg: Publish) -> int:
        return self.node.cluster.topics.publish(msg.topic, News(self.node.name))

    @handler
    def known(self, msg: Known) -> tuple[list[str], list[str]]:
        cluster = self.node.cluster
        return [member.name for member in cluster.members()], list(cluster.workers())

    @handler
    def news(self, msg: News) -> None:
        self.read.append(msg.text)

    @handler
    def texts(self, msg: Read) -> list[str]:
        return self.read

    @handler(reentrant=True)
    async def pid(self, msg: Pid) -> int:
        return os.getpid()

    @handler
    async def pass_on(self, msg: Pass) -> int:
        return await msg.to.ask(Pid())


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    while not await holds():
        await asyncio.wait((asyncio.get_running_loop().create_future(),), timeout=0.05)


async def _all_know(citizens: dict[str, ActorRef], members: list[str], workers: list[str]) -> bool:
    known = [await citizen.ask(Known()) for citizen in citizens.values()]
    return known == [(members, workers)] * len(citizens)


async def _check_names(citizens: dict[str, ActorRef], pids: dict[str, int]) -> None:
    """From each place each name is found, and its actor reached."""
    for here in citizens.values():
        for there in citizens:

            async def found(here: ActorRef = here, there: str = there) -> bool:
                return await here.ask(Find(f"citizen@{there}")) is not None

            await _until(found)
            ref = await here.ask(Find(f"citizen@{there}"))
            assert ref is not None
            assert await here.ask(Pass(ref)) == pids[there]


async def _check_groups_services_topics(citizens: dict[str, ActorRef]) -> None:
    """Each place has all members of the group and all offers, and what each publishes reaches all."""

    async def complete() -> bool:
        counts = [await each.ask(Members("citizens")) for each in citizens.values()]
        receivers = [await each.ask(Publish("news")) for each in citizens.values()]
        return counts == [(len(citizens), len(citizens))] * len(citizens) and min(receivers) == len(citizens)

    async def all_read() -> bool:
        return all([set(await each.ask(Read())) == set(citizens) for each in citizens.values()])

    await _until(complete)
    await _until(all_read)


async def _forgotten(citizens: dict[str, ActorRef], name: str) -> bool:
    """Return whether an actor that has ended is in no name, group and service any more, wherever one looks."""
    found = [await each.ask(Find(f"citizen@{name}")) for each in citizens.values()]
    counts = [await each.ask(Members("citizens")) for each in citizens.values()]
    return found == [None] * len(citizens) and counts == [(len(citizens), len(citizens))] * len(citizens)


def test_actors_on_workers_are_found_and_find_others_in_the_whole_cluster() -> None:
    """On two nodes with a worker each, from all four places; the end of a worker, and of its node, ends what it had."""

    async def scene() -> None:
        async with Node("a", listen=HERE, insecure=True, workers=ONE, cluster=_config()) as a:
            seed = a.network.endpoint
            async with Node("b", listen=HERE, join=[seed], insecure=True, workers=ONE, cluster=_config()) as b:
                citizens = {
                    name: await (a if name.startswith("a") else b).spawn(Citizen, place=name)
                    for name in ("a", "a.worker-1", "b", "b.worker-1")
                }
                workers = ["a.worker-1", "b.worker-1"]
                await _until(lambda: _all_know(citizens, ["a", "b"], workers))
                for name, citizen in citizens.items():
                    await citizen.ask(Register(f"citizen@{name}", "citizens", "news"))
                pids = {name: await citizen.ask(Pid()) for name, citizen in citizens.items()}
                assert len(set(pids.values())) == 3, "two nodes in this process, and two workers"
                await _check_names(citizens, pids)
                await _check_groups_services_topics(citizens)
                placed = await a.spawn(Citizen, place="b.worker-1")
                assert await placed.ask(Pid()) == pids["b.worker-1"], "a worker of another node is a place"
                os.kill(pids["b.worker-1"], 9)
                del citizens["b.worker-1"]
                await _until(lambda: _forgotten(citizens, "b.worker-1"))
                await _until(lambda: _all_know(citizens, ["a", "b"], workers))  # it is started again
            left = {name: citizens[name] for name in ("a", "a.worker-1")}
            await _until(lambda: _all_know(left, ["a"], ["a.worker-1"]))
            await _until(lambda: _forgotten(left, "b"))

    run(scene(), s_max=120)


def test_a_node_that_joins_again_starts_its_workers_again() -> None:
    """All others hold the actors on its workers for ended, as those on itself: so they must end."""

    async def scene() -> None:
        config = replace(_config(), when_downed="rejoin")
        async with (
            Node("a", listen=HERE, insecure=True, cluster=_config()) as a,
            Node("b", listen=HERE, join=[a.network.endpoint], insecure=True, workers=ONE, cluster=config) as b,
        ):
            await a.cluster.wait_for(2)
            citizen = await b.spawn(Citizen, place="worker-1")
            before = await citizen.ask(Pid())
            watched = await a.spawn(Citizen)
            await a.cluster.down("b", "a test")
            await _until(partial(_has_members, a, ["a"]))
            await _until(partial(_has_members, a, ["a", "b"]))
            await _until(partial(_knows, a, "b.worker-1", known=True))
            assert await (await a.spawn(Citizen, place="b.worker-1")).ask(Pid()) != before
            with pytest.raises(ProcessLookupError):
                os.kill(before, 0)
            assert await watched.ask(Pid()) == os.getpid()

    run(scene())


async def _has_members(node: Node, names: list[str]) -> bool:
    return [member.name for member in node.cluster.members()] == names


async def _knows(node: Node, worker: str, *, known: bool) -> bool:
    return (worker in node.cluster.workers()) is known


def test_workers_of_all_members_are_candidates_by_their_labels() -> None:
    """Over nodes: a worker has the labels of its node, and its own above them; one that has ended is none any more."""

    async def scene() -> None:
        labelled = replace(ONE, labels={"gpu": "a100"})
        async with (
            Node("a", listen=HERE, insecure=True, workers=ONE, cluster=_config()) as a,
            Node(
                "b",
                listen=HERE,
                insecure=True,
                join=[a.network.endpoint],
                workers=labelled,
                cluster=replace(_config(), labels={"zone": "west"}),
            ) as b,
        ):
            await a.cluster.wait_for(2)
            await _until(partial(_knows, a, "b.worker-1", known=True))
            policy = labels(gpu="a100", zone="west")
            assert [node.cluster.choose(policy) for node in (a, b)] == ["b.worker-1"] * 2
            ref = await a.spawn(Citizen, place=policy)
            assert await ref.ask(Pid()) != os.getpid()
            assert (await ref.ask(Known()))[0] == ["a", "b"]
            assert {a.cluster.choose(any_node()) for _ in range(200)} == {"a", "b", "a.worker-1", "b.worker-1"}
            await ref.stop()
            await b.workers.remove("worker-1")
            await _until(partial(_knows, a, "b.worker-1", known=False))
            with pytest.raises(NoNodeFits):
                a.cluster.choose(policy)

    run(scene())
