import asyncio
import re
from collections import Counter

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Notes, Player, cell_of, letters_of, staged, told
from trouper import (
    Actor,
    ActorRef,
    ActorStopped,
    AskTimeout,
    Broadcast,
    ConsistentHash,
    DeadlockError,
    GroupRouter,
    LeastMailbox,
    Mailbox,
    Message,
    Node,
    RandomChoice,
    Routees,
    ScatterGatherFirst,
    Unavailable,
    Unroutable,
    handler,
)
from trouper.runtime.actor.routers.router import label, load
from trouper.testing import settle


class Who(Message[ActorRef]):
    """The reply is the ref of the actor that handled it."""


class Ready(Player):
    @handler
    def who(self, msg: Who) -> ActorRef:
        return self.ref


class Narrow(Player):
    mailbox = Mailbox(high_water=2, limit=2)


class AskOn(Message):
    """Ask the router for a `Double`, once the gate is open."""


class Picky(Player):
    mailbox = Mailbox(high_water=1, limit=1, when_full="raise_full")

    def __init__(self, gate: asyncio.Event, routers: list[ActorRef]) -> None:
        super().__init__(None, gate)
        self.routers = routers

    @handler
    async def ask_on(self, msg: AskOn) -> None:
        await self.gate.wait()
        await self.routers[0].ask(Double(1))


class Asker(Actor):
    """Asks a router from a handler."""

    def __init__(self, router: list[ActorRef]) -> None:
        self.router = router

    @handler
    async def who(self, msg: Who) -> ActorRef:
        return await self.router[0].ask(Who())


async def _players(node: Node, count: int = 3) -> list[ActorRef]:
    return [await node.spawn(Ready, name=f"player-{number}") for number in range(count)]


# --- one of them -----------------------------------------------------------------------------------------------------


@staged
async def test_the_reply_comes_straight_from_the_routee(node: Node) -> None:
    """An ask is forwarded: any type of message, idle or busy, and the router is free at once."""
    players = await _players(node)
    router = await node.spawn(GroupRouter(players))
    assert [await router.ask(Who()) for _ in range(4)] == [*players, players[0]]
    assert await router.ask(Double(4)) == 8
    assert await router.ask(Routees()) == players


@staged
async def test_an_asker_gets_the_routee_s_error_and_the_router_goes_on(node: Node) -> None:
    """A handler's exception passes by the router, which is not restarted."""
    router = await node.spawn(GroupRouter(await _players(node, 1)))
    with pytest.raises(ValueError, match=r"^why$"):
        await router.ask(Fail("why"))
    assert cell_of(router).restarts == 0


@staged
async def test_each_strategy_finds_its_routee(node: Node) -> None:
    """Random from the node's seed, least by the mailboxes, hash by the key."""
    players = await _players(node)
    chance = await node.spawn(GroupRouter(players, routing=RandomChoice()))
    assert set(Counter([await chance.ask(Who()) for _ in range(100)])) == set(players)

    gate = [player.ask(Hold()) for player in players[:2]]
    await settle()
    least = await node.spawn(GroupRouter(players, routing=LeastMailbox()))
    assert {await least.ask(Who()) for _ in range(5)} == {players[2]}
    for asked in gate:
        asked.cancel()

    def key(message: Note | Notes) -> int:
        return message.n if isinstance(message, Note) else 1

    hashed = await node.spawn(GroupRouter(players, routing=ConsistentHash(key)))
    for _ in range(5):
        hashed.tell(Note(1))
    assert await hashed.ask(Notes()) == [1] * 5


@staged
async def test_a_message_that_no_strategy_can_place_is_refused(node: Node) -> None:
    """A key function that fails is no crash: the asker gets the error, a tell is a dead letter."""
    letters = letters_of(node)
    routing = ConsistentHash(lambda message: message.n)
    router = await node.spawn(GroupRouter(await _players(node), routing=routing))
    with pytest.raises(Unroutable, match=f"^{re.escape(f'{router.address} cannot route Who by {routing!r}: ')}"):
        await router.ask(Who())
    router.tell(Who())
    await settle()
    assert told(letters) == [(Who(), "rejected")]
    assert cell_of(router).restarts == 0


@staged
async def test_a_routee_that_ends_leaves_the_rotation(node: Node) -> None:
    """Nothing is sent to it after its end, and a router without routees says so at once."""
    letters = letters_of(node)
    players = await _players(node, 2)
    router = await node.spawn(GroupRouter(players))
    await players[0].kill()
    assert [await router.ask(Who()) for _ in range(3)] == [players[1]] * 3
    await players[1].stop()
    message = (
        f"{router.address} has no routees for Who: resize the pool, or register actors under the key of the router"
    )
    for timeout_s in (1e-9, None):
        with pytest.raises(Unroutable, match=f"^{re.escape(message)}$"):
            await router.ask(Who(), timeout_s=timeout_s)
    router.tell(Note(1))
    await settle()
    assert told(letters) == [(Note(1), "rejected")]
    assert issubclass(Unroutable, Unavailable)


@staged
async def test_the_deadline_of_an_ask_goes_with_it(node: Node) -> None:
    """The asker's time-out cancels the handler of the routee, whichever way the router was asked."""
    story: list[object] = []
    player = await node.spawn(Player, story)
    router = await node.spawn(GroupRouter([player]))
    began = asyncio.get_running_loop().time()
    for _ in range(2):
        with pytest.raises(AskTimeout):
            await router.ask(Hold(), timeout_s=0.25)
    assert asyncio.get_running_loop().time() - began == pytest.approx(0.5)
    await settle()
    assert story == ["start", ("hold", 0), ("cancelled", 0), ("hold", 0), ("cancelled", 0)]


@staged
async def test_a_ring_through_a_router_is_named(node: Node) -> None:
    """An actor that asks itself by way of a router gets DeadlockError, not a time-out."""
    routers: list[ActorRef] = []
    asker = await node.spawn(Asker, routers)
    routers.append(await node.spawn(GroupRouter([asker])))
    began = asyncio.get_running_loop().time()
    with pytest.raises(DeadlockError):
        await asker.ask(Who())
    assert asyncio.get_running_loop().time() == began
    assert cell_of(routers[0]).restarts == 0


# --- backpressure ----------------------------------------------------------------------------------------------------


@staged
async def test_pressure_on_a_routee_is_felt_by_who_awaits_tell(node: Node) -> None:
    """A router passes on no more than its routees take, so nothing is dropped, and order is kept."""
    gate = asyncio.Event()
    narrow = await node.spawn(Narrow, None, gate)
    router = await node.spawn(GroupRouter([narrow]))
    narrow.tell(Hold())
    await settle()
    for number in range(50):
        router.tell(Note(number))
    await settle()
    assert len(cell_of(narrow).mail or ()) <= 3
    gate.set()
    await settle()
    assert await narrow.ask(Notes()) == list(range(50))
    assert await router.ask(Double(1)) == 2
    assert node.accounting().dead == 0


@staged
async def test_pressure_does_not_keep_a_router_from_noticing_an_end(node: Node) -> None:
    """A routee that ends while the router waits for it lets go of the router."""
    narrow, player = await node.spawn(Narrow), await node.spawn(Player)
    router = await node.spawn(GroupRouter([narrow, player]))
    narrow.tell(Hold())
    for number in range(20):
        router.tell(Note(number))
    await settle()
    await narrow.kill()
    noted = await player.ask(Notes())
    lost = [letter.message for letter in node.dead_letters.recent if isinstance(letter.message, Note)]
    assert sorted([*noted, *(note.n for note in lost)]) == list(range(20))


@staged
async def test_a_routee_that_raises_when_full_fails_no_router(node: Node) -> None:
    """A router that may not wait for a full routee, since that waits for the router, refuses the message."""
    letters, gate, routers = letters_of(node), asyncio.Event(), list[ActorRef]()
    picky, narrow = await node.spawn(Picky, gate, routers), await node.spawn(Narrow, None, gate)
    routers.append(await node.spawn(GroupRouter([picky, narrow])))
    picky.tell(AskOn())
    narrow.tell(Hold())
    await settle()
    for ref, number in ((narrow, 0), (narrow, 1), (picky, 0)):
        ref.tell(Note(number))
    routers[0].tell(Note(2))  # for picky, then for narrow, which both have to wait for
    routers[0].tell(Note(3))  # for picky, as soon as narrow has room
    await settle()
    gate.set()
    await settle()
    assert told(letters) == [(Note(3), "rejected")]
    assert await narrow.ask(Notes()) == [0, 1, 2]
    assert cell_of(routers[0]).restarts == 0


# --- all of them -----------------------------------------------------------------------------------------------------


@staged
async def test_a_broadcast_reaches_all_and_answers_when_all_have(node: Node) -> None:
    """A tell goes to each; an ask waits for each, and has the first routee's reply."""
    gate = asyncio.Event()
    gate.set()
    players = [await node.spawn(Player, None, gate) for _ in range(3)]
    router = await node.spawn(GroupRouter(players, routing=Broadcast()))
    router.tell(Note(1))
    assert await router.ask(Notes()) == [1]
    assert [await player.ask(Notes()) for player in players] == [[1]] * 3
    gate.clear()
    asked = router.ask(Hold(5))
    await settle()
    assert not asked.done()
    gate.set()
    assert await asked == 5
    with pytest.raises(ValueError, match=r"^boom$"):
        await router.ask(Fail())


@staged
async def test_the_first_reply_wins_and_the_others_are_cancelled(node: Node) -> None:
    """Slow routees are let off as soon as a quick one has replied."""
    story: list[object] = []
    quick = asyncio.Event()
    players = [await node.spawn(Player, story), await node.spawn(Player, None, quick)]
    router = await node.spawn(GroupRouter(players, routing=ScatterGatherFirst()))
    asked = router.ask(Hold(3))
    await settle()
    quick.set()
    assert await asked == 3
    await settle()
    assert story == ["start", ("hold", 3), ("cancelled", 3)]


@staged
async def test_who_asked_a_router_that_ends_is_not_left_waiting(node: Node) -> None:
    """Its asks end with it; the asker hears at once, and the routees are let off."""
    story: list[object] = []
    router = await node.spawn(GroupRouter([await node.spawn(Player, story)], routing=ScatterGatherFirst()))
    asked = router.ask(Hold(1))
    await settle()
    await router.kill()
    with pytest.raises(ActorStopped):
        await asked
    await settle()
    assert story == ["start", ("hold", 1), ("cancelled", 1)]


@staged
async def test_a_router_to_all_without_routees_says_so(node: Node) -> None:
    """The ask fails at once."""
    router = await node.spawn(GroupRouter([], routing=Broadcast()))
    with pytest.raises(Unroutable):
        await router.ask(Who())


@staged
async def test_a_broadcast_feels_pressure(node: Node) -> None:
    """The slowest routee sets the pace, and no message is lost."""
    gate = asyncio.Event()
    narrow, player = await node.spawn(Narrow, None, gate), await node.spawn(Player)
    router = await node.spawn(GroupRouter([narrow, player], routing=Broadcast()))
    narrow.tell(Hold())
    for number in range(20):
        router.tell(Note(number))
    await settle()
    gate.set()
    await settle()
    assert [await ref.ask(Notes()) for ref in (narrow, player)] == [list(range(20))] * 2


# --- what strategies see ---------------------------------------------------------------------------------------------


@staged
async def test_load_is_what_is_queued_and_at_work(node: Node) -> None:
    """Idle is 0, busy is 1 and the queued messages; an actor that is not live counts as full."""
    player = await node.spawn(Player)
    assert load(player) == 0
    player.tell(Hold())
    await settle()
    assert load(player) == 1
    player.tell(Note(1))
    assert load(player) == 2
    await player.kill()
    assert load(player) >= 1_000


@staged
async def test_a_label_outlives_the_actor(node: Node) -> None:
    """A consistent hash finds the next actor of the same path in the same place."""
    player = await node.spawn(Player, name="ada")
    assert label(player) == "local/user/ada"
