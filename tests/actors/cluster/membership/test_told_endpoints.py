"""Names and endpoints that packets and records tell are checked before anything is sent to them."""

import random
from collections.abc import Callable

import pytest

from trouper.actors.cluster.api import node_problem
from trouper.actors.cluster.membership import Effect, Member, Membership, Publish, Send, SwimSettings
from trouper.actors.cluster.membership.effects import Implausible
from trouper.actors.cluster.membership.packets import Digest, Gossip, IndirectPing, Packet, Ping, Sync

BAD = [
    "tcp://10.0.0.6:" + "1" * 4_301,
    "tcp://10.0.0.6:99999",
    "tcp://slow.example:7400",
    "tcp://*:7400",
    "nowhere",
    "",
    "x" * 1_000_000,
]
GOOD = "tcp://10.0.0.6:7400"
PACKETS: dict[str, Callable[[str], Packet]] = {
    "ping": lambda at: Ping("c", "b", at, "a", 1),
    "indirect ping": lambda at: IndirectPing("c", "b", at, "b", GOOD, 1),
    "indirect ping, target": lambda at: IndirectPing("c", "b", GOOD, "b", at, 1),
    "sync": lambda at: Sync("c", "b", at, 5, (), joining=True),
    "digest": lambda at: Digest("c", "b", at, 0, b""),
}


def _machine() -> Membership:
    me = Member("a", "tcp://10.0.0.5:7400", 1)
    machine = Membership(
        me, cluster="c", seeds=(), settings=SwimSettings(), chance=random.Random(1).random, node_problem=node_problem
    )
    machine.start(0.0)
    return machine


def _implausible(effects: list[Effect]) -> list[Implausible]:
    return [e.event for e in effects if isinstance(e, Publish) and isinstance(e.event, Implausible)]


@pytest.mark.parametrize("endpoint", BAD)
@pytest.mark.parametrize("kind", PACKETS)
def test_a_packet_that_tells_an_endpoint_of_no_node_is_dropped(kind: str, endpoint: str) -> None:
    """Nothing is sent, and it is published who sent it; the member does not fail."""
    machine = _machine()
    effects = machine.receive(PACKETS[kind](endpoint), 1.0)
    (event,) = _implausible(effects)
    assert event.source == "b"
    assert len(event.problem) < 500
    assert not [e for e in effects if isinstance(e, Send)]
    assert [member.name for member in machine.all_records()] == ["a"]


@pytest.mark.parametrize("endpoint", BAD)
def test_a_record_that_tells_an_endpoint_of_no_node_is_dropped_and_the_others_are_taken(endpoint: str) -> None:
    """A packet is not refused for one of its records, and what is dropped is not gossiped on."""
    machine = _machine()
    records = (Member("evil", endpoint, 5), Member("b", GOOD, 5))
    effects = machine.receive(Gossip("c", "b", records), 1.0)
    assert [event.name for event in _implausible(effects)] == ["evil"]
    assert [member.name for member in machine.all_records()] == ["a", "b"]


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 201, "x" * 100_000, "user/1", "\x1b[31m"])
def test_a_record_by_a_name_that_no_node_can_have_is_dropped(name: str) -> None:
    """It could be in no address."""
    machine = _machine()
    effects = machine.receive(Gossip("c", "b", (Member(name, GOOD, 5),)), 1.0)
    assert len(_implausible(effects)) == 1
    assert [member.name for member in machine.all_records()] == ["a"]


def test_a_packet_from_a_name_that_no_node_can_have_is_dropped() -> None:
    """What is published of the name is cut."""
    machine = _machine()
    (event,) = _implausible(machine.receive(Gossip("c", "x" * 100_000, ()), 1.0))
    assert len(event.source) <= 255
