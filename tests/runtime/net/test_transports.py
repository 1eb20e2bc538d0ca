"""The transports of a node and its wires."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.runtime.stage import play
from trouper import InvalidOption
from trouper.runtime.net.network import TransportSet
from trouper.runtime.session.effects import Refuse, Transmit
from trouper.runtime.session.transport import Buffer, Source, Wire
from trouper.transports.inprocess import InProcessTransport


class Owner:
    """Takes what comes in."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        self.frames.append(b"".join(parts))

    def wire_ready(self, wire: Wire) -> None:
        raise AssertionError("no wire was full")

    def wire_lost(self, wire: Wire, reason: str) -> None:
        raise AssertionError(reason)


def test_frames_go_over_wires_until_they_are_closed() -> None:
    """A frame without a wire is dropped in silence; ``listen`` returns the endpoints, as peers reach them."""
    owner = Owner()

    async def main() -> None:
        transports = TransportSet([InProcessTransport(owner)])
        assert await transports.listen(["inprocess://one", "inprocess://two"]) == ("inprocess://one", "inprocess://two")
        assert transports.transmit(Transmit("inprocess://one", (b"nobody",), 1))
        transports.open("inprocess://one")
        assert transports.transmit(Transmit("inprocess://one", (b"a", b"b"), 1))
        transports.refuse(Refuse("inprocess://two", (b"no",)))
        await asyncio.sleep(1.0)
        transports.close_wire("inprocess://one")
        assert transports.transmit(Transmit("inprocess://one", (b"late",), 2))
        with pytest.raises(InvalidOption, match="no transport of this node knows tcp://"):
            transports.open("tcp://127.0.0.1:1")
        await transports.close()

    play(main)
    assert sorted(owner.frames) == [b"ab", b"no"]
