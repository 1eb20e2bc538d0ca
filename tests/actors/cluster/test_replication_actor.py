"""The replicator carries what members share, on whole nodes."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tests.actors.cluster.stage import PLAIN, play
from trouper import Actor, InvalidOption, Message, Node, handler
from trouper.actors.cluster.api import Cluster
from trouper.actors.cluster.config import ReplicationSettings
from trouper.testing import Simulation

GOSSIP = replace(PLAIN, replication=ReplicationSettings(direct_max=3))
"""A small cluster that spreads its news as a large one does."""


class Say(Message[str]):
    """Say something."""

    text: str


class Parrot(Actor):
    """Says what it is told."""

    @handler
    def say(self, msg: Say) -> str:
        return msg.text


def _names(node: Node) -> dict[str, str]:
    return {name: str(ref.address) for name, ref in node.cluster.names.all().items()}


async def _register(node: Node, *names: str) -> None:
    for name in names:
        await node.cluster.names.register(name, await node.spawn(Parrot))


async def _everywhere(sim: Simulation) -> None:
    await asyncio.gather(*(_register(node, f"of {node.name}", f"too {node.name}") for node in sim.nodes))
    await asyncio.sleep(1.0)
    assert len(_names(sim["n1"])) == 2 * len(sim.nodes)
    assert all(_names(node) == _names(sim["n1"]) for node in sim.nodes)
    whois = sim["n2"].cluster.names.whereis("of n1")
    assert whois is not None
    assert await whois.ask(Say("hello")) == "hello"


def test_a_small_cluster_tells_all_members_at_once() -> None:
    """Within a second all know all, and what they know are refs that work."""
    play(_everywhere, nodes=5)


async def _gossip(sim: Simulation) -> None:
    await asyncio.gather(*(_register(node, f"of {node.name}") for node in sim.nodes))
    await asyncio.sleep(30.0)
    assert len(_names(sim["n1"])) == len(sim.nodes)
    assert all(_names(node) == _names(sim["n1"]) for node in sim.nodes)


def test_a_large_cluster_tells_a_few_who_tell_others() -> None:
    """What is missed on the way is made good by comparing copies."""
    play(_gossip, nodes=10, config=GOSSIP)


def _counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what each node sends."""
    sent: Counter[str] = Counter()
    send = Cluster.send

    def count(cluster: Cluster, name: str, message: Message[object]) -> None:
        sent[cluster.ctx.node_id.name] += 1
        send(cluster, name, message)

    monkeypatch.setattr(Cluster, "send", count)
    return sent


def _quiet_load(nodes: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """Messages that a node sends in a minute while nothing happens."""
    sent = _counted(monkeypatch)

    async def scene(sim: Simulation) -> None:
        await asyncio.sleep(60.0)
        sent.clear()
        await asyncio.sleep(60.0)

    play(scene, nodes=nodes, config=GOSSIP)
    return sum(sent.values()) / nodes


def test_the_load_at_rest_does_not_grow_with_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node compares its copies with one other node every two seconds, however many there are."""
    assert _quiet_load(4, monkeypatch) == pytest.approx(30, abs=2)
    assert _quiet_load(12, monkeypatch) == pytest.approx(30, abs=2)


def test_the_load_of_a_change_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """No node sends news to more than a few, not even the one where it began."""
    sent = _counted(monkeypatch)

    async def scene(sim: Simulation) -> None:
        await asyncio.sleep(60.0)
        sent.clear()
        await _register(sim["n1"], "ada")
        await asyncio.sleep(1.0)
        assert max(sent.values()) <= GOSSIP.replication.fan_out + 2
        assert sum(bool(_names(node)) for node in sim.nodes) >= 9

    play(scene, nodes=12, config=GOSSIP)


async def _restarts(sim: Simulation) -> None:
    n1, n2 = sim["n1"], sim["n2"]
    await _register(n1, "ada")
    sim.crash(n1.cluster.replicator)
    sim.crash(n2.cluster.manager)
    await asyncio.sleep(5.0)
    await _register(n1, "ben")
    await asyncio.sleep(5.0)
    assert _names(n1) == _names(n2) == _names(sim["n3"])
    assert list(_names(n1)) == ["ada", "ben"]


def test_a_replicator_that_fails_loses_nothing() -> None:
    """What it carries outlives it, and its manager too."""
    play(_restarts)


async def _newcomer(sim: Simulation) -> None:
    await sim.stop("n3")
    await _register(sim["n1"], *(f"name {number}" for number in range(1_500)))
    await sim.restart("n3")
    await asyncio.sleep(6.0)
    assert len(_names(sim["n3"])) == 1_500
    assert _names(sim["n3"]) == _names(sim["n1"])


def test_a_newcomer_gets_everything_in_parts() -> None:
    """A row that is longer than one message may be."""
    play(_newcomer)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ReplicationSettings(interval_s=0.0),
        lambda: ReplicationSettings(direct_max=0),
        lambda: ReplicationSettings(fan_out=0),
        lambda: ReplicationSettings(answer_max=-1),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Callable[[], ReplicationSettings]) -> None:
    """At once, and by name."""
    with pytest.raises(InvalidOption, match="ReplicationSettings"):
        make()
