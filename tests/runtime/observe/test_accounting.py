import asyncio

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Player, Story, staged
from trouper import Accounting, Actor, Node, Reject, handler
from trouper.testing import settle


class Keeper(Player):
    """Stashes notes; refuses doubles."""

    @handler
    def note(self, msg: Note) -> None:
        self.stash(msg)

    @handler
    def double(self, msg: Double) -> int:
        raise Reject("no")


@staged
async def test_a_node_that_was_told_nothing_has_empty_books(node: Node) -> None:
    """Spawning and stopping send no messages."""
    await (await node.spawn(Player)).stop()
    assert node.accounting() == Accounting(0, 0, 0, 0, 0)


@staged
async def test_each_message_stands_in_one_column(node: Node) -> None:
    """Handled, stashed, dead or in flight; the sum of all is what was sent."""
    gate = asyncio.Event()
    player, keeper = await node.spawn(Player, Story(), gate), await node.spawn(Keeper)
    player.tell(Note(1))
    player.tell(Fail())
    keeper.tell(Note(1))
    keeper.tell(Note(2))
    keeper.tell(Double(1))
    with pytest.raises(Reject):
        await keeper.ask(Double(1))
    player.tell(Hold(1))
    player.tell(Note(2))
    await settle()
    assert node.accounting() == Accounting(sent=8, handled=2, stashed=2, dead=2, in_flight=2)
    assert node.accounting().missing == 0
    gate.set()


@staged
async def test_reentrant_handlers_are_in_flight_while_they_wait(node: Node) -> None:
    """However many there are at once."""

    class Open(Player):
        @handler(reentrant=True)
        async def hold(self, msg: Hold) -> int:
            await self.gate.wait()
            return msg.n

    gate = asyncio.Event()
    ref = await node.spawn(Open, Story(), gate)
    for n in range(5):
        ref.tell(Hold(n))
    await settle()
    assert node.accounting() == Accounting(sent=5, handled=0, stashed=0, dead=0, in_flight=5)
    gate.set()
    await settle()
    assert node.accounting() == Accounting(sent=5, handled=5, stashed=0, dead=0, in_flight=0)


@staged
async def test_the_books_outlive_the_actors(node: Node) -> None:
    """What an actor has handled is counted after its end, and so is what is sent to it then."""
    ref = await node.spawn(Player)
    for n in range(3):
        ref.tell(Note(n))
    await ref.drain()
    ref.tell(Note(3))
    assert node.accounting() == Accounting(sent=4, handled=3, stashed=0, dead=1, in_flight=0)


@staged
async def test_a_down_is_accounted_for_as_any_message(node: Node) -> None:
    """It is sent by the runtime and handled by the watcher."""
    watcher, other = await node.spawn(Player), await node.spawn(Player)
    other.watch(watcher)
    await other.stop()
    await settle()
    assert node.accounting() == Accounting(sent=1, handled=1, stashed=0, dead=0, in_flight=0)


def test_missing_is_what_the_columns_do_not_explain() -> None:
    """Plain arithmetic, for a test to assert on."""
    assert Accounting(sent=10, handled=4, stashed=3, dead=2, in_flight=1).missing == 0
    assert Accounting(sent=10, handled=4, stashed=3, dead=1, in_flight=1).missing == 1


@staged
async def test_the_books_are_exact_inside_an_async_handler(node: Node) -> None:
    """The message at work is in flight."""
    seen: list[Accounting] = []

    class Looking(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            seen.append(self.node.accounting())
            return msg.n

    assert await (await node.spawn(Looking)).ask(Hold(1)) == 1
    assert seen == [Accounting(sent=1, handled=0, stashed=0, dead=0, in_flight=1)]
