import asyncio
import gc

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.runtime.net.stage import (
    Add,
    Anything,
    Cancelled,
    Clerk,
    Downs,
    Meet,
    Numbers,
    Sum,
    Wait,
    cell_of,
    check_books,
    pair,
    paired,
    peer_of,
    remote_of,
    spawn_remote,
)  # fmt: skip
from tests.runtime.stage import letters_of, play
from trouper import ActorRef, ActorStopped, Mailbox, MailboxFull, Message, Node, Unhandled, WireError, handler
from trouper.runtime.net import send_buffer
from trouper.runtime.net.control import CancelAsk, EndActor, SetBackpressure, WatchActor, WatchedActorEnded
from trouper.runtime.net.errors import UnreadableMessage
from trouper.runtime.net.peer import LETTERS_MAX, NOT_READ_MAX, NOT_READ_S, Peer
from trouper.runtime.session import codec
from trouper.testing import settle


class Version(Message[int]):
    """A type whose fields differ on the two nodes."""

    n: int


class Small(Clerk):
    """A mailbox of two messages, which says no."""

    mailbox = Mailbox(high_water=1, limit=2, when_full="raise_full")


def sent_by(peer: Peer, *items: object) -> bytes:
    """A body that the other node might send."""
    return msgspec.msgpack.encode(([], [], items, []))


@paired
async def test_a_message_that_cannot_travel_fails_alone(a: Node, b: Node) -> None:
    """The rest of its frame arrives, and an asker hears what was wrong."""
    ada = await spawn_remote(a, "b", Clerk)
    letters = letters_of(a)
    ada.tell(Add(1))
    ada.tell(Anything(object()))
    bad, good = ada.ask(Anything([1, object()])), ada.ask(Add(2))
    assert await good == 3
    with pytest.raises(WireError) as caught:
        await bad
    assert str(caught.value) == "Anything cannot travel: object is no type that the wire knows, in Anything.value[1]"
    assert [(letter.reason, letter.asked) for letter in letters] == [("unsendable", False), ("unsendable", True)]
    assert await ada.ask(Numbers()) == [1, 2]


@paired
async def test_a_reply_that_cannot_travel_is_an_error(a: Node, b: Node) -> None:
    """The asker does not wait for its time-out."""
    ada = await spawn_remote(a, "b", Giver)
    with pytest.raises(WireError) as caught:
        await ada.ask(Anything(1))
    assert str(caught.value) == "Giver cannot travel: Giver is no type that the wire knows"


class Giver(Clerk):
    """Gives itself away."""

    @handler
    def anything(self, msg: Anything) -> object:
        return self


@paired
async def test_what_is_too_large_for_a_frame_fails_alone(a: Node, b: Node) -> None:
    """Others of the same turn go in as many frames as they need; names that were new are not lost with it."""
    ada = await spawn_remote(a, "b", Clerk)
    large = ada.ask(Anything("x" * 2_000_000))
    halves = [ada.ask(Anything("y" * 600_000)) for _ in range(3)]
    assert [len(str(await half)) for half in halves] == [600_000] * 3
    with pytest.raises(WireError, match=r"^it takes 20001\d\d bytes, a frame holds 10485\d\d(\n|$)"):
        await large
    assert await ada.ask(Add(1)) == 1


@paired
async def test_a_type_that_the_other_node_does_not_know_fails_alone(a: Node, b: Node) -> None:
    """Tells of it are dead letters there, asks get an error that says what to do; other types still arrive."""
    ada = await spawn_remote(a, "b", Clerk)
    letters = letters_of(b)
    peer_of(ada).codec.number_of(Version)
    peer = b.network.peer("a")
    ada.tell(Add(1))
    await settle()
    number = peer_of(ada).codec.number_of(Version)
    peer.codec._types[number] = WireError("the fields of Version differ")  # noqa: SLF001  as if it had been defined otherwise
    ada.tell(Version(1))
    with pytest.raises(WireError, match=r"^the fields of Version differ$"):
        await ada.ask(Version(2))
    assert [(letter.reason, type(letter.message)) for letter in letters] == [("decode_error", UnreadableMessage)] * 2
    assert await ada.ask(Sum()) == 1


@paired
async def test_messages_that_are_only_counted_are_settled(a: Node, b: Node) -> None:
    """Of a flood to an actor that has ended no letters are made; its sender knows all the same what became of it."""
    ada = await spawn_remote(a, "b", Clerk)
    ada.stop()
    await settle()
    peer = peer_of(ada)
    for _ in range(LETTERS_MAX * 3):
        peer.push(ada.address.uid, Add(1))
    await asyncio.sleep(1.0)
    assert b.dead_letters.counts == {"no_such_actor": LETTERS_MAX * 3}
    assert not peer.is_needed
    check_books(a, b)


@paired
async def test_a_tell_that_cannot_be_read_is_logged_at_its_sender(
    a: Node, b: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """A line in the sender's log names actor and problem, a limited number of times; the asker has had an error."""
    ada = await spawn_remote(a, "b", Clerk, name="ada")
    number = peer_of(ada).codec.number_of(Version)
    ada.tell(Add(1))
    await settle()
    b.network.peer("a").codec._types[number] = WireError("the fields of Version differ")  # noqa: SLF001  as above
    with pytest.raises(WireError):
        await ada.ask(Version(0))
    for n in range(3 * NOT_READ_MAX):
        ada.tell(Version(n))
        await settle()
    there = [record.message for record in caplog.records if record.message.startswith("dead letter (decode_error")]
    assert there, "the node that could not read it warns too"
    told = [record.message for record in caplog.records if "node b could not read a message" in record.message]
    assert told == [f"node b could not read a message to {ada.address}: the fields of Version differ"] * NOT_READ_MAX
    caplog.clear()
    ben = await spawn_remote(a, "b", Clerk, name="ben")
    ben.tell(Version(0))
    await settle()
    named = [record.message for record in caplog.records if str(ben.address.path) in record.message]
    assert len(named) == 2, "a noisy actor hides no other, neither here nor there"
    await asyncio.sleep(NOT_READ_S)
    caplog.clear()
    ada.tell(Version(0))
    await settle()
    assert any("node b could not read a message" in record.message for record in caplog.records)


@paired
async def test_a_tell_to_a_full_remote_mailbox_is_a_dead_letter_there(a: Node, b: Node) -> None:
    """A tell that is refused is a dead letter of the other node, not an error of anybody's."""
    small = await spawn_remote(a, "b", Small)
    small.tell(Wait(1.0))
    letters = letters_of(b)
    await settle()
    for n in range(4):
        small.tell(Add(n))
    await settle()
    assert [(letter.message, letter.reason) for letter in letters] == [
        (Add(2), "mailbox_full"),
        (Add(3), "mailbox_full"),
    ]
    with pytest.raises(MailboxFull):
        await small.ask(Sum())


@paired
async def test_a_full_session_makes_senders_wait_and_then_drops(
    a: Node, b: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above high water ``await tell`` waits; at the limit the newest messages become dead letters."""
    ada = await spawn_remote(a, "b", Clerk)
    letters = letters_of(a)
    room = None
    monkeypatch.setattr(send_buffer, "LIMIT", 3_000)
    ahead = 2 * codec.ITEMS_MAX  # full frames, which do not wait
    for n in range(ahead + 3_005):
        room = ada.tell(Add(n))
    assert room is not None
    assert [letter.reason for letter in letters] == ["mailbox_full"] * 5
    await room
    assert await ada.ask(Numbers()) == list(range(ahead + 3_000))


@paired
async def test_control_messages_that_make_no_sense_are_passed_over(a: Node, b: Node) -> None:
    """Control messages about unknown actors and asks are ignored."""
    ada = await spawn_remote(a, "b", Clerk)
    peer = peer_of(ada)
    for uid in (-1, 0, 3, 10**18):
        for message in (
            WatchedActorEnded(uid, "stopped"),
            EndActor(uid, "kill"),
            CancelAsk(uid),
            SetBackpressure(uid, True),
            WatchActor(uid),
        ):
            peer.control(message)
    with pytest.raises(Unhandled, match=r"^node b was itself sent a Sum\n"):
        await peer.control_ref.ask(Sum())
    assert await ada.ask(Add(1)) == 1


@paired
async def test_wrong_items_of_a_frame_fail_alone(a: Node, b: Node) -> None:
    """Unknown targets, numbers, correlations; what else is in the frame arrives."""
    ada = await spawn_remote(a, "b", Clerk)
    await ada.ask(Sum())
    receiver, letters = b.network.peer("a"), letters_of(b)
    number = peer_of(ada).codec.number_of(Sum)
    good = (cell_of(ada).uid, 0, number, {"$type": f"{Sum.__module__}.Sum"})
    items: list[tuple[int, int, int, object]] = [
        (10**9, 0, number, good[3]),
        (-4, 0, number, {}),
        (good[0], 0, 999, None),
        (good[0], 0, number, 7),
    ]
    receiver.receive(sent_by(receiver, *items, (0, 77, 0, "late"), (0, 78, 1, "error"), good))
    assert [letter.reason for letter in letters] == ["no_such_actor", "no_such_actor", "decode_error", "decode_error"]
    assert b.system.late_replies == 2
    with pytest.raises(WireError, match=r"^the body of a frame came in wrong: "):
        receiver.receive(b"\xc1")


_ITEM = st.tuples(
    st.integers(-5, 12), st.integers(-2, 5), st.integers(-1, 14), st.integers(-9, 9) | st.text() | st.none()
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_ITEM, max_size=8), st.lists(st.floats(min_value=0.0), max_size=3))
def test_no_frame_harms_the_node(items: list[tuple[object, ...]], deadlines: list[float]) -> None:
    """Whatever a peer says in a well-formed body, the books balance and actors go on."""
    a, b = pair()

    async def main() -> None:
        async with a, b:
            await a.network.wait_for_peer("b")
            ada = await spawn_remote(a, "b", Clerk)
            await ada.ask(Add(1))
            body = msgspec.msgpack.encode(([], [], items, deadlines))
            b.network.peer("a").receive(body)
            await settle()
            assert await ada.ask(Sum()) >= 1

    play(main)
    check_books(a, b)


def test_a_lost_node_fails_all_asks_and_watches() -> None:
    """Asks fail, watchers get Down, what was not acknowledged is dead letters, once each; later too."""
    a, b = pair()

    async def main() -> None:
        async with a:
            letters = letters_of(a)
            async with b:
                await a.network.wait_for_peer("b")
                ada, ben = await spawn_remote(a, "b", Clerk), await a.spawn(Clerk)
                ada.watch(ben)
                await ada.ask(Add(1))
                asked = ada.ask(Wait(60.0))
                await settle()
                peer = peer_of(ada)
                ada.tell(Add(2))
                peer.lose("it was unplugged", [])
                with pytest.raises(ActorStopped) as caught:
                    await asked
                assert str(caught.value) == "node b is lost: it was unplugged"
                ada.tell(Add(3))
                with pytest.raises(ActorStopped):
                    await ada.ask(Sum())
                with pytest.raises(ActorStopped):
                    await peer.control_ref.ask(Sum())
                await settle()
                assert await ben.ask(Downs()) == ["node_lost"]
                assert await ada.wait_stopped() == "node_lost"
                assert [letter.reason for letter in letters] == ["node_lost", "outcome_unknown", *["node_lost"] * 3]
                ada.watch(ben)
                assert await ben.ask(Downs()) == ["node_lost", "node_lost"]
                await ada.stop()

    play(main)
    check_books(a, b)


def test_another_life_of_a_node_is_another_node() -> None:
    """Refs of the generation before reach no actor, also where path and uid are the same; a watcher gets one Down."""
    a = Node("a", listen="inprocess://a", join=["inprocess://b"])
    lives = [Node("b", listen="inprocess://b") for _ in range(2)]

    async def main() -> None:
        async with a:
            ben = await a.spawn(Clerk)
            async with lives[0]:
                await a.network.wait_for_peer("b")
                first = await spawn_remote(a, "b", Clerk, name="ada")
                first.watch(ben)
            await settle()
            assert await ben.ask(Downs()) == ["node_lost"]
            async with lives[1]:
                await a.network.wait_for_peer("b")
                second = await spawn_remote(a, "b", Clerk, name="ada")
                assert str(first.address) == str(second.address)
                assert first != second
                with pytest.raises(ActorStopped):
                    await first.ask(Sum())
                assert await second.ask(Add(3)) == 3

    play(main)
    check_books(a, *lives)


@paired
async def test_a_cancelled_ask_is_forgotten_at_once(a: Node, b: Node) -> None:
    """Nothing is kept of asks that have ended, however they did."""
    ada = await spawn_remote(a, "b", Clerk)
    asks = [ada.ask(Wait(60.0)) for _ in range(20)]
    unsent = ada.ask(Sum())
    unsent.cancel()
    await settle()
    for ask in asks:
        ask.cancel()
    await settle()
    peer = peer_of(ada)
    assert (peer._asks, peer._correlations) == ({}, {})  # noqa: SLF001  what is kept is what is tested
    assert b.network.peer("a").incoming_asks.waiting == {}
    assert await ada.ask(Cancelled()) == 1
    assert remote_of(ada).phase == "live"


@paired
async def test_what_is_kept_of_short_lived_actors_is_bounded(a: Node, b: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells without refs are dropped on both sides, whether the actors were stopped from here or there."""
    monkeypatch.setattr(codec, "REFS_MAX", 20)
    for n in range(100):
        ada = await spawn_remote(a, "b", Clerk)
        if n % 2:
            await ada.stop()
        else:
            ada.tell(Add(n))
            await ada.drain()
    peer, back = a.network.peer("b"), b.network.peer("a")
    gc.collect()
    assert len(list(a.network.directory.of_node("b"))) <= 21
    assert (peer.watched, back._control_handler._watchers) == ({}, {})  # noqa: SLF001  see above
    assert b.network.exports == {}


@paired
async def test_the_asks_of_an_actor_end_with_it(a: Node, b: Node) -> None:
    """The handlers on the other node that work for it are cancelled."""
    ada, ben = await spawn_remote(a, "b", Clerk), await a.spawn(Impatient)
    waiting = ben.ask(Meet(ada))
    await settle()
    await ben.kill()
    with pytest.raises(ActorStopped):
        await waiting
    await settle()
    assert await ada.ask(Cancelled()) == 1


class Impatient(Clerk):
    """Waits for an actor that it is sent."""

    @handler
    async def meet(self, msg: Meet) -> ActorRef:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  it waits, the other does not
        await msg.who.ask(Wait(60.0))
        return msg.who
