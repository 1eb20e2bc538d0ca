"""Nodes with a known address and no session are dialled when data is to be sent."""

import pytest

from tests.runtime.net.stage import Add, Clerk, Downs, Sum, cell_of, check_books
from tests.runtime.stage import letters_of, play
from trouper import ActorStopped, Message, Node, NodeUnreachable
from trouper.runtime.kernel.address import NodeId
from trouper.runtime.net.connector import DIALS_MAX, PACKETS_MAX
from trouper.runtime.net.peer import Peer
from trouper.testing import settle


class OutOfBandPayload(Message[None]):
    """A packet of the tests."""

    number: int


def unknown_session_frames() -> tuple[Node, Node]:
    """Two nodes that do not know each other."""
    return Node("a", listen="inprocess://a"), Node("c", listen="inprocess://c")


def test_the_first_message_to_a_known_node_opens_the_link() -> None:
    """Messages sent before the session begins arrive in order, asks are answered, watches hold."""
    a, c = unknown_session_frames()

    async def main() -> None:
        async with a, c:
            ada, ben = await c.spawn(Clerk, name="ada"), await a.spawn(Clerk)
            cell = cell_of(ada)
            c.network.exports[cell.uid] = cell
            node_id = c.network.node_id
            a.network.connector.add_address(node_id, "inprocess://c")
            spawn_remote = a.network.directory.cell(node_id, cell.uid, "user/ada").ref
            assert a.network.peers == {}
            for number in range(2_000):
                spawn_remote.tell(Add(number))
            spawn_remote.watch(ben)
            assert await spawn_remote.ask(Sum()) == sum(range(2_000))
            assert list(a.network.peers) == ["c"]
            await ada.stop()
            await settle()
            assert await ben.ask(Downs()) == ["stopped"]

    play(main)
    check_books(a, c)


def test_what_cannot_be_reached_is_given_up_in_time() -> None:
    """The messages are dead letters, the asks and watches fail, and no node is dialled any more."""
    a, _ = unknown_session_frames()

    async def main() -> None:
        async with a:
            letters, ben = letters_of(a), await a.spawn(Clerk)
            node_id = NodeId("z", 7)
            a.network.connector.add_address(node_id, "inprocess://nobody")
            spawn_remote = a.network.directory.cell(node_id, 9, "user/x").ref
            spawn_remote.tell(Add(1))
            spawn_remote.watch(ben)
            with pytest.raises(ActorStopped, match=r"node z is lost: it did not answer within 10 s"):
                await spawn_remote.ask(Sum(), timeout_s=60.0)
            await settle()
            assert await ben.ask(Downs()) == ["node_lost"]
            assert [letter.reason for letter in letters] == ["node_lost", "node_lost"]
            a.network.connector.forget(node_id)
            with pytest.raises(ActorStopped):
                await spawn_remote.ask(Sum())
            with pytest.raises(NodeUnreachable):
                a.network.peer("z")

    play(main)
    check_books(a)


def test_another_life_at_the_endpoint_is_another_node() -> None:
    """What was meant for the one that is gone does not reach the new one."""
    a, c = unknown_session_frames()

    async def main() -> None:
        async with a, c:
            old = NodeId("c", 1)
            a.network.connector.add_address(old, "inprocess://c")
            spawn_remote = a.network.directory.cell(old, 4, "user/x").ref
            with pytest.raises(ActorStopped, match="another node listens at inprocess://c: c"):
                await spawn_remote.ask(Sum())
            assert cell_of(spawn_remote).gone

    play(main)


def test_packets_go_to_the_node_that_listens_at_an_endpoint() -> None:
    """In order, and no more of them wait than is allowed; unreliable ones are dropped when no node answers in time."""
    a, c = unknown_session_frames()
    seen: list[int] = []

    def take(message: Message[object], _: Peer) -> None:
        assert isinstance(message, OutOfBandPayload)
        seen.append(message.number)

    async def main() -> None:
        async with a, c:
            c.network.request_handlers.serve(OutOfBandPayload, take, owner="test")
            for number in range(PACKETS_MAX + 3):
                a.network.connector.send("inprocess://c", OutOfBandPayload(number), reliable=number % 2 == 0)
            await c.network.wait_for_peer("a")
            await settle()
            assert seen == list(range(3, PACKETS_MAX + 3))
            a.network.connector.send("inprocess://c", OutOfBandPayload(-1), reliable=False)
            await settle()
            assert (seen[-1], a.network.connector.dropped) == (-1, 3)
            for number in range(DIALS_MAX + 5):
                a.network.connector.send(f"inprocess://none-{number}", OutOfBandPayload(number), reliable=False)
            assert a.network.connector.dropped == 3 + 5

    play(main)
