"""The way to a peer leads nowhere until there is a link."""

import msgspec

from tests.runtime.net.stage import paired
from trouper import Node
from trouper.runtime.net.session_sender import SessionSender
from trouper.testing import settle


@paired
async def test_without_a_link_nothing_is_taken(a: Node, b: Node) -> None:
    """And the largest body is this node's own limit; with one, it is what the other node takes."""
    sender = SessionSender(a.network, None, 1_000)
    assert (sender.send(b"x"), sender.is_quiet, sender.body_bytes_max) == (False, False, 1_000)
    (session,) = [session for session in a.network._sessions._peers.values() if session.state == "up"]  # noqa: SLF001  of a real link
    sender.session = session
    assert sender.body_bytes_max == session.body_bytes_max > 1_000
    await settle()
    assert sender.is_quiet
    body = msgspec.msgpack.encode([[], [], [], []])
    assert sender.send(body)
    assert not sender.is_quiet, "something is not acknowledged"
