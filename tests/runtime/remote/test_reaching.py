"""Nodes that are known and not linked are dialled when there is something to send."""

import pytest

from tests.runtime.remote.stage import Add, Clerk, Downs, Sum, cell_of, check_books
from tests.runtime.stage import letters_of, play
from trouper import ActorStopped, Message, Node, NodeUnreachable
from trouper.runtime.remote.cell import Home
from trouper.runtime.remote.peer import Peer
from trouper.runtime.remote.reaching import DIALS_MAX, PACKETS_MAX
from trouper.testing import settle


class Parcel(Message[None]):
    """A packet of the tests."""

    number: int


def strangers() -> tuple[Node, Node]:
    """Two nodes that do not know each other."""
    return Node("a", listen="inprocess://a"), Node("c", listen="inprocess://c")


def test_the_first_message_to_a_known_node_opens_the_link() -> None:
    """What is told before the link stands arrives in order, asks are answered, watches hold."""
    a, c = strangers()

    async def main() -> None:
        async with a, c:
            ada, ben = await c.spawn(Clerk, name="ada"), await a.spawn(Clerk)
            cell = cell_of(ada)
            c.network.exports[cell.uid] = cell
            home = c.network.home
            a.network.reaching.know(home, "inprocess://c")
            far = a.network.directory.cell(home, cell.uid, "user/ada").ref
            assert a.network.peers == {}
            for number in range(2_000):
                far.tell(Add(number))
            far.watch(ben)
            assert await far.ask(Sum()) == sum(range(2_000))
            assert list(a.network.peers) == ["c"]
            await ada.stop()
            await settle()
            assert await ben.ask(Downs()) == ["stopped"]

    play(main)
    check_books(a, c)


def test_what_cannot_be_reached_is_given_up_in_time() -> None:
    """The messages are dead letters, the asks and watches hear of it, and nobody is dialled any more."""
    a, _ = strangers()

    async def main() -> None:
        async with a:
            letters, ben = letters_of(a), await a.spawn(Clerk)
            home = Home("z", 7)
            a.network.reaching.know(home, "inprocess://nobody")
            far = a.network.directory.cell(home, 9, "user/x").ref
            far.tell(Add(1))
            far.watch(ben)
            with pytest.raises(ActorStopped, match=r"node z is lost: it did not answer within 10 s"):
                await far.ask(Sum(), timeout_s=60.0)
            await settle()
            assert await ben.ask(Downs()) == ["node_lost"]
            assert [letter.reason for letter in letters] == ["node_lost", "node_lost"]
            a.network.reaching.forget(home)
            with pytest.raises(ActorStopped):
                await far.ask(Sum())
            with pytest.raises(NodeUnreachable):
                a.network.peer("z")

    play(main)
    check_books(a)


def test_another_life_at_the_endpoint_is_another_node() -> None:
    """What was meant for the one that is gone does not reach the new one."""
    a, c = strangers()

    async def main() -> None:
        async with a, c:
            old = Home("c", 1)
            a.network.reaching.know(old, "inprocess://c")
            far = a.network.directory.cell(old, 4, "user/x").ref
            with pytest.raises(ActorStopped, match="another node listens at inprocess://c: c"):
                await far.ask(Sum())
            assert cell_of(far).gone

    play(main)


def test_packets_go_to_whoever_listens_at_an_endpoint() -> None:
    """In order, and no more of them wait than is allowed; those that may be lost are, where nobody answers in time."""
    a, c = strangers()
    seen: list[int] = []

    def take(message: Message[object], _: Peer) -> None:
        assert isinstance(message, Parcel)
        seen.append(message.number)

    async def main() -> None:
        async with a, c:
            c.network.serves[Parcel] = take
            for number in range(PACKETS_MAX + 3):
                a.network.reaching.send("inprocess://c", Parcel(number), reliable=number % 2 == 0)
            await c.network.wait_for_peer("a")
            await settle()
            assert seen == list(range(3, PACKETS_MAX + 3))
            a.network.reaching.send("inprocess://c", Parcel(-1), reliable=False)
            await settle()
            assert (seen[-1], a.network.reaching.dropped) == (-1, 3)
            for number in range(DIALS_MAX + 5):
                a.network.reaching.send(f"inprocess://none-{number}", Parcel(number), reliable=False)
            assert a.network.reaching.dropped == 3 + 5

    play(main)
