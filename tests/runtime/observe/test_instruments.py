"""Instruments: observers of every message of a node."""

import asyncio

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Performer, Player, cell_of, letters_of, play_on, staged
from trouper import Actor, ActorRef, CallerError, Down, InvalidOption, Message, Node, Pool, Reject, handler
from trouper.lowlevel import Extension, Headers, Instrument, NodeContext, declare_header, set_admission
from trouper.runtime.observe.instruments import INSTRUMENTS_MAX
from trouper.testing import run_virtual, settle

TRACE = declare_header("test-trace", follows=True)


class Notebook(Instrument):
    """Writes down what it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    def on_send(self, target: ActorRef, message: Message[object], headers: Headers) -> None:
        self.seen.append(("send", message, dict(headers)))

    def on_receive(self, actor: ActorRef, message: Message[object], headers: Headers) -> None:
        self.seen.append(("receive", message, dict(headers)))

    def on_handled(self, actor: ActorRef, message: Message[object], headers: Headers) -> None:
        self.seen.append(("handled", message, dict(headers)))

    def on_failed(self, actor: ActorRef, message: Message[object], headers: Headers, error: BaseException) -> None:
        self.seen.append(("failed", message, dict(headers), repr(error)))

    def on_restarted(self, actor: ActorRef, restarts: int) -> None:
        self.seen.append(("restarted", actor.name, restarts))

    def names(self) -> list[object]:
        """What was seen, without its details."""
        return [each[0] for each in self.seen]


@staged
async def test_an_instrument_sees_sends_handlers_failures_and_restarts(node: Node) -> None:
    """In order, with the headers, of actors that were there before and of later ones."""
    early = await node.spawn(Player, name="early")
    notebook = Notebook()
    node.instruments.add(notebook)
    late = await node.spawn(Player, name="late")
    early.with_headers({TRACE: b"t"}).tell(Note(1))
    await settle()
    assert await late.ask(Double(2)) == 4
    late.tell(Fail("why"))
    await settle()
    assert notebook.seen == [
        ("send", Note(1), {TRACE: b"t"}),
        ("receive", Note(1), {TRACE: b"t"}),
        ("handled", Note(1), {TRACE: b"t"}),
        ("send", Double(2), {}),
        ("receive", Double(2), {}),
        ("handled", Double(2), {}),
        ("send", Fail("why"), {}),
        ("receive", Fail("why"), {}),
        ("failed", Fail("why"), {}, "ValueError('why')"),
        ("restarted", "late", 1),
    ]


@staged
async def test_each_begin_has_one_end_whatever_ends_the_handler(node: Node) -> None:
    """A reject, a cancelled ask, a kill: one ``on_failed`` each; async handlers that share a task are all seen."""
    notebook = Notebook()
    node.instruments.add(notebook)

    class Refusing(Performer):
        @handler
        def fail(self, msg: Fail) -> int:
            raise Reject("no")

    refusing = await node.spawn(Refusing)
    with pytest.raises(Reject):
        await refusing.ask(Fail())
    held = await node.spawn(Player)
    ask = held.ask(Hold(1))
    await settle()
    ask.cancel()
    await settle()
    held.tell(Hold(2))
    await settle()
    await held.kill()
    assert [each[3] for each in notebook.seen if each[0] == "failed"] == [
        "Reject('no')",
        "CancelledError()",
        "CancelledError('killed')",
    ]
    opened = await node.spawn(Player)
    instance = cell_of(opened).actor
    assert isinstance(instance, Player)
    instance.gate.set()
    del notebook.seen[:]
    for n in range(5):
        opened.tell(Hold(n))
    await settle()
    assert [each[1] for each in notebook.seen if each[0] == "handled"] == [Hold(n) for n in range(5)]
    assert notebook.names().count("receive") == 5


@staged
async def test_what_never_reaches_a_handler_is_sent_and_not_received(node: Node) -> None:
    """Unhandled, refused by an admission hook, to an actor that has ended."""
    letters = letters_of(node)
    notebook = Notebook()
    refused, ended, plain = [await node.spawn(Player) for _ in range(3)]
    set_admission(refused, lambda _actor, _message, _headers: "closed", reasons=("closed",))
    await ended.stop()
    node.instruments.add(notebook)

    class Unheard(Message):
        """Nobody handles it."""

    refused.tell(Note(1))
    ended.tell(Note(2))
    plain.tell(Unheard())
    await settle()
    assert notebook.names() == ["send", "send", "send"]
    assert [letter.reason for letter in letters] == ["stopped", "closed", "unhandled"]


@staged
async def test_a_failing_instrument_does_no_harm_and_is_reported_in_moderation(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """The messages go their way, and the other instrument is called all the same."""

    class Broken(Instrument):
        def on_send(self, target: ActorRef, message: Message[object], headers: Headers) -> None:
            raise RuntimeError("broken instrument")

        def on_receive(self, actor: ActorRef, message: Message[object], headers: Headers) -> None:
            raise RuntimeError("broken instrument")

        def on_handled(self, actor: ActorRef, message: Message[object], headers: Headers) -> None:
            raise RuntimeError("broken instrument")

        def on_failed(self, actor: ActorRef, message: Message[object], headers: Headers, error: BaseException) -> None:
            raise RuntimeError("broken instrument")

        def on_restarted(self, actor: ActorRef, restarts: int) -> None:
            raise RuntimeError("broken instrument")

    notebook = Notebook()
    node.instruments.add(Broken())
    node.instruments.add(notebook)
    ref = await node.spawn(Player)
    for n in range(100):
        ref.tell(Note(n))
    assert await ref.ask(Double(3)) == 6
    ref.tell(Fail())
    await settle()
    assert await ref.ask(Double(3)) == 6
    assert notebook.names().count("handled") == 102
    reports = [text for text in caplog.messages if "it stays an instrument" in text]
    assert len(reports) == 10


@staged
async def test_what_an_instrument_sends_is_not_shown_to_on_send(node: Node) -> None:
    """An instrument that reports to an actor must not call itself for ever; the handler of its message it sees."""
    counted: list[int] = []

    class Count(Message):
        """One more was sent."""

    class Counter(Actor):
        @handler
        def count(self, msg: Count) -> None:
            counted.append(1)

    counter = await node.spawn(Counter)

    class Reporting(Instrument):
        def on_send(self, target: ActorRef, message: Message[object], headers: Headers) -> None:
            counter.tell(Count())

    node.instruments.add(Reporting())
    ref = await node.spawn(Player)
    ref.tell(Note(1))
    await settle()
    assert counted == [1]


@staged
async def test_without_instruments_the_actors_are_on_the_fast_path_again(node: Node) -> None:
    """Those that are idle, busy, and spawned meanwhile; the high-water marks are back, and asks are inline."""
    notebook = Notebook()
    idle, busy = await node.spawn(Player), await node.spawn(Player)
    marks = [cell_of(ref).high_water for ref in (idle, busy)]
    node.instruments.add(notebook)
    busy.tell(Hold(1))
    late = await node.spawn(Player)
    await settle()
    assert {cell_of(ref).high_water for ref in (idle, busy, late)} == {0}
    assert node.instruments.remove(notebook)
    assert not node.instruments.remove(notebook)
    instance = cell_of(busy).actor
    assert isinstance(instance, Player)
    instance.gate.set()
    await settle()
    assert [cell_of(ref).high_water for ref in (idle, busy)] == marks
    for ref in (idle, busy, late):
        cell = cell_of(ref)
        assert (cell.hooks, cell.slow_path) == (None, False)
        assert ref.ask(Double(1)).done(), "it was answered inline"
    seen = len(notebook.seen)
    idle.tell(Note(1))
    await settle()
    assert len(notebook.seen) == seen


@staged
async def test_down_notices_are_received_and_sent_by_no_one(node: Node) -> None:
    """A watched actor's end is handled like a message."""
    watcher, watched = await node.spawn(Player), await node.spawn(Player)
    watched.watch(watcher)
    notebook = Notebook()
    node.instruments.add(notebook)
    await watched.stop()
    await settle()
    assert [(each[0], type(each[1])) for each in notebook.seen] == [("receive", Down), ("handled", Down)]


@staged
async def test_forwarded_messages_and_timers_are_sent_and_routers_send_to_their_routees(node: Node) -> None:
    """Whatever way a message takes, each put into a mailbox is one ``on_send``."""
    notebook = Notebook()
    target = await node.spawn(Player)

    class Passer(Actor):
        @handler
        def note(self, msg: Note) -> None:
            if msg.n == 1:
                self.forward(target, msg)
            else:
                self.timers.once("later", 1.0, Note(1))

    passer = await node.spawn(Passer)
    pool = await node.spawn(Pool(Player, size=2))
    node.instruments.add(notebook)
    passer.tell(Note(1))
    passer.tell(Note(2))
    pool.tell(Note(3))
    await asyncio.sleep(2.0)
    sent = [each[1] for each in notebook.seen if each[0] == "send"]
    assert sent.count(Note(1)) == 4
    assert sent.count(Note(2)) == 1
    assert sent.count(Note(3)) == 2
    handled = [each[1] for each in notebook.seen if each[0] == "handled"]
    assert sorted(handled, key=repr) == sorted(sent, key=repr)


@staged
async def test_wrong_instruments_are_refused(node: Node) -> None:
    """One that is none, one that is there already, and the seventeenth."""
    with pytest.raises(InvalidOption, match="is no Instrument"):
        node.instruments.add(print)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  on purpose
    notebook = Notebook()
    node.instruments.add(notebook)
    with pytest.raises(CallerError, match="is an instrument of node local already"):
        node.instruments.add(notebook)
    for _ in range(INSTRUMENTS_MAX - 1):
        node.instruments.add(Notebook())
    with pytest.raises(InvalidOption, match="has 16 instruments: remove one of them first"):
        node.instruments.add(Notebook())
    assert len(node.instruments) == len(list(node.instruments)) == INSTRUMENTS_MAX


def test_the_books_balance_with_instruments_and_headers() -> None:
    """Law 11 holds on the paths that hooks take: full mailboxes, failures, stops, stashes."""

    async def scene(node: Node) -> None:
        node.instruments.add(Notebook())
        refs = [await node.spawn(Player) for _ in range(3)]
        for n in range(50):
            way = refs[n % 3].with_headers({TRACE: b"t"}) if n % 2 else refs[n % 3]
            way.tell(Note(n) if n % 25 else Fail())
        await settle()
        refs[0].tell(Note(1))
        await refs[0].stop()
        refs[0].with_headers({TRACE: b"t"}).tell(Note(1))

    play_on(Node(), scene)


class Watcher(Extension[None], name="watcher"):
    """An extension with an instrument."""

    def __init__(self) -> None:
        super().__init__()
        self.notebook = Notebook()

    async def start(self, ctx: NodeContext) -> None:
        ctx.instrument(self.notebook)


def test_the_instrument_of_an_extension_ends_with_it() -> None:
    """A failed extension that starts again has it once, and not twice."""
    watcher = Watcher()

    async def main() -> None:
        async with Node(extensions=[watcher]) as node:
            await watcher.ready()
            ref = await node.spawn(Player)
            ref.tell(Note(1))
            await settle()
            assert ("handled", Note(1), {}) in watcher.notebook.seen

            async def fail() -> None:
                raise RuntimeError("as it happens")

            watcher.context.run_in_background(fail())
            await settle()
            await asyncio.sleep(60.0)
            await watcher.ready()
            del watcher.notebook.seen[:]
            assert list(node.instruments) == [watcher.notebook]
            ref.tell(Note(2))
            await settle()
            assert watcher.notebook.seen.count(("handled", Note(2), {})) == 1

    run_virtual(main)
