"""Groups of connected nodes are one, and each node speaks for its own actors."""

import pytest

from tests.runtime.net.stage import Clerk, pair, paired, spawn_remote
from tests.runtime.stage import play
from trouper import Actor, ActorRef, GroupJoined, GroupLeft, GroupMembers, Message, Node, handler
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
                a.groups.join(f"many-{number % 2}", ada)
            async with b:
                await b.network.wait_for_peer("a")
                await settle()
                assert names(b.groups.members("tellers")) == "a/ada"
                assert len(b.groups.members("many-0")) == 600
                ben = await b.spawn(Clerk, name="ben")
                b.groups.join("tellers", ben)
                await settle()
                assert names(a.groups.members("tellers")) == "a/ada b/ben"
            await settle()
            assert names(a.groups.members("tellers")) == "a/ada"

    play(main)


@paired
async def test_a_node_cannot_speak_for_the_actors_of_another(a: Node, b: Node) -> None:
    """What it says of them is reported, and changes nothing."""
    ada = await a.spawn(Clerk, name="ada")
    yon = await spawn_remote(a, "b", Clerk, name="yon")
    b.network.peer("a").control(GroupJoined("default", "tellers", (b.find("user/yon") or yon,)))
    peer = b.network.peer("a")
    node_id = await b.network.whereis("a", "user/ada")
    assert node_id is not None
    peer.control(GroupJoined("default", "tellers", (node_id,)))
    await settle()
    assert names(a.groups.members("tellers")) == "b/yon"
    assert ada not in a.groups.members("tellers")


@pytest.mark.parametrize("times", [1, 3])
@paired
async def test_leaving_more_often_than_joined_leaves_nothing_behind(a: Node, b: Node, times: int) -> None:
    """A peer that counts wrongly cannot make a membership negative."""
    yon = await b.spawn(Clerk, name="yon")
    peer = b.network.peer("a")
    peer.control(GroupLeft("default", "tellers", (yon,) * times))
    peer.control(GroupJoined("default", "tellers", (yon,)))
    await settle()
    assert names(a.groups.members("tellers")) == "b/yon"
