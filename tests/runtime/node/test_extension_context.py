"""What a ``NodeContext`` offers beside requests and actors: watches, phases, endpoints; and essential extensions."""

from __future__ import annotations

import asyncio

import pytest

from tests.runtime.node.test_extension import Limiter, Limits, pair
from trouper import Actor, CallerError, Down, InvalidOption, Message, Node, NodeFailed, StartFailed, handler
from trouper.lowlevel import Extension, NodeContext, SessionRefused
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
