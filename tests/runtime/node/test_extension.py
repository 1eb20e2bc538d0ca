"""Extensions: their life, what they serve and send, and that their failures stay their own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from trouper import (
    Actor,
    ActorStopped,
    CallerError,
    InvalidOption,
    Message,
    Node,
    NodeClosed,
    NodeUnreachable,
    StartFailed,
    Unhandled,
    handler,
)
from trouper.lowlevel import (
    AnyExtension,
    Extension,
    ExtensionFailed,
    NetworkOptions,
    NodeContext,
    NodeId,
    PeerDown,
    PeerEvent,
    PeerInfo,
    PeerUp,
    declare_header,
)
from trouper.runtime.session.identity import OWN_PROCESS
from trouper.testing import settle, virtual_time

Given = Sequence[AnyExtension | type[AnyExtension]]


class Limits(msgspec.Struct):
    """rate: tokens at the start."""

    rate: int = 10


class Acquire(Message[int]):
    """Take tokens; the reply is how many are left."""

    tokens: int


class Peek(Message[str]):
    """The reply names the asker."""


class Bucket(Actor):
    """Has tokens; fails when more are taken than there are."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    @handler
    def acquire(self, msg: Acquire) -> int:
        if msg.tokens > self.tokens:
            raise ArithmeticError(f"{msg.tokens} of {self.tokens}")
        self.tokens -= msg.tokens
        return self.tokens


class Limiter(Extension[Limits], name="limiter"):
    """Serves a bucket to other nodes."""

    def __init__(self, settings: Limits | None = None) -> None:
        super().__init__(settings)
        self.seen: list[PeerEvent] = []
        self.calls: list[str] = []

    async def start(self, ctx: NodeContext) -> None:
        self.calls.append("start")
        self.bucket = await ctx.spawn(Bucket, self.settings.rate, name="bucket")
        ctx.serve(Acquire, self.on_acquire)
        ctx.serve(Peek, self.on_peek)
        ctx.peers.subscribe(self.seen.append)

    async def stop(self) -> None:
        assert await self.bucket.ask(Acquire(0)) >= 0, "its actors still run"
        self.calls.append("stop")

    async def on_acquire(self, msg: Acquire, peer: PeerInfo) -> int:
        return await self.bucket.ask(msg)

    def on_peek(self, msg: Peek, peer: PeerInfo) -> str:
        if peer.node_id.name == "c":
            raise ValueError("not for c")
        return peer.node_id.name


@asynccontextmanager
async def pair(a: Given, b: Given) -> AsyncGenerator[tuple[Node, Node]]:
    """Two connected nodes with these extensions."""
    first = Node("a", listen="inprocess://a", extensions=a)
    second = Node("b", listen="inprocess://b", join=["inprocess://a"], extensions=b)
    async with first, second:
        await second.network.wait_for_peer("a")
        await first.network.wait_for_peer("b")
        yield first, second


# --- what it can do ---------------------------------------------------------------------------------------------------


HEADER = declare_header("test-shop", follows=True)


class Reader(Extension, name="reader"):
    """Answers with the headers of the request, at once and after a while, and of a request that it makes meanwhile."""

    async def start(self, ctx: NodeContext) -> None:
        ctx.serve(Read, self.on_read)
        ctx.serve(ReadLater, self.on_read_later)

    def on_read(self, msg: Read, peer: PeerInfo) -> dict[str, bytes]:
        return dict(self.context.headers)

    async def on_read_later(self, msg: ReadLater, peer: PeerInfo) -> dict[str, bytes]:
        await asyncio.sleep(0.1)
        further = await self.context.ask(peer.node_id, Read())
        return {**self.context.headers, **{f"{name}-there": value for name, value in further.items()}}


class Read(Message[dict[str, bytes]]):
    """The reply is the headers."""


class ReadLater(Message[dict[str, bytes]]):
    """The reply is the headers, and those of a request that follows from it."""


@virtual_time
async def test_the_handler_of_a_request_reads_its_headers_and_those_that_follow_go_on() -> None:
    """Plain or async, from another node and from the node itself; without headers, and outside, there are none."""
    async with pair([Reader], [Reader]) as (a, b):
        ctx = b[Reader].context
        for node_id in (a.network.node_id, ctx.node_id):
            assert await ctx.ask(node_id, Read(), headers={HEADER: b"ada"}) == {HEADER: b"ada"}
            assert await ctx.ask(node_id, ReadLater(), headers={HEADER: b"ada"}) == {
                HEADER: b"ada",
                **({} if node_id == ctx.node_id else {f"{HEADER}-there": b"ada"}),
            }
            assert await ctx.ask(node_id, Read()) == await ctx.ask(node_id, ReadLater()) == {}
        assert dict(ctx.headers) == {}
        with pytest.raises(InvalidOption, match="not declared"):
            await ctx.ask(ctx.node_id, Read(), headers={"undeclared": b""})


@virtual_time
async def test_an_extension_spawns_serves_sends_and_hears_of_peers() -> None:
    """Its actor is under /system/NAME; sync and async handlers answer peers and the node itself; peers come and go."""
    async with pair([Limiter(Limits(7))], [Limiter]) as (a, b):
        ctx, a_id = b[Limiter].context, a.network.node_id
        assert a.find("system/limiter/bucket") == a[Limiter].bucket
        assert await ctx.ask(a_id, Acquire(3)) == 4
        assert await ctx.ask(a_id, Peek()) == "b"
        assert await ctx.ask(ctx.node_id, Acquire(3)) == 7
        assert await ctx.ask(ctx.node_id, Peek()) == "b"
        assert b[Limiter].seen == [PeerUp(a_id, OWN_PROCESS)]
        a.network.end_session("b", "for the test")
        await settle()
        assert a[Limiter].seen == [PeerUp(ctx.node_id, OWN_PROCESS), PeerDown(ctx.node_id, OWN_PROCESS, "for the test")]
        assert a.extensions[-1].state == "running"
    assert a[Limiter].calls == ["start", "stop"]


@virtual_time
async def test_a_message_is_sent_by_each_stream_reliably_or_not() -> None:
    """Every stream reaches the handler; a node that is not known is an error; the node itself is a target too."""
    async with pair([Limiter], [Limiter]) as (a, b):
        ctx, a_id = b[Limiter].context, a.network.node_id
        ctx.send(a_id, Acquire(1))
        ctx.send(a_id, Acquire(1), stream="normal")
        ctx.send(a_id, Acquire(1), stream="bulk")
        ctx.send(a_id, Acquire(1), reliable=False, expires_s=1.0)
        ctx.send(ctx.node_id, Acquire(1))
        await settle()
        assert await ctx.ask(a_id, Acquire(0)) == 6
        assert await ctx.ask(ctx.node_id, Acquire(0)) == 9
        for unknown in (NodeId("z", 1), NodeId("a", 1)):
            with pytest.raises(NodeUnreachable, match=f"not connected to node {unknown.name} of generation 1"):
                ctx.send(unknown, Acquire(1))
            with pytest.raises(NodeUnreachable, match="wait for PeerUp"):
                await ctx.ask(unknown, Acquire(1))


@virtual_time
async def test_a_message_waits_for_a_session_as_long_as_it_says() -> None:
    """An address is known, and no node answers there yet: what expires first is dropped, the rest arrives."""
    b = Node("b", listen="inprocess://b", extensions=[Limiter])
    a = Node("a", listen="inprocess://a", extensions=[Limiter])
    async with b:
        ctx = b[Limiter].context
        b.network.connector.add_address(NodeId("a", 5), "inprocess://a")
        ctx.send(NodeId("a", 5), Acquire(1), reliable=False, expires_s=1.0)
        ctx.send(NodeId("a", 5), Acquire(1), reliable=False)
        ctx.send(NodeId("a", 5), Acquire(1), expires_s=9.0)
        await asyncio.sleep(5.0)
        async with a:
            await b.network.wait_for_peer("a")
            await settle()
            assert await a[Limiter].bucket.ask(Acquire(0)) == 9
            assert b.network.connector.dropped == 2


@virtual_time
async def test_a_handler_s_error_is_the_asker_s_and_fails_nothing() -> None:
    """A peer must not be able to bring an extension down."""
    async with pair([Limiter], [Limiter]) as (a, b):
        ctx, a_id = b[Limiter].context, a.network.node_id
        with pytest.raises(Exception, match="99 of 10"):
            await ctx.ask(a_id, Acquire(99))
        async with Node("c", listen="inprocess://c", join=["inprocess://a"], extensions=[Limiter]) as c:
            await c.network.wait_for_peer("a")
            with pytest.raises(ValueError, match="not for c"):
                await c[Limiter].context.ask(a_id, Peek())
        assert a.extensions[0].restarts == 0


@virtual_time
async def test_a_message_has_one_owner() -> None:
    """Another extension, and the same one, are refused with the owner's name; so are roles and types that are none."""

    class Second(Extension, name="second"):
        async def start(self, ctx: NodeContext) -> None:
            ctx.serve(Acquire, lambda msg, peer: 0)

    with pytest.raises(CallerError, match=r"^second cannot serve Acquire: limiter serves it already"):
        async with Node(extensions=[Limiter, Second]):
            pass
    async with Node(extensions=[Limiter]) as node:
        ctx = node[Limiter].context
        with pytest.raises(CallerError, match=r"^limiter cannot serve Acquire: limiter serves it already"):
            ctx.serve(Acquire, node[Limiter].on_acquire)
        with pytest.raises(InvalidOption, match="allow='king': use one of member, worker"):
            ctx.serve(ExtensionFailed, lambda msg, peer: None, allow="king")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  it is what is tested
        with pytest.raises(InvalidOption, match="limiter cannot serve int: serve a Message class"):
            ctx.serve(int, lambda msg, peer: None)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]  it is what is tested


@virtual_time
async def test_what_an_extension_made_ends_with_it() -> None:
    """Requests, subscriptions, alarms, tasks and handlers at work; the asker of one of these is told."""
    rung: list[str] = []

    class Slow(Extension, name="slow"):
        async def start(self, ctx: NodeContext) -> None:
            ctx.serve(Peek, self.on_peek)
            self.alarm = ctx.clock.alarm(lambda: rung.append("alarm"))
            self.alarm.set(ctx.clock.now() + 1.0)
            ctx.run_in_background(self.work())

        async def on_peek(self, msg: Peek, peer: PeerInfo) -> str:
            await asyncio.sleep(60.0)
            return "late"

        async def work(self) -> None:
            try:
                await asyncio.sleep(60.0)
            finally:
                rung.append("task ended")

    async with Node("b", listen="inprocess://b") as b:
        async with Node("a", listen="inprocess://a", join=["inprocess://b"], extensions=[Slow]) as a:
            await b.network.wait_for_peer("a")
            asked = asyncio.ensure_future(b.network.peer("a").control_ref.ask(Peek(), 30.0))
            await settle()
            extension = a[Slow]
            context = extension.context
        with pytest.raises(ActorStopped):
            await asked
        assert rung == ["task ended"]
        with pytest.raises(NodeClosed, match="the extension slow does not run"):
            _ = extension.context
        context.guard(lambda: rung.append("after the end"), "a test")()
        await asyncio.sleep(5.0)
        assert rung == ["task ended"]


# --- order ------------------------------------------------------------------------------------------------------------

order: list[str] = []


class Base(Extension, name="base"):
    async def start(self, ctx: NodeContext) -> None:
        order.append("base starts")
        self.bucket = await ctx.spawn(Bucket, 1, name="bucket")

    async def stop(self) -> None:
        order.append("base stops")


class OnBase(Extension, name="on_base", requires=[Base]):
    async def start(self, ctx: NodeContext) -> None:
        assert ctx.extension(Base).context is not None
        order.append("on_base starts")

    async def stop(self) -> None:
        order.append("on_base stops")


@virtual_time
async def test_an_extension_starts_after_what_it_requires_and_stops_before_it() -> None:
    """Whatever order they are given in; when the required one fails, the other stops first and starts again after."""
    order.clear()
    async with Node(extensions=[OnBase, Base]) as node:
        assert order == ["base starts", "on_base starts"]
        order.clear()
        node[Base].context.guard(lambda: 1 / 0, "a test")()
        await asyncio.sleep(1.0)
        assert order == ["on_base stops", "base stops", "base starts", "on_base starts"]
        assert [(info.name, info.restarts) for info in node.extensions] == [("base", 1), ("on_base", 0)]
        order.clear()
    assert order == ["on_base stops", "base stops"]


@virtual_time
async def test_what_is_required_must_be_there() -> None:
    """A node without it is refused at its start, with what to do."""
    with pytest.raises(InvalidOption, match="extension on_base requires Base, which node local does not have"):
        async with Node(extensions=[OnBase]):
            pass


# --- dormant ----------------------------------------------------------------------------------------------------------


class Sleepy(Limiter, name="sleepy", starts_on={Acquire: "member"}):
    """Starts when it is used."""


@virtual_time
async def test_a_dormant_extension_starts_at_its_first_use() -> None:
    """By a peer's first message, which is handled, or by ``ready``; several uses at one time start it once."""
    async with pair([Sleepy], [Sleepy]) as (a, b):
        assert [info.state for node in (a, b) for info in node.extensions if info.name == "sleepy"] == ["dormant"] * 2
        await asyncio.gather(*(b[Sleepy].ready() for _ in range(3)))
        ctx, a_id = b[Sleepy].context, a.network.node_id
        with pytest.raises(Unhandled):
            await ctx.ask(a_id, Peek())  # not among the types that start it
        assert await asyncio.gather(*(ctx.ask(a_id, Acquire(1)) for _ in range(3))) == [9, 8, 7]
        assert await ctx.ask(a_id, Peek()) == "b"
        assert a[Sleepy].calls == ["start"]


@virtual_time
async def test_a_dormant_extension_that_is_not_used_does_nothing() -> None:
    """Neither ``start`` nor ``stop`` is called, and there is no actor of it."""
    async with Node(extensions=[Sleepy]) as node:
        assert node.find("system/sleepy") is None
    assert node[Sleepy].calls == []
    with pytest.raises(NodeClosed, match="extension sleepy starts no more"):
        await node[Sleepy].ready()
    with pytest.raises(NodeClosed, match="belongs to no node"):
        await Sleepy().ready()


# --- failures ---------------------------------------------------------------------------------------------------------


class Faulty(Extension, name="faulty", limit_s=2.0):
    """Fails as the test says; it is alive when it has a bucket."""

    faults: ClassVar[list[str]] = []
    starts: ClassVar[list[float]] = []
    stops: ClassVar[list[float]] = []

    async def start(self, ctx: NodeContext) -> None:
        self.starts.append(ctx.clock.now())
        fault = self.faults.pop(0) if self.faults else ""
        ctx.serve(Peek, lambda msg, peer: "here")
        if fault == "raise":
            raise OSError("no disk")
        if fault == "hang":
            await asyncio.Event().wait()
        if fault == "deaf":
            for _ in range(3):
                try:
                    await asyncio.sleep(3_600.0)
                except asyncio.CancelledError:
                    pass
        if fault == "wrong":
            raise InvalidOption("rate must be above 0")
        self.bucket = await ctx.spawn(Bucket, 10)

    async def stop(self) -> None:
        self.stops.append(asyncio.get_running_loop().time())
        if "stop" in self.faults:
            raise OSError("cannot stop")
        if "stop hangs" in self.faults:
            await asyncio.Event().wait()


def faulty(*faults: str) -> type[Faulty]:
    """Reset the class, with these faults to come."""
    Faulty.faults, Faulty.starts, Faulty.stops = list(faults), [], []
    return Faulty


@virtual_time
async def test_a_start_that_raises_is_reported_and_tried_again_with_back_off(caplog: pytest.LogCaptureFixture) -> None:
    """At once, then after 0.1 s, 0.2 s and so on; the node runs meanwhile, and nothing of the failed start is left."""
    async with Node(extensions=[faulty(*["raise"] * 5)]) as node:
        with pytest.raises(StartFailed, match="extension faulty of node local did not start: OSError: no disk"):
            await node[Faulty].ready()
        await asyncio.sleep(10.0)
        pauses = [later - earlier for earlier, later in zip(Faulty.starts, Faulty.starts[1:], strict=False)]
        assert pauses == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8], rel=0.21, abs=0.001)
        info = node.extensions[0]
        assert (info.state, info.restarts, info.error) == ("running", 5, "OSError: no disk")
        assert "extension faulty of node local failed, and it is started again in" in caplog.text
    assert len(Faulty.stops) == 1, "stop is not called for a start that failed"


@virtual_time
@pytest.mark.parametrize("fault", ["hang", "deaf"])
async def test_a_start_that_hangs_is_cancelled(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """After its limit, even where it ignores the cancellation; then it is started again."""
    async with Node(extensions=[faulty(fault)]) as node:
        await node[Faulty].ready()
        assert Faulty.starts[1] - Faulty.starts[0] == pytest.approx(2.0 if fault == "hang" else 3.0)
        assert "start() did not end within 2 s, and was cancelled" in caplog.text


@virtual_time
async def test_wrong_settings_end_the_start_of_the_node() -> None:
    """A fault of the caller is raised, and not tried again."""
    with pytest.raises(InvalidOption, match="rate must be above 0"):
        async with Node(extensions=[faulty("wrong")]):
            pass
    assert len(Faulty.starts) == 1


@virtual_time
@pytest.mark.parametrize("fault", ["stop", "stop hangs"])
async def test_a_stop_that_fails_keeps_the_node_from_nothing(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is reported, within its limit, and the node ends in order."""
    async with Node(extensions=[OnBase, Base, faulty()]):
        Faulty.faults = [fault]
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began <= 2.0
    assert "extension faulty of node local failed in stop()" in caplog.text
    assert order[-2:] == ["on_base stops", "base stops"]


@virtual_time
async def test_an_extension_whose_actors_fail_too_often_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    """Its actors are gone first, its requests wait for the new start, and the node goes on."""
    faulty()
    async with pair([Faulty], [Limiter]) as (a, b):
        first = a[Faulty].bucket
        failures: list[ExtensionFailed] = []
        with a.events.stream(ExtensionFailed) as stream:
            for _ in range(4):
                first.tell(Acquire(99))
            asked = asyncio.ensure_future(b[Limiter].context.ask(a.network.node_id, Peek()))
            failures.append(await anext(stream))
        assert await asked == "here"
        await a[Faulty].ready()
        assert failures[0].name == "faulty"
        assert "RestartsExceeded" in failures[0].error
        assert a[Faulty].bucket != first
        assert a.extensions[0].restarts == 1
        assert len(Faulty.stops) == 1, "it had run, so it is stopped"


@virtual_time
async def test_callbacks_that_raise_fail_their_extension_alone(caplog: pytest.LogCaptureFixture) -> None:
    """An alarm, a listener to peers, a background task, and a failure while the extension still starts."""

    class Raising(Extension, name="raising"):
        starts = 0

        async def start(self, ctx: NodeContext) -> None:
            Raising.starts += 1
            if self.starts == 1:
                ctx.clock.alarm(lambda: self.fails("alarm")).set(ctx.clock.now() + 1.0)
            elif self.starts == 2:
                ctx.run_in_background(self.work())
            elif self.starts == 3:
                ctx.peers.subscribe(lambda event: self.fails(f"listener {type(event).__name__}"))
            elif self.starts == 4:
                ctx.clock.alarm(lambda: self.fails("early alarm")).set(ctx.clock.now() + 1.0)
                await asyncio.Event().wait()

        async def work(self) -> None:
            await asyncio.sleep(1.0)
            self.fails("task")

        def fails(self, what: str) -> None:
            raise ArithmeticError(f"the {what} failed")

    async with pair([Raising], [Limiter]) as (a, b):
        await asyncio.sleep(5.0)
        assert Raising.starts == 5
        assert {info.name: info.state for info in a.extensions}["raising"] == "running"
        for what in ("alarm", "task", "listener PeerUp", "early alarm"):
            assert f"the {what} failed" in caplog.text
        assert b.network.peers.keys() == {"a"}


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_class_or_a_setting_that_cannot_be_used_is_refused_at_once() -> None:
    """Each with a sentence that names it."""

    class Nameless(Extension):
        pass

    class Needs(msgspec.Struct):
        size: int

    class Needy(Extension[Needs], name="needy"):
        pass

    refused: list[tuple[str, Any]] = [  # Any: what a caller without a type checker passes
        ("Nameless has no name", Nameless),
        ("extensions: 5 is no Extension", 5),
        (r"Needy needs settings: pass a .*Needs", Needy),
    ]
    for text, given in refused:
        with pytest.raises(InvalidOption, match=text):
            Node(extensions=[given])
    with pytest.raises(InvalidOption, match="both have the name 'limiter' on node local"):
        Node(extensions=[Limiter, Limiter])
    with pytest.raises(InvalidOption, match="Limiter takes a Limits as its settings, not 5"):
        Limiter(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  it is what is tested
    with pytest.raises(InvalidOption, match="Base has no settings, and was given 5"):
        Base(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  it is what is tested
    one = Limiter()
    Node(extensions=[one])
    with pytest.raises(InvalidOption, match="this Limiter belongs to a node already"):
        Node(extensions=[one])
    with pytest.raises(InvalidOption, match="make print `async def`"):
        type("Plain", (Extension,), {"start": print}, name="plain")
    with pytest.raises(InvalidOption, match="limit_s=0 must be above 0"):
        type("Hasty", (Extension,), {}, name="hasty", limit_s=0)
    with pytest.raises(InvalidOption, match="must be an Extension class"):
        type("Loose", (Extension,), {}, name="loose", requires=[int])


@virtual_time
async def test_an_extension_of_a_node_is_found_by_its_class() -> None:
    """Also by a base class, where one extension alone is of it; one that the node lacks is an error that lists all."""
    async with Node(extensions=[Sleepy, Base]) as node:
        assert node[Sleepy] is node[Limiter]
        with pytest.raises(InvalidOption, match=r"no extension OnBase: .*; its extensions: sleepy, base"):
            _ = node[OnBase]
        with pytest.raises(InvalidOption):
            _ = node[Extension]


@virtual_time
async def test_an_extension_takes_part_in_opening_and_releasing() -> None:
    """It sees the options of the network before it opens, and releases last, whether or not it started."""
    calls: list[str] = []

    class Part(Extension, name="part", starts_on={}):
        def network_options(self, options: NetworkOptions) -> NetworkOptions:
            calls.append(f"listen={options.listen}")
            return options

        def release(self) -> None:
            calls.append("released")
            raise OSError("cannot release")

    async with Node("a", listen="inprocess://a", extensions=[Part]):
        assert calls == ["listen=('inprocess://a',)"]
    assert calls[-1] == "released"


# --- installed ones ---------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package on the path that offers extensions, as a wheel does."""
    (tmp_path / "offered_extension.py").write_text(
        "from trouper.lowlevel import Extension\nclass Offered(Extension, name='offered'):\n    pass\nnumber = 5\n",
        "utf-8",
    )
    info = tmp_path / "offered-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(
        "[trouper.extensions]\noffered = offered_extension:Offered\nnumber = offered_extension:number\n"
        "broken = no_such_module:Broken\n",
        "utf-8",
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.mark.usefixtures("installed")
@virtual_time
async def test_an_installed_extension_is_given_by_its_name() -> None:
    """By the name of its entry point; a name, a module and a value that are wrong are each said."""
    async with Node(extensions=["offered"]) as node:
        assert [(info.name, info.state) for info in node.extensions] == [("offered", "running")]
    for name, text in [
        ("missing", r"no installed package offers an extension 'missing'; offered are: broken, number, offered"),
        ("number", r"'number' is offered_extension:number, which is no Extension class"),
        ("broken", r"'broken' is no_such_module:Broken, which cannot be imported: No module named 'no_such_module'"),
    ]:
        with pytest.raises(InvalidOption, match=text):
            Node(extensions=[name])
