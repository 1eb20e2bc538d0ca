"""A peer that floods a node with rows: what it costs grows with the bytes, and the rows have limits.

Two nodes each, with frames of protocol 2; node b is hostile.
"""

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import cast

import msgspec
import pytest

from tests.runtime.net.stage import Clerk, pair
from tests.runtime.stage import play
from trouper import ActorRef, Node
from trouper.runtime.gossip.messages import (
    ROWS_PER_MESSAGE,
    DeltaOnWire,
    TableDeltas,
)
from trouper.testing import settle

MIB = 1_048_576
Rows = Callable[[ActorRef, int], list[object]]
"""Makes the rows of one delta.  ref: an actor of the hostile node.  number: of the delta."""
KINDS: dict[str, Rows] = {
    "that cannot be read": lambda _, __: [None] * ROWS_PER_MESSAGE,
    "of ever new scopes": lambda ref, number: [((f"{number}.{n}", "g", ref), 1) for n in range(ROWS_PER_MESSAGE)],
    "of ever new groups of one scope": lambda ref, number: [(("", f"{number}.{n}", ref), 1) for n in range(900)],
    "of one member that joins and leaves": lambda ref, number: [(("s", "g", ref), 1 + number % 16)] * 900,
    "of another node": lambda ref, number: [(("s", f"{number}.{n}", ref), 99) for n in range(900)],
}


def _deltas(b: Node, ref: ActorRef, rows: Rows, bytes_max: int) -> Iterator[TableDeltas]:
    """Make messages of so many bytes together."""
    generation, sent, version = b.network.node_id.generation, 0, 0
    while sent < bytes_max:
        changes = rows(ref, version)
        delta = DeltaOnWire("b", generation, version, version + 1, len(changes), cast("msgspec.Raw", changes))
        version += 1
        message = TableDeltas({"groups": (delta,)})
        sent += len(b.network.peer("a").codec.write(message, "a flood"))
        yield message


def _calls(rows: Rows, bytes_max: int) -> int:
    """Return how many functions are called while node b sends that many bytes of rows, and node a takes them."""
    a, b = pair()
    calls = [0]

    def count(frame: FrameType, event: str, argument: object) -> None:
        calls[0] += event in ("call", "c_call")

    async def main() -> None:
        async with a, b:
            peer = await b.network.wait_for_peer("a")
            ref = await b.spawn(Clerk)
            messages = list(_deltas(b, ref, rows, bytes_max))
            await settle()
            sys.setprofile(count)
            try:
                for message in messages:
                    peer.control(message)
                await settle()
            finally:
                sys.setprofile(None)
            table = a.tables.exchange.tables["groups"]
            assert len(table.rows_of("b")) <= table.copies.limits.rows_max

    play(main)
    return calls[0]


@pytest.mark.parametrize("kind", KINDS)
def test_what_hostile_rows_cost_is_linear_in_their_bytes(kind: str) -> None:
    """Eight times the bytes call eight times as many functions, and eight for each byte at most."""
    bytes_max = MIB if kind == "of ever new scopes" else MIB // 4
    calls = _calls(KINDS[kind], bytes_max)
    assert calls < 8 * 1.3 * _calls(KINDS[kind], bytes_max // 8)
    assert calls < 8 * bytes_max
