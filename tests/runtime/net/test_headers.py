"""Headers and instruments across nodes: what is kept on the way, what follows, and who sees a message."""

import asyncio

import pytest

from tests.runtime.net.stage import paired
from tests.runtime.observe.test_instruments import Notebook
from trouper import Actor, ActorRef, Message, Node, NotAdmitted, handler
from trouper.lowlevel import Headers, declare_header, set_admission
from trouper.testing import settle

TRACE = declare_header("test-trace", follows=True)
FENCE = declare_header("test-fence", follows=False)
BOTH = {TRACE: b"t1", FENCE: b"\x00\xff"}


class Seen(Message[dict[str, bytes]]):
    """The reply is the headers that came with it."""


class All(Message[list[dict[str, bytes]]]):
    """The reply is the headers of all messages of ``See``."""


class See(Message[None]):
    """Note the headers."""


class Pass(Message[dict[str, bytes]]):
    """Ask the target ``Seen``, or forward it there."""

    target: ActorRef
    how: str


class Carry(Message[int]):
    """A large buffer; the reply is its length."""

    data: bytes


class Remote(Actor):
    """Knows all of these."""

    def __init__(self) -> None:
        self.seen: list[dict[str, bytes]] = []

    @handler
    def seen_now(self, msg: Seen) -> dict[str, bytes]:
        return dict(self.headers)

    @handler
    def see(self, msg: See) -> None:
        self.seen.append(dict(self.headers))

    @handler
    def all(self, msg: All) -> list[dict[str, bytes]]:
        return self.seen

    @handler
    def carry(self, msg: Carry) -> int:
        self.seen.append(dict(self.headers))
        return len(msg.data)

    @handler
    async def passes(self, msg: Pass) -> dict[str, bytes]:
        if msg.how == "ask":
            return await msg.target.ask(Seen())
        if msg.how == "tell":
            msg.target.tell(See())
        elif msg.how == "forward":
            self.forward(msg.target, Seen())
        elif msg.how == "spawn":
            await self.spawn(Starter, msg.target, place="b")
        return {}


class Starter(Actor):
    """Tells the target when it starts."""

    def __init__(self, target: ActorRef) -> None:
        self.target = target

    def on_start(self) -> None:
        self.target.tell(See())


@paired
async def test_headers_go_along_to_another_node(a: Node, b: Node) -> None:
    """Told and asked, before and after the type has a number, binary values too; without headers there are none."""
    remote = await a.spawn(Remote, place="b")
    assert await remote.ask(Seen()) == {}
    for _ in range(2):
        assert await remote.with_headers(BOTH).ask(Seen()) == BOTH
        remote.with_headers(BOTH).tell(See())
        remote.tell(See())
    assert await remote.ask(All()) == [BOTH, {}, BOTH, {}]
    assert a.dead_letters.counts == b.dead_letters.counts == {}


@paired
async def test_headers_follow_from_node_to_node(a: Node, b: Node) -> None:
    """From a handler there to an actor here; the fence stays with its message."""
    here, there = await a.spawn(Remote), await a.spawn(Remote, place="b")
    assert await there.with_headers(BOTH).ask(Pass(here, "ask")) == {TRACE: b"t1"}
    await there.with_headers(BOTH).ask(Pass(here, "tell"))
    await settle()
    assert await here.ask(All()) == [{TRACE: b"t1"}]
    await here.with_headers(BOTH).ask(Pass(there, "tell"))
    await settle()
    assert await there.ask(All()) == [{TRACE: b"t1"}]
    await here.ask(Pass(there, "tell"))
    await settle()
    assert await there.ask(All()) == [{TRACE: b"t1"}, {}]


@paired
async def test_an_ask_that_is_forwarded_to_another_node_keeps_all_its_headers(a: Node, b: Node) -> None:
    """There, and back to where it came from."""
    here, there = await a.spawn(Remote), await a.spawn(Remote, place="b")
    assert await here.with_headers(BOTH).ask(Pass(there, "forward")) == BOTH
    assert await there.with_headers(BOTH).ask(Pass(here, "forward")) == BOTH


@paired
async def test_headers_follow_into_the_start_of_an_actor_on_another_node(a: Node, b: Node) -> None:
    """The request to start it has them, and so has what its ``on_start`` sends."""
    here = await a.spawn(Remote)
    await here.with_headers(BOTH).ask(Pass(here, "spawn"))
    await here.ask(Pass(here, "spawn"))
    await settle()
    assert await here.ask(All()) == [{TRACE: b"t1"}, {}]


@paired
async def test_a_message_with_headers_and_a_large_buffer_has_both(a: Node, b: Node) -> None:
    """The buffer goes its own way, the headers beside the rest of the message."""
    remote = await a.spawn(Remote, place="b")
    assert await remote.with_headers(BOTH).ask(Carry(b"x" * 300_000)) == 300_000
    assert await remote.ask(Carry(b"x" * 300_000)) == 300_000
    assert await remote.ask(All()) == [BOTH, {}]


@paired
async def test_headers_of_asks_that_share_a_frame_stay_with_their_own(a: Node, b: Node) -> None:
    """More asks than one frame holds, every third with headers of its own."""
    remote = await a.spawn(Remote, place="b")
    asks = [
        remote.with_headers({FENCE: str(n).encode()}).ask(Seen()) if n % 3 == 0 else remote.ask(Seen())
        for n in range(1_200)
    ]
    replies = await asyncio.gather(*asks)
    assert replies == [{FENCE: str(n).encode()} if n % 3 == 0 else {} for n in range(1_200)]


@paired
async def test_a_message_with_headers_that_cannot_be_delivered_is_a_dead_letter_of_itself(a: Node, b: Node) -> None:
    """The letter shows the message, and not the form in which it was queued."""
    remote = await a.spawn(Remote, place="b")

    class Odd(Message, local=True):
        """It does not leave its node."""

    remote.with_headers(BOTH).tell(Odd())
    await settle()
    assert [(type(letter.message), letter.reason) for letter in a.dead_letters.recent] == [(Odd, "unsendable")]


@paired
async def test_a_fence_on_the_node_of_the_actor_refuses_for_all_nodes(a: Node, b: Node) -> None:
    """The asker on the other node gets ``NotAdmitted`` with the reason."""
    there = await b.spawn(Remote, name="remote")

    def newest(actor: ActorRef, message: Message[object], headers: Headers) -> str | None:
        return None if headers.get(FENCE) == b"2" else "stale_epoch"

    set_admission(there, newest, reasons=("stale_epoch",))
    remote = await a.network.whereis("b", "user/remote")
    assert remote is not None
    with pytest.raises(NotAdmitted, match="stale_epoch"):
        await remote.with_headers({FENCE: b"1"}).ask(Seen())
    assert await remote.with_headers({FENCE: b"2"}).ask(Seen()) == {FENCE: b"2"}


@paired
async def test_a_message_is_sent_on_one_node_and_received_on_the_other(a: Node, b: Node) -> None:
    """The instruments of the sender's node see it sent, those of the receiver's node see it received."""
    remote = await a.spawn(Remote, place="b")
    assert await remote.ask(Seen()) == {}
    ours, theirs = Notebook(), Notebook()
    a.instruments.add(ours)
    b.instruments.add(theirs)
    remote.with_headers(BOTH).tell(See())
    assert await remote.ask(Seen()) == {}
    await settle()
    assert ours.seen == [("send", See(), BOTH), ("send", Seen(), {})]
    assert theirs.seen == [
        ("receive", See(), BOTH),
        ("handled", See(), BOTH),
        ("receive", Seen(), {}),
        ("handled", Seen(), {}),
    ]
    a.instruments.remove(next(iter(a.instruments)))
    b.instruments.remove(next(iter(b.instruments)))
    del ours.seen[:], theirs.seen[:]
    assert await remote.ask(Seen()) == {}
    assert ours.seen == theirs.seen == []
