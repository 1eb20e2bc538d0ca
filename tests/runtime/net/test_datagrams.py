"""Datagrams: messages to a node that stand alone, wait for nothing, and are checked like all others."""

from __future__ import annotations

import logging

import msgspec
import pytest

from tests.runtime.node.test_extension import Acquire, Limiter, pair
from trouper import ActorRef, Message, NotPermitted, WireError
from trouper.lowlevel import Identity
from trouper.testing import settle, virtual_time


class WithRef(Message[None]):
    """Has a ref, which a datagram cannot."""

    ref: ActorRef


class Stays(Message[None], local=True):
    """Does not leave its node."""


@virtual_time
async def test_an_unreliable_message_is_a_datagram() -> None:
    """It defines no number for its type in the session, and is handled like any other."""
    async with pair([Limiter], [Limiter]) as (a, b):
        ctx = b[Limiter].context
        ctx.send(a.network.node_id, Acquire(3), reliable=False)
        await settle()
        assert await a[Limiter].bucket.ask(Acquire(0)) == 7
        assert Acquire not in b.network.peer("a").codec.numbers


@virtual_time
async def test_what_cannot_be_a_datagram_is_an_error_at_the_sender() -> None:
    """The error names the type."""
    async with pair([Limiter], [Limiter]) as (a, b):
        ctx = b[Limiter].context
        with pytest.raises(WireError, match=r"^WithRef cannot travel as a datagram: "):
            ctx.send(a.network.node_id, WithRef(b[Limiter].bucket), reliable=False)
        with pytest.raises(WireError, match=r"^Stays says local=True: it does not leave its node$"):
            ctx.send(a.network.node_id, Stays(), reliable=False)


GARBAGE = (
    (b"", "decode"),
    (b"\xc1", "a datagram came in wrong"),
    (msgspec.msgpack.encode(["no.such.type", {}]), "no message type here that travels"),
    (msgspec.msgpack.encode([f"{__name__}.Stays", {}]), "no message type here that travels"),
    (msgspec.msgpack.encode([f"{Acquire.__module__}.Acquire", {"tokens": "many"}]), "tokens"),
    (msgspec.msgpack.encode(["trouper.CancelAsk", {"correlation": 1}]), "never as a datagram"),
)


@pytest.mark.parametrize(("body", "problem"), GARBAGE)
@virtual_time
async def test_a_datagram_that_cannot_be_read_is_left_out(body: bytes, problem: str) -> None:
    """Nothing else of the session suffers."""
    async with pair([Limiter], [Limiter]) as (a, b):
        peer = a.network.peer("b")
        with pytest.raises(WireError, match=problem) if problem != "decode" else pytest.raises(WireError):
            peer.handle_datagram(body)
        peer.receive_datagram(body)
        assert await b[Limiter].context.ask(a.network.node_id, Acquire(1)) == 9


@virtual_time
async def test_a_datagram_needs_the_role_of_its_message(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is counted for the identity of the peer."""
    async with pair([Limiter], [Limiter]) as (a, _):
        peer = a.network.peer("b")
        peer.authenticate(Identity("k" * 40, "b", frozenset({"observer"})))
        body = msgspec.msgpack.encode((f"{Acquire.__module__}.Acquire", Acquire(3)))
        with caplog.at_level(logging.WARNING):
            peer.receive_datagram(body)
        assert a.network.security.counts["b"]["Acquire"] == 1
        with pytest.raises(NotPermitted):
            peer.handle_datagram(body)
