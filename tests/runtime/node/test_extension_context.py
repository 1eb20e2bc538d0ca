"""What a ``NodeContext`` offers beside requests and actors: watches, phases, endpoints; and essential extensions."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest

from tests.runtime.node.test_extension import Limiter, Limits, pair
from trouper import Actor, AskTimeout, CallerError, Down, InvalidOption, Message, Node, NodeFailed, StartFailed, handler
from trouper.lowlevel import Extension, NodeContext, PeerInfo, SessionRefused
from trouper.testing import settle, virtual_time


class Fail(Message[None]):
    """Fail."""


class Stoppable(Actor):
    """Fails when it is told to."""

    @handler
    def fail(self, msg: Fail) -> None:
        raise ArithmeticError("as told")


class Essential(Extension, name="essential", essential=True):
    """Its node cannot do without it."""

    refuses = False

    async def start(self, ctx: NodeContext) -> None:
        if self.refuses:
            raise OSError("no such device")
        self.actor = await ctx.spawn(Stoppable, name="actor")


class Refusing(Essential, name="essential"):
    """Cannot start."""

    refuses = True


# --- essential extensions ---------------------------------------------------------------------------------------------


@virtual_time
async def test_the_start_of_a_node_fails_with_that_of_an_essential_extension() -> None:
    """It is not tried again; the error names the extension and the cause."""
    with pytest.raises(StartFailed, match="extension essential of node a did not start: OSError: no such device"):
        await Node("a", extensions=[Refusing]).start()


@virtual_time
async def test_a_node_fails_with_an_essential_extension() -> None:
    """The extension is not started again."""
    node = await Node("a", extensions=[Essential]).start()
    for _ in range(4):
        node[Essential].actor.tell(Fail())
    await node.shutdown.wait()
    with pytest.raises(NodeFailed, match="RestartsExceeded"):
        await node.stop()


# --- watches and phases -----------------------------------------------------------------------------------------------


@virtual_time
async def test_an_extension_watches_an_actor_of_its_node() -> None:
    """The function is called once; not after it was undone, nor after the end of the extension."""
    async with Node("a", extensions=[Limiter]) as node:
        ctx, ended = node[Limiter].context, list[Down]()
        one, other = await node.spawn(Stoppable, name="one"), await node.spawn(Stoppable, name="other")
        ctx.watch(one, ended.append)
        undo = ctx.watch(other, ended.append)
        undo()
        for ref in (one, other):
            ref.stop()
        await settle()
        assert [(down.ref, down.reason) for down in ended] == [(one, "stopped")]
        with pytest.raises(CallerError, match=f"^{one.address} has ended: this needs an actor that runs$"):
            ctx.watch(one, ended.append)


@virtual_time
async def test_an_extension_watches_no_actor_of_another_node() -> None:
    """The error names the actor and what to do."""
    async with pair([Limiter], [Limiter]) as (a, b):
        ref = await a.spawn(Stoppable, name="one", place="b")
        with pytest.raises(CallerError, match="is not an actor of node b: call this on the node where it runs"):
            b[Limiter].context.watch(ref, print)


@virtual_time
async def test_a_task_of_a_phase_of_shutdown_ends_with_its_extension() -> None:
    """It runs while the extension does, and is forgotten when that has ended."""
    calls: list[str] = []

    async def work() -> None:
        calls.append("called")

    async with Node("a", extensions=[Limiter]) as node:
        ctx = node[Limiter].context
        ctx.at_shutdown("before_stop", "finish", work)
        with pytest.raises(InvalidOption, match="'finish' already"):
            ctx.at_shutdown("before_stop", "finish", work)
    assert calls == ["called"]


# --- other nodes ------------------------------------------------------------------------------------------------------


@virtual_time
async def test_an_extension_sends_to_whichever_node_is_at_an_endpoint() -> None:
    """Connected or not; and it knows which endpoints are its own."""
    async with pair([Limiter], [Limiter]) as (a, b):
        ctx = b[Limiter].context
        found = ctx.peers.at("inprocess://a")
        assert found is not None
        assert found.node_id == a.network.node_id
        assert ctx.peers.at("inprocess://nowhere") is None
        assert (ctx.endpoint, ctx.parent_name) == ("inprocess://b", "")
        assert ctx.is_own_endpoint("inprocess://b")
        assert not ctx.is_own_endpoint("inprocess://a")


@virtual_time
async def test_an_extension_hears_that_a_node_refuses_it() -> None:
    """With the endpoint, the code and the reason."""
    refusals: list[SessionRefused] = []
    async with pair([Limiter(Limits(7))], [Limiter]) as (_, b):
        b[Limiter].context.peers.on_refused(refusals.append)
        b.network.connect("inprocess://b")
        await asyncio.sleep(1.0)
    assert {(refused.endpoint, refused.code) for refused in refusals} == {("inprocess://b", "itself")}


# --- restarts ---------------------------------------------------------------------------------------------------------


class Lives(Extension, name="lives"):
    """Writes down its starts and the ends of its background tasks, which take ``unwinding_s`` seconds to end."""

    def __init__(self, unwinding_s: float) -> None:
        self.unwinding_s = unwinding_s
        self.log: list[str] = []

    async def start(self, ctx: NodeContext) -> None:
        self.log.append("start")
        ctx.run_in_background(self.work())

    async def work(self) -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(self.unwinding_s)
            self.log.append("end")
            raise OSError("the connection is closed already")

    def fail(self) -> None:
        """Fail, as by a callback."""
        self.context.guard(_raise, "its callback")()


def _raise() -> None:
    raise ArithmeticError("as told")


@virtual_time
async def test_an_extension_starts_again_after_the_tasks_of_its_former_run_have_ended() -> None:
    """Their errors at the end are reported, and fail nothing; the end of the node waits for them, too."""
    lives = Lives(0.3)
    async with Node("a", extensions=[lives]) as node:
        lives.fail()
        await asyncio.sleep(10)
        assert lives.log == ["start", "end", "start"]
        assert node.extensions[0].restarts == 1
    assert lives.log == ["start", "end", "start", "end"]


@virtual_time
async def test_an_extension_waits_a_second_at_most_for_its_tasks(caplog: pytest.LogCaptureFixture) -> None:
    """One that goes on for longer is left behind and reported; its error does not fail the next run."""
    lives = Lives(5.0)
    async with Node("a", extensions=[lives]) as node:
        lives.fail()
        await asyncio.sleep(2)
        assert lives.log == ["start", "start"]
        assert "extension lives of node a: 1 of its tasks did not end within 1 s of the cancellation" in caplog.text
        await asyncio.sleep(10)
        assert (node.extensions[0].state, node.extensions[0].restarts) == ("running", 1)


class Early(Extension, name="early"):
    """A callback of its first run raises a number of turns of the loop after ``start`` has begun."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.starts = 0

    async def start(self, ctx: NodeContext) -> None:
        self.starts += 1
        if self.starts == 1:
            self.wait(self.turns, ctx.guard(_raise, "its callback"))

    def wait(self, turns: int, callback: Callable[[], None]) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self.wait, turns - 1, callback)
        else:
            callback()


@pytest.mark.parametrize("turns", range(8))
@virtual_time
async def test_a_callback_that_raises_at_any_moment_of_a_start_fails_the_extension(turns: int) -> None:
    """Within ``start``, after it, and when the extension runs."""
    async with Node("a", extensions=[Early(turns)]) as node:
        await asyncio.sleep(10)
        (info,) = node.extensions
        assert (info.state, info.restarts) == ("running", 1)


# --- asks of the own node, alarms -------------------------------------------------------------------------------------


class Sleeping(Extension, name="sleeping"):
    """Answers too late, or with an error of its own."""

    async def start(self, ctx: NodeContext) -> None:
        ctx.serve(Fail, self.sleep)
        ctx.serve(Late, self.fail)

    async def sleep(self, msg: Fail, peer: PeerInfo) -> None:
        await asyncio.sleep(100)

    async def fail(self, msg: Late, peer: PeerInfo) -> None:
        raise TimeoutError("of the handler")


class Late(Message[None]):
    """Raise a ``TimeoutError``."""


@virtual_time
async def test_an_ask_of_the_own_node_raises_what_one_of_another_node_raises() -> None:
    """``AskTimeout`` after the time-out, what the handler raises as it is, ``InvalidOption`` for no time-out at all."""
    async with pair([Sleeping], [Sleeping]) as (a, b):
        ctx = a[Sleeping].context
        for node in (a, b):
            node_id = node.network.node_id
            with pytest.raises(AskTimeout, match=r"did not answer Fail within 0\.2 s"):
                await ctx.ask(node_id, Fail(), 0.2)
            with pytest.raises(TimeoutError, match="of the handler") as caught:
                await ctx.ask(node_id, Late(), 0.2)
            assert not isinstance(caught.value, AskTimeout)
            for wrong in (-1.0, float("nan")):
                with pytest.raises(InvalidOption):
                    await ctx.ask(node_id, Fail(), wrong)


@virtual_time
async def test_an_alarm_lasts_as_long_as_it_is_set_or_used_and_the_extension_at_most() -> None:
    """An actor may make one at each of its restarts: the extension keeps none that is not set."""
    called: list[str] = []
    async with Node("a", extensions=[Limiter]) as node:
        clock = node[Limiter].context.clock
        dropped = weakref.ref(clock.alarm(_raise))
        clock.alarm(lambda: called.append("one")).set(clock.now() + 1)
        gc.collect()
        assert dropped() is None
        await asyncio.sleep(2)
        kept = clock.alarm(lambda: called.append("other"))
        kept.set(clock.now() + 1)
    assert kept.at == float("inf")
    await asyncio.sleep(2)
    assert called == ["one"]
