"""The transports of a node and its wires."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.runtime.stage import play
from trouper import InvalidOption
from trouper.runtime.net.transport_set import TransportSet
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
    """A frame for which there is no wire is lost, and that is no fault; the first endpoint is where peers answer."""
    owner = Owner()

    async def main() -> None:
        wiring = TransportSet([InProcessTransport(owner)])
        assert await wiring.listen(["inprocess://one", "inprocess://two"]) == "inprocess://one"
        assert wiring.transmit(Transmit("inprocess://one", (b"nobody",), 1))
        wiring.open("inprocess://one")
        assert wiring.transmit(Transmit("inprocess://one", (b"a", b"b"), 1))
        wiring.refuse(Refuse("inprocess://two", (b"no",)))
        await asyncio.sleep(1.0)
        wiring.close_wire("inprocess://one")
        assert wiring.transmit(Transmit("inprocess://one", (b"late",), 2))
        with pytest.raises(InvalidOption, match="no transport of this node knows tcp://"):
            wiring.open("tcp://127.0.0.1:1")
        await wiring.close()

    play(main)
    assert sorted(owner.frames) == [b"ab", b"no"]
