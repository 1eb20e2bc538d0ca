"""A node knows itself under each of its endpoints, so a list of seeds may name it by a host name or by any address."""

import asyncio
import random
import socket

import pytest
from msgspec.structs import replace

from tests.actors.cluster.stage import PLAIN
from trouper import Node
from trouper.actors.cluster.membership import (
    Effect,
    Joined,
    Member,
    Membership,
    Publish,
    Send,
    SwimSettings,
)

FOUND_S = 10.0
"""Seconds that only a fault needs."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _machine(*seeds: str, rejoins: bool = False) -> Membership:
    me = Member("a", "tcp://10.0.0.5:1", 1)
    chance = random.Random(1).random
    return Membership(me, cluster="c", seeds=seeds, settings=SwimSettings(), chance=chance, rejoins=rejoins)


def _joined(effects: list[Effect]) -> int:
    return sum(isinstance(effect, Publish) and isinstance(effect.event, Joined) for effect in effects)


@pytest.mark.parametrize(
    ("listen", "seed"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "localhost"), ("localhost", "localhost"), ("*", "127.0.0.1")],
)
def test_the_first_node_of_the_list_founds_the_cluster_however_the_list_names_it(listen: str, seed: str) -> None:
    """By address, by host name, or by one of the addresses of a node that listens at all of them."""

    async def main() -> None:
        port = _free_port()
        config = replace(PLAIN, announce=frozenset())
        join = [f"tcp://{seed}:{port}"]
        async with Node("a", listen=f"tcp://{listen}:{port}", join=join, insecure=True, cluster=config) as node:
            async with asyncio.timeout(FOUND_S):
                await node.cluster.wait_for(1)
            assert node.network.peers == {}

    asyncio.run(main())


def test_a_node_that_is_found_to_be_a_seed_founds_the_cluster_and_asks_the_other_seeds_on() -> None:
    """As if the list had its endpoint; a second time, or another endpoint, changes nothing."""
    machine = _machine("tcp://a.example:1", "tcp://b.example:1")
    assert _joined(machine.start(0.0)) == 0
    assert _joined(machine.recognise("tcp://c.example:1", 1.0)) == 0
    assert _joined(machine.recognise("tcp://a.example:1", 2.0)) == 1
    assert machine.is_joined
    assert _joined(machine.recognise("tcp://a.example:1", 3.0)) == 0
    sent: set[str] = set()
    now = 3.0
    while now < 300.0:
        now = max(machine.wake_at, now + 0.01)
        sent |= {effect.to for effect in machine.tick(now) if isinstance(effect, Send)}
    assert sent == {"tcp://b.example:1"}


def test_a_node_that_was_taken_down_founds_no_cluster_of_its_own() -> None:
    """It rejoins through the others, or not at all."""
    machine = _machine("tcp://a.example:1", "tcp://b.example:1", rejoins=True)
    machine.start(0.0)
    assert _joined(machine.recognise("tcp://a.example:1", 1.0)) == 0
    assert not machine.is_joined
