"""``python -m benchmarks.loss``: what a link carries while its wires lose frames, over the simulated transport.

One node sends bodies of 10,000 bytes as fast as its link takes them, over a way of 100 MB a second that loses frames,
both ways, and the other one counts.  Time is virtual: the figures say what the protocol makes of a network, and are the
same on every machine; what the code costs stands in ``benchmarks.transport``.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from functools import partial
from math import inf
from random import Random
from typing import Final

from trouper.runtime.session.effects import CapacityAvailable, CloseWire, Deliver, Effect, OpenWire, PeerUp, Transmit
from trouper.runtime.session.frames import NORMAL
from trouper.runtime.session.handshake import LocalNode
from trouper.runtime.session.session import Session
from trouper.runtime.session.sessions import SessionManager
from trouper.runtime.session.transport import Buffer, Source, Wire
from trouper.testing import run_virtual
from trouper.transports.network_faults import Quality
from trouper.transports.simulated import SimulatedNetwork, SimulatedTransport

BODY: Final = bytes(10_000)
BANDWIDTH_BYTES_S: Final = 100_000_000.0
LOSSES: Final = (0.0, 0.01, 0.05, 0.2)
DELAYS_S: Final = (0.001, 0.01, 0.05)


class End:
    """One node: a switchboard over the simulated transport; the one that is told to ``flood`` sends without end."""

    def __init__(self, network: SimulatedNetwork, name: str, rng: Random, *, flood: bool) -> None:
        self._loop = network.loop
        self._flood = flood
        self._wires: dict[str, Wire] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self.transport = SimulatedTransport(self, network, name)
        self.manager = SessionManager(
            LocalNode(name, 1, f"sim://{name}"), token=partial(rng.getrandbits, 64), chance=rng.random
        )
        self.delivered = 0

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """See ``TransportOwner``."""
        self.carry_out(self.manager.receive(parts, source, self._loop.time()))

    def wire_ready(self, wire: Wire) -> None:
        """See ``TransportOwner``."""
        self.carry_out(self.manager.wire_ready(wire.endpoint, self._loop.time()))

    def wire_lost(self, wire: Wire, reason: str) -> None:
        """See ``TransportOwner``."""
        self.carry_out(self.manager.wire_lost(wire.endpoint, reason, self._loop.time()))

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Do as a node does."""
        full: set[str] = set()
        for effect in effects:
            match effect:
                case Transmit(endpoint, parts, sequence):
                    is_taken = endpoint not in full and self._wires[endpoint].send_nowait(parts)
                    if sequence and not is_taken and endpoint not in full:
                        full.add(endpoint)
                        self.manager.not_taken(endpoint, sequence)
                case OpenWire(endpoint):
                    self._wires[endpoint] = self.transport.connect(endpoint)
                case CloseWire(endpoint):
                    self._wires.pop(endpoint).close()
                case Deliver():
                    self.delivered += 1
                case PeerUp(session, _) | CapacityAvailable(session):
                    self._fill(session)
                case _:
                    pass
        wake_at = self.manager.wake_at
        if self._alarm is None or self._alarm.when() > wake_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._loop.call_at(wake_at, self._tick) if wake_at < inf else None

    def _fill(self, session: Session) -> None:
        while self._flood and (wanted := self.manager.send(session, (BODY,), NORMAL, self._loop.time())) is not None:
            self.carry_out(wanted)

    def _tick(self) -> None:
        self._alarm = None
        self.carry_out(self.manager.tick(self._loop.time()))


async def frames_a_second(loss: float, delay_s: float, seconds: float) -> float:
    """Bodies that arrive in a second of virtual time, over so many seconds."""
    rng = Random(1)
    network = SimulatedNetwork(rng, Quality(delay_s=delay_s, bandwidth_bytes_s=BANDWIDTH_BYTES_S))
    ends = [End(network, "a", rng, flood=True), End(network, "b", rng, flood=False)]
    for end in ends:
        await end.transport.listen(f"sim://{end.transport.host}")
    network.faults.set_quality(Quality(delay_s=delay_s, bandwidth_bytes_s=BANDWIDTH_BYTES_S, loss=loss))
    ends[0].carry_out(ends[0].manager.connect("sim://b", network.loop.time()))
    await asyncio.sleep(seconds)
    for end in ends:
        await end.transport.close()
    return ends[1].delivered / seconds


def main() -> None:
    """Print one line for each delay, one figure for each loss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of virtual time, for each figure")
    seconds: float = parser.parse_args().seconds
    print("one way, ms | " + " | ".join(f"{loss:.0%} lost" for loss in LOSSES))
    for delay_s in DELAYS_S:
        figures = [run_virtual(partial(frames_a_second, loss, delay_s, seconds)) for loss in LOSSES]
        print(f"{delay_s * 1_000:.0f} | " + " | ".join(f"{figure:,.0f}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
