"""What an idle session costs: memory, processor time, wake-ups.  ``python -m benchmarks.sessions``.

Simulated: one node, and 200 peers that are nothing but their sessions, over the simulated transport on virtual time;
the memory counted is that of both ends together, so an upper bound.  Real: a node, and 50 nodes in five other processes
that join it over ``ipc://``; the figures are those of its process, ZeroMQ's threads and buffers with it.

Memory is shown for each step, since it must not grow faster than the number of sessions.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from math import inf
from random import Random
from typing import TYPE_CHECKING, Final

import trouper
from trouper import Node
from trouper.cli.measurements import resident_bytes
from trouper.runtime.session.effects import CloseWire, Effect, OpenWire, Transmit
from trouper.runtime.session.handshake import LocalNode
from trouper.runtime.session.sessions import SessionManager
from trouper.runtime.session.transport import Buffer, Source, Wire
from trouper.testing import run_virtual
from trouper.transports.network_faults import Quality
from trouper.transports.simulated import SimulatedNetwork, SimulatedTransport

from .shares import Stage, per_link
from .workers import processor_s, switches

if TYPE_CHECKING:
    from trouper.runtime.net.network import MakeTransport
    from trouper.runtime.node.opening import NetworkOptions

SIMULATED, STAGES_SIMULATED = 200, 4
REAL, STAGES_REAL, PROCESSES = 50, 5, 5
IDLE_VIRTUAL_S: Final = 120.0
PAUSE_S: Final = 3.0


# -- simulated ---------------------------------------------------------------------------------------------------------


class End:
    """One node that is nothing but its sessions over the simulated transport."""

    def __init__(self, network: SimulatedNetwork, name: str, rng: Random) -> None:
        self._loop = network.loop
        self._wires: dict[str, Wire] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self.transport = SimulatedTransport(self, network, name)
        self.manager = SessionManager(
            LocalNode(name, 1, f"sim://{name}"), token=partial(rng.getrandbits, 64), chance=rng.random
        )

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """``TransportOwner``: give it to the sessions."""
        self.carry_out(self.manager.receive(parts, source, self._loop.time()))

    def wire_ready(self, wire: Wire) -> None:
        """``TransportOwner``: give it to the sessions."""
        self.carry_out(self.manager.wire_ready(wire.endpoint, self._loop.time()))

    def wire_lost(self, wire: Wire, reason: str) -> None:
        """``TransportOwner``: give it to the sessions."""
        self.carry_out(self.manager.wire_lost(wire.endpoint, reason, self._loop.time()))

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Carry out effects as a node does."""
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
                case _:
                    pass
        wake_at = self.manager.wake_at
        if self._alarm is None or self._alarm.when() > wake_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._loop.call_at(wake_at, self._tick) if wake_at < inf else None

    def _tick(self) -> None:
        self._alarm = None
        self.carry_out(self.manager.tick(self._loop.time()))


class SimulatedHub(Node):
    """A node as it is, but for its network."""

    def __init__(self, network: SimulatedNetwork) -> None:
        super().__init__("hub", listen="sim://hub")
        self._simulated = network

    def _make_transports(self, options: NetworkOptions) -> Sequence[MakeTransport]:
        return [lambda owner: SimulatedTransport(owner, self._simulated, "hub")]


async def _simulated() -> tuple[list[Stage], float]:
    """Connect peers by stages; returns the stages, and the processor time of an idle link and virtual second, in us."""
    rng = Random(1)
    network = SimulatedNetwork(rng, Quality(delay_s=0.001))
    async with SimulatedHub(network) as hub:
        ends: list[End] = []
        stages = [Stage(0, _traced_bytes())]
        for count in range(SIMULATED // STAGES_SIMULATED, SIMULATED + 1, SIMULATED // STAGES_SIMULATED):
            while len(ends) < count:
                end = End(network, f"peer{len(ends)}", rng)
                await end.transport.listen(f"sim://{end.transport.host}")
                end.carry_out(end.manager.connect("sim://hub", network.loop.time()))
                ends.append(end)
            while len(hub.network.peers) < count:
                await hub.network.wait_for_change()
            await asyncio.sleep(1.0)
            stages.append(Stage(count, _traced_bytes()))
        tracemalloc.stop()
        before_s = time.process_time()
        await asyncio.sleep(IDLE_VIRTUAL_S)
        spent_s = time.process_time() - before_s
        assert len(hub.network.peers) == SIMULATED, "an idle link stays"
        return stages, spent_s / IDLE_VIRTUAL_S / SIMULATED * 1e6


def _traced_bytes() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


# -- real --------------------------------------------------------------------------------------------------------------


async def peers(folder: str, first: int, count: int) -> None:
    """Be some of the other nodes, until standard input ends."""
    async with AsyncExitStack() as stack:
        for number in range(first, first + count):
            node = Node(f"peer{number}", listen=f"ipc://{folder}/peer{number}", join=[f"ipc://{folder}/hub"])
            await stack.enter_async_context(node)
        await asyncio.to_thread(sys.stdin.read)


async def _real(idle_s: float) -> tuple[list[Stage], float, float]:
    """Connect peers by stages; returns the stages, the share of a core that the idle node takes, and its wake-ups/s."""
    with tempfile.TemporaryDirectory() as folder:
        others: list[subprocess.Popen[bytes]] = []
        async with Node("hub", listen=f"ipc://{folder}/hub") as hub:
            gc.collect()
            stages = [Stage(0, resident_bytes())]
            try:
                for process in range(PROCESSES):
                    arguments = [folder, str(process * REAL // PROCESSES), str(REAL // PROCESSES)]
                    command = [sys.executable, "-m", "benchmarks.sessions", "--peers", *arguments]
                    others.append(await asyncio.to_thread(subprocess.Popen[bytes], command, stdin=subprocess.PIPE))
                    while len(hub.network.peers) < (process + 1) * REAL // PROCESSES:
                        await hub.network.wait_for_change()
                    await asyncio.sleep(1.0)
                    gc.collect()
                    stages.append(Stage(len(hub.network.peers), resident_bytes()))
                await asyncio.sleep(PAUSE_S)
                own = os.getpid()
                before = processor_s(own), sum(switches(own).values())
                await asyncio.sleep(idle_s)
                after = processor_s(own), sum(switches(own).values())
                assert len(hub.network.peers) == REAL, "an idle link stays"
            finally:
                for other in others:
                    await asyncio.to_thread(other.communicate)
        return stages, (after[0] - before[0]) / idle_s, (after[1] - before[1]) / idle_s


# -- both --------------------------------------------------------------------------------------------------------------


def _show(title: str, stages: Sequence[Stage]) -> None:
    whole, *parts = per_link(stages)
    shown = ", ".join(f"{each / 1000:.1f}" for each in parts)
    print(f"{title}: {whole / 1000:.1f} kB a link of {stages[-1].links} (by parts {shown}); the bar is 200 kB")


def main() -> None:
    """Measure both kinds, or be some of the peers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs=3, metavar=("FOLDER", "FIRST", "COUNT"), help="be the other nodes")
    parser.add_argument("--idle-s", type=float, default=20.0, help="how long the real links are watched (20)")
    given = parser.parse_args()
    if given.peers is not None:
        trouper.run(partial(peers, given.peers[0], int(given.peers[1]), int(given.peers[2])))
        return
    tracemalloc.start()
    stages, idle_us = run_virtual(_simulated)
    _show("simulated, both ends", stages)
    print(f"simulated, idle: {idle_us:.0f} us of processor time a link and second, both ends")
    stages, share, wakes = trouper.run(partial(_real, given.idle_s))
    _show("real (ipc)", stages)
    print(f"real (ipc), idle with {REAL} links: {share:.2%} of a core, {wakes:.1f} wake-ups/s of all its threads")


if __name__ == "__main__":
    main()
