"""Headers of messages: readable in the handler, kept with the message, and those that follow, in what it sends."""

import asyncio
from collections.abc import Callable

import pytest

from tests.runtime.stage import cell_of, letters_of, play_on, staged
from trouper import (
    Actor,
    ActorRef,
    Broadcast,
    InvalidOption,
    Mailbox,
    MailboxFull,
    Message,
    Node,
    Pool,
    RoundRobin,
    Routees,
    ScatterGatherFirst,
    handler,
)
from trouper.runtime.kernel.headers import HEADER_BYTES_MAX, Headers, declare_header
from trouper.testing import settle

TRACE = declare_header("test-trace", follows=True)
USER = declare_header("test-user", follows=True)
FENCE = declare_header("test-fence", follows=False)
BOTH = {TRACE: b"t1", FENCE: b"7"}


class See(Message[dict[str, bytes]]):
    """The reply is the headers that the handler sees; they are also noted."""


class SeeAsync(Message[dict[str, bytes]]):
    """The same, by an async handler, before and after an await."""


class Do(Message[None]):
    """Do this with the other actor, in a plain handler."""

    how: str


class DoAsync(Message[None]):
    """Do this with the other actor, in an async handler, after an await."""

    how: str


class Unstash(Message):
    """Take the stash out again."""


class Witness(Actor):
    """Notes the headers of what it gets."""

    def __init__(self) -> None:
        self.seen: list[dict[str, bytes]] = []

    @handler
    def see(self, msg: See) -> dict[str, bytes]:
        self.seen.append(dict(self.headers))
        return dict(self.headers)

    @handler
    async def see_async(self, msg: SeeAsync) -> dict[str, bytes]:
        before = dict(self.headers)
        await asyncio.sleep(0)
        assert dict(self.headers) == before
        self.seen.append(before)
        return before


class Starter(Actor):
    """Tells the witness when it starts."""

    def __init__(self, witness: ActorRef) -> None:
        self.witness = witness

    def on_start(self) -> None:
        self.witness.tell(See())


class AsyncStarter(Starter):
    """The same, after an await."""

    async def on_start(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  hooks may be async
        await asyncio.sleep(0.1)
        self.witness.tell(See())


class Sender(Actor):
    """Sends to the witness in each way there is."""

    def __init__(self, witness: ActorRef) -> None:
        self.witness = witness
        self.ready = False
        self.seen: list[dict[str, bytes]] = []

    @handler
    def do(self, msg: Do) -> None:
        self.act(msg.how, msg)

    @handler
    async def do_async(self, msg: DoAsync) -> None:
        await asyncio.sleep(0.1)
        if msg.how == "await ask":
            await self.witness.ask(See())
        elif msg.how.startswith("spawn "):
            await self.spawn(AsyncStarter if "async" in msg.how else Starter, self.witness)
        elif msg.how == "create_task":
            task = asyncio.create_task(self.later())
            await task
        else:
            self.act(msg.how, msg)

    async def later(self) -> None:
        await asyncio.sleep(0.1)
        self.witness.tell(See())

    async def fetch(self) -> See:
        await self.witness.ask(SeeAsync())
        return See()

    def act(self, how: str, msg: Message[None]) -> None:
        if how == "tell":
            self.witness.tell(See())
        elif how == "ask":
            self.witness.ask(See())
        elif how == "ask async":
            self.witness.ask(SeeAsync())
        elif how == "override":
            self.witness.with_headers({TRACE: b"t2"}).tell(See())
        elif how == "add":
            self.witness.with_headers({USER: b"ada"}).tell(See())
        elif how == "forward":
            self.forward(self.witness, See())
        elif how == "timer":
            self.timers.once("later", 1.0, See())
        elif how == "periodic":
            self.timers.every("again", 1.0, See())
        elif how == "pipe":
            self.pipe_to_self(self.fetch(), lambda see: see)
        elif how == "stash" and not self.ready:
            self.stash(msg)
            self.timers.once("unstash", 1.0, Unstash())
        elif how == "stash":
            self.seen.append(dict(self.headers))
        else:
            raise AssertionError(how)

    @handler
    def unstash(self, msg: Unstash) -> None:
        self.ready = True
        self.unstash_all()

    @handler
    def see(self, msg: See) -> dict[str, bytes]:
        self.seen.append(dict(self.headers))
        self.timers.cancel("again")
        return {}


async def cast(node: Node) -> tuple[ActorRef, Sender, Witness]:
    """A sender and the witness that it sends to: its ref, and both instances."""
    witness = await node.spawn(Witness)
    sender = await node.spawn(Sender, witness)
    one, two = cell_of(sender).actor, cell_of(witness).actor
    assert isinstance(one, Sender)
    assert isinstance(two, Witness)
    return sender, one, two


@staged
async def test_a_handler_reads_the_headers_of_its_message(node: Node) -> None:
    """Told and asked, plain and async; empty for a message without, and outside of handlers."""
    ref = await node.spawn(Witness)
    with_both = ref.with_headers(BOTH)
    assert await with_both.ask(See()) == BOTH
    assert await with_both.ask(SeeAsync()) == BOTH
    assert await ref.ask(See()) == {}
    assert await ref.ask(SeeAsync()) == {}
    await with_both.tell(See())
    await with_both.tell(SeeAsync())
    await settle()
    witness = cell_of(ref).actor
    assert isinstance(witness, Witness)
    assert witness.seen == [BOTH, BOTH, {}, {}, BOTH, BOTH]
    assert witness.headers == {}


@staged
async def test_headers_cannot_be_changed_by_a_handler_or_its_sender(node: Node) -> None:
    """What a handler reads is read-only, and what the sender gave was copied."""
    given = dict(BOTH)
    ref = await node.spawn(Witness)
    way = ref.with_headers(given)
    given.clear()
    assert await way.ask(See()) == BOTH

    async def change(msg: See) -> dict[str, bytes]:
        return {}

    assert await (await node.spawn(change)).with_headers({}).ask(See()) == {}


SENT = ["tell", "ask", "ask async"]


@pytest.mark.parametrize("how", SENT)
@pytest.mark.parametrize("message", [Do, DoAsync])
@pytest.mark.parametrize("asked", [False, True])
@staged
async def test_headers_that_follow_go_into_what_a_handler_sends(
    node: Node, how: str, message: Callable[[str], Message[None]], asked: bool
) -> None:
    """The trace goes along; the fence stays with the message that it was given to."""
    ref, _, witness = await cast(node)
    way = ref.with_headers(BOTH)
    if asked:
        await way.ask(message(how))
    else:
        way.tell(message(how))
    await asyncio.sleep(1.0)
    assert witness.seen == [{TRACE: b"t1"}]


@pytest.mark.parametrize("how", ["await ask", "create_task", "spawn plain", "spawn async"])
@staged
async def test_headers_follow_into_what_an_async_handler_begins(node: Node, how: str) -> None:
    """An ask that it awaits, a task that it creates, the start of an actor that it spawns."""
    ref, _, witness = await cast(node)
    ref.with_headers(BOTH).tell(DoAsync(how))
    await asyncio.sleep(1.0)
    assert witness.seen == [{TRACE: b"t1"}]


@staged
async def test_headers_of_one_message_do_not_follow_from_another(node: Node) -> None:
    """A message without headers, handled between and after, sends none."""
    ref, _, witness = await cast(node)
    ref.tell(DoAsync("tell"))
    ref.with_headers(BOTH).tell(DoAsync("tell"))
    ref.tell(DoAsync("tell"))
    ref.with_headers({USER: b"bob"}).tell(Do("tell"))
    ref.tell(Do("tell"))
    await asyncio.sleep(1.0)
    assert witness.seen == [{}, {TRACE: b"t1"}, {}, {USER: b"bob"}, {}]


@staged
async def test_a_handler_adds_headers_to_those_that_follow(node: Node) -> None:
    """Its own win over one of the same name."""
    ref, _, witness = await cast(node)
    ref.with_headers(BOTH).tell(Do("add"))
    ref.with_headers(BOTH).tell(Do("override"))
    await asyncio.sleep(1.0)
    assert witness.seen == [{TRACE: b"t1", USER: b"ada"}, {TRACE: b"t2"}]


@pytest.mark.parametrize("message", [Do, DoAsync])
@staged
async def test_a_forwarded_message_keeps_all_its_headers(node: Node, message: Callable[[str], Message[None]]) -> None:
    """The fence too: it is the same message that goes on."""
    ref, _, witness = await cast(node)
    ref.with_headers(BOTH).tell(message("forward"))
    await asyncio.sleep(1.0)
    assert witness.seen == [BOTH]


@staged
async def test_a_forwarded_ask_keeps_all_its_headers(node: Node) -> None:
    """The one who answers sees them, and the asker gets the reply."""
    witness = await node.spawn(Witness)

    class Passer(Actor):
        @handler
        def see(self, msg: See) -> dict[str, bytes]:
            self.forward(witness)
            assert dict(self.headers) == BOTH
            return {}

    assert await (await node.spawn(Passer)).with_headers(BOTH).ask(See()) == BOTH


@pytest.mark.parametrize("message", [Do, DoAsync])
@pytest.mark.parametrize("asked", [False, True])
@staged
async def test_a_stashed_message_keeps_all_its_headers(
    node: Node, message: Callable[[str], Message[None]], asked: bool
) -> None:
    """After ``unstash_all`` the handler reads them again."""
    ref, sender, _ = await cast(node)
    way = ref.with_headers(BOTH)
    if asked:
        await way.ask(message("stash"))
    else:
        way.tell(message("stash"))
        await asyncio.sleep(2.0)
    assert sender.seen == [BOTH]


@pytest.mark.parametrize("message", [Do, DoAsync])
@staged
async def test_a_timer_keeps_the_headers_that_follow(node: Node, message: Callable[[str], Message[None]]) -> None:
    """One that fires once belongs to what its handler was about; a periodic one to the actor itself."""
    ref, sender, _ = await cast(node)
    ref.with_headers(BOTH).tell(message("timer"))
    await asyncio.sleep(2.0)
    ref.with_headers(BOTH).tell(message("periodic"))
    await asyncio.sleep(2.0)
    assert sender.seen == [{TRACE: b"t1"}, {}]


@pytest.mark.parametrize("message", [Do, DoAsync])
@staged
async def test_pipe_to_self_keeps_the_headers_that_follow(node: Node, message: Callable[[str], Message[None]]) -> None:
    """In what the coroutine sends, and in the result that comes back."""
    ref, sender, witness = await cast(node)
    ref.with_headers(BOTH).tell(message("pipe"))
    await asyncio.sleep(1.0)
    assert witness.seen == [{TRACE: b"t1"}]
    assert sender.seen == [{TRACE: b"t1"}]


@staged
async def test_headers_that_follow_and_own_ones_have_one_bound(node: Node) -> None:
    """Together they may not exceed it; the error is the sending handler's."""
    problems: list[str] = []
    witness = await node.spawn(Witness)

    class Wide(Actor):
        @handler
        def do(self, msg: Do) -> None:
            try:
                witness.with_headers({USER: b"x" * (HEADER_BYTES_MAX // 2)}).tell(See())
            except InvalidOption as error:
                problems.append(str(error))

    await (await node.spawn(Wide)).with_headers({TRACE: b"x" * (HEADER_BYTES_MAX // 2)}).ask(Do(""))
    assert len(problems) == 1
    assert problems[0].startswith("the headers of a message take 4115 bytes, at most 4096 are allowed: ")


@staged
async def test_a_full_mailbox_refuses_a_message_with_headers_as_any_other(node: Node) -> None:
    """``raise_full`` raises at the sender, and ``drop_newest`` makes a dead letter of the message itself."""

    class Strict(Witness):
        mailbox = Mailbox(high_water=1, limit=1, when_full="raise_full")

    class Loose(Witness):
        mailbox = Mailbox(high_water=1, limit=1)

    letters = letters_of(node)
    strict, loose = await node.spawn(Strict), await node.spawn(Loose)
    for ref in (strict, loose):
        ref.with_headers(BOTH).tell(See())
    with pytest.raises(MailboxFull):
        strict.with_headers(BOTH).tell(See())
    loose.with_headers(BOTH).tell(See())
    assert [(letter.message, letter.reason) for letter in letters] == [(See(), "mailbox_full")]
    await settle()


@staged
async def test_await_tell_waits_for_capacity_with_headers_too(node: Node) -> None:
    """Backpressure is that of a plain tell."""

    class Narrow(Witness):
        mailbox = Mailbox(high_water=2)

    ref = await node.spawn(Narrow)
    way = ref.with_headers(BOTH)
    waited = [way.tell(See()) for _ in range(5)]
    assert len(cell_of(ref).mail or ()) == 5
    await waited[-1]
    assert len(cell_of(ref).mail or ()) < 2


@staged
async def test_a_message_with_headers_to_an_actor_that_has_ended_is_a_dead_letter(node: Node) -> None:
    """The letter has the message itself."""
    letters = letters_of(node)
    ref = await node.spawn(Witness)
    await ref.stop()
    ref.with_headers(BOTH).tell(See())
    assert [(letter.message, letter.reason) for letter in letters] == [(See(), "stopped")]


def test_headers_pass_through_a_strict_node_and_messages_are_copied() -> None:
    """On a node with ``strict_wire=True`` the message is copied, and its headers go along."""
    seen: list[tuple[bool, Headers]] = []

    class Carry(Message[None]):
        items: list[int]

    async def scene(node: Node) -> None:
        items = [1]
        carried = Carry(items)

        class Taker(Actor):
            @handler
            def take(self, msg: Carry) -> None:
                seen.append((msg.items is items, dict(self.headers)))

        ref = await node.spawn(Taker)
        ref.with_headers(BOTH).tell(carried)
        await ref.with_headers(BOTH).ask(carried)

    play_on(Node(strict_wire=True), scene)
    assert seen == [(False, BOTH), (False, BOTH)]


@pytest.mark.parametrize("routing", [RoundRobin(), Broadcast(), ScatterGatherFirst()], ids=repr)
@staged
async def test_a_router_passes_headers_on_to_its_routees(
    node: Node, routing: RoundRobin | Broadcast | ScatterGatherFirst
) -> None:
    """To one or to all of them, told and asked: it is the same message, with all its headers."""
    pool = await node.spawn(Pool(Witness, size=3, routing=routing))
    await pool.with_headers(BOTH).ask(See())
    pool.with_headers(BOTH).tell(See())
    await asyncio.sleep(1.0)
    seen: list[dict[str, bytes]] = []
    for routee in await pool.ask(Routees()):
        witness = cell_of(routee).actor
        assert isinstance(witness, Witness)
        seen += witness.seen
    assert seen == [BOTH] * (2 if isinstance(routing, RoundRobin) else 6)
