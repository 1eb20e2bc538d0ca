"""The way to a peer leads nowhere until there is a link."""

import msgspec

from tests.runtime.remote.stage import paired
from trouper import Node
from trouper.runtime.remote.way import LinkWay
from trouper.testing import settle


@paired
async def test_without_a_link_nothing_is_taken(a: Node, b: Node) -> None:
    """And the largest body is this node's own limit; with one, it is what the other node takes."""
    way = LinkWay(a.network, None, 1_000)
    assert (way.send(b"x"), way.is_quiet, way.body_bytes_max) == (False, False, 1_000)
    (link,) = [link for link in a.network._switchboard._peers.values() if link.state == "up"]  # noqa: SLF001  of a real link
    way.link = link
    assert way.body_bytes_max == link.body_bytes_max > 1_000
    await settle()
    assert way.is_quiet
    body = msgspec.msgpack.encode([[], [], [], []])
    assert way.send(body)
    assert not way.is_quiet, "something is not acknowledged"
