"""Groups of connected nodes are one, and each node speaks for its own actors."""

from typing import cast

import msgspec
import pytest

from tests.runtime.net.stage import Clerk, pair, paired
from tests.runtime.stage import play
from trouper import Actor, ActorRef, GroupJoined, GroupLeft, GroupMembers, Message, Node, handler
from trouper.runtime.gossip.messages import DeltaOnWire, TableDeltas
from trouper.runtime.node.services.shared_groups import TIMES_MAX
from trouper.testing import settle


class Seen(Message[list[str]]):
    """The reply is the changes that the monitor got, as text."""


class Monitor(Actor):
    """Remembers the changes of a group."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @handler
    def began(self, msg: GroupMembers) -> None:
        self.seen.append(f"began {names(msg.members)}")

    @handler
    def joined(self, msg: GroupJoined) -> None:
        self.seen.append(f"joined {names(msg.members)}")

    @handler
    def left(self, msg: GroupLeft) -> None:
        self.seen.append(f"left {names(msg.members)}")

    @handler
    def reply(self, msg: Seen) -> list[str]:
        return self.seen


def names(members: tuple[ActorRef, ...] | list[ActorRef]) -> str:
    """The members of a group."""
    return " ".join(sorted(f"{member.address.node}/{member.name}" for member in members)) or "nobody"


@paired
async def test_members_of_connected_nodes_are_one_group(a: Node, b: Node) -> None:
    """A monitor gets changes of all nodes; an actor that ends leaves everywhere."""
    ada, ben = await a.spawn(Clerk, name="ada"), await b.spawn(Clerk, name="ben")
    monitor = await a.spawn(Monitor)
    a.groups.monitor("tellers", monitor)
    b.groups.join("tellers", ben, ben)
    a.groups.join("tellers", ada)
    b.groups.scope("other").join("tellers", ben)
    await settle()
    assert names(a.groups.members("tellers")) == names(b.groups.members("tellers")) == "a/ada b/ben b/ben"
    assert names(a.groups.scope("other").members("tellers")) == "b/ben"
    assert names(a.groups.local_members("tellers")) == "a/ada"
    b.groups.leave("tellers", ben)
    await settle()
    await ben.stop()
    await settle()
    assert names(a.groups.members("tellers")) == "a/ada"
    assert await monitor.ask(Seen()) == [
        "began nobody",
        "joined a/ada",
        "joined b/ben b/ben",
        "left b/ben",
        "left b/ben",
    ]


def test_a_node_that_comes_later_gets_all_members_and_those_of_a_lost_one_leave() -> None:
    """The group has the members of the connected nodes at any time."""
    a, b = pair()

    async def main() -> None:
        async with a:
            ada = await a.spawn(Clerk, name="ada")
            a.groups.join("tellers", ada)
            for number in range(1_200):
                a.groups.join(f"many-{number}", ada)
                a.groups.join("often", ada)
            async with b:
                await b.network.wait_for_peer("a")
                await settle()
                assert names(b.groups.members("tellers")) == "a/ada"
                assert len(b.groups.groups()) == 1_202
                assert (len(a.groups.members("often")), len(b.groups.members("often"))) == (1_200, TIMES_MAX)
                ben = await b.spawn(Clerk, name="ben")
                b.groups.join("tellers", ben)
                await settle()
                assert names(a.groups.members("tellers")) == "a/ada b/ben"
            await settle()
            assert names(a.groups.members("tellers")) == "a/ada"

    play(main)


def _rows(*rows: tuple[str, str, ActorRef, object]) -> TableDeltas:
    """What node b says that it has in the table of groups."""
    changes = cast("msgspec.Raw", [((scope, group, ref), times) for scope, group, ref, times in rows])
    return TableDeltas({"groups": (DeltaOnWire("b", 0, 0, 1, len(rows), changes),)})


def _told(b: Node, *rows: tuple[str, str, ActorRef, object]) -> None:
    """Let node b, which is hostile, say this to node a."""
    message = _rows(*rows)
    delta = msgspec.structs.replace(message.deltas["groups"][0], generation=b.network.node_id.generation)
    b.network.peer("a").control(TableDeltas({"groups": (delta,)}))


@paired
async def test_a_node_cannot_speak_for_the_actors_of_another(a: Node, b: Node) -> None:
    """Such a row is left out and counted; the other rows of the packet are used."""
    ada = await a.spawn(Clerk, name="ada")
    yon = await b.spawn(Clerk, name="yon")
    there = await b.network.whereis("a", "user/ada")
    assert there is not None
    _told(b, ("default", "tellers", there, 1), ("default", "tellers", yon, 1))
    await settle()
    assert names(a.groups.members("tellers")) == "b/yon"
    assert ada not in a.groups.members("tellers")
    assert a.tables.exchange.refused == {"row": 1}


@pytest.mark.parametrize("times", [0, -1, TIMES_MAX + 1, 2**63, "many"])
@paired
async def test_a_member_counts_a_bounded_number_of_times(a: Node, b: Node, times: object) -> None:
    """A count that no honest node sends is left out; the other rows are used."""
    yon = await b.spawn(Clerk, name="yon")
    _told(b, ("default", "tellers", yon, times), ("default", "clerks", yon, TIMES_MAX))
    await settle()
    assert a.groups.members("tellers") == []
    assert a.groups.members("clerks") == [yon] * TIMES_MAX


@paired
async def test_scopes_of_another_node_end_with_their_members(a: Node, b: Node) -> None:
    """Nothing of thousands of scopes stays once their members have left."""
    yon = await b.spawn(Clerk, name="yon")
    for number in range(2_000):
        b.groups.scope(f"scope-{number}").join("group", yon)
    await settle()
    kept = a.groups.scope("scope-7")
    assert len(list(a.groups.scopes())) == 2_001
    await yon.stop()
    await settle()
    assert list(a.groups.scopes()) == ["default", "scope-7"]
    assert list(b.groups.scopes()) == ["default"]
    assert a.groups.scope("scope-7") is kept


@paired
async def test_a_group_whose_name_is_too_long_is_known_on_its_own_node_only(a: Node, b: Node) -> None:
    """And a peer that says otherwise is not believed."""
    yon = await b.spawn(Clerk, name="yon")
    b.groups.join("x" * 300, yon)
    _told(b, ("y" * 200, "x" * 200, yon, 1), ("y" * 100, "x" * 100, yon, 1))
    await settle()
    assert list(b.groups.groups()) == ["x" * 300]
    assert list(a.groups.scopes()) == ["default", "y" * 100]
