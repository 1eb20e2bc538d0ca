"""Session managers over the simulated transport, on the loop's time: numbered bodies both ways, checked on arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from math import inf
from random import Random

from trouper.runtime.session.effects import (
    CloseWire,
    Deliver,
    Effect,
    FrameRejected,
    OpenWire,
    Refuse,
    SessionDown,
    SessionUp,
    Transmit,
)
from trouper.runtime.session.frames import NORMAL
from trouper.runtime.session.handshake import LocalNode
from trouper.runtime.session.session import Session
from trouper.runtime.session.sessions import SessionManager
from trouper.runtime.session.settings import SessionSettings
from trouper.runtime.session.transport import Buffer, Source, Wire
from trouper.transports.simulated import SimulatedNetwork, SimulatedTransport


class Shell:
    """A node as far as the wire goes: one session manager, and what it carries out.

    up: the links that are up, by node.  heard: the number of the last body of each node; they come 1, 2, 3, ... without
    end, whatever becomes of sessions.  downs: the reasons of the ends of sessions.
    """

    def __init__(
        self, network: SimulatedNetwork, name: str, rng: Random, settings: SessionSettings | None = None
    ) -> None:
        self.name, self.loop = name, network.loop
        self.transport = SimulatedTransport(self, network, name)
        self.manager = SessionManager(
            LocalNode(name, 1, f"sim://{name}"), settings, token=partial(rng.getrandbits, 64), chance=rng.random
        )
        self.wires: dict[str, Wire] = {}
        self.up: dict[str, Session] = {}
        self.told: dict[str, int] = {}
        self.heard: dict[str, int] = {}
        self.downs: list[str] = []
        self._alarm: asyncio.TimerHandle | None = None

    def tell(self, node: str, body_bytes: int = 20) -> bool:
        """Send the next number to a node; False when its link takes nothing now."""
        session = self.up.get(node)
        if session is None or session.state not in ("up", "broken"):
            return False
        number = self.told.get(node, 0) + 1
        body = f"{self.name} {number} ".encode()
        effects = self.manager.send(session, (body, bytes(body_bytes - len(body))), NORMAL, self.loop.time())
        if effects is None:
            return False
        self.told[node] = number
        self.carry_out(effects)
        return True

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """See ``TransportOwner``."""
        self.carry_out(self.manager.receive(parts, source, self.loop.time()))

    def wire_ready(self, wire: Wire) -> None:
        """See ``TransportOwner``."""
        self.carry_out(self.manager.wire_ready(wire.endpoint, self.loop.time()))

    def wire_lost(self, wire: Wire, reason: str) -> None:
        """See ``TransportOwner``."""
        self.carry_out(self.manager.wire_lost(wire.endpoint, reason, self.loop.time()))

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Do as a node does."""
        full: set[str] = set()
        for effect in effects:
            match effect:
                case Transmit(endpoint, parts, sequence):
                    if sequence and endpoint in full:
                        continue
                    if not self.wires[endpoint].send_nowait(parts) and sequence:
                        full.add(endpoint)
                        self.manager.not_taken(endpoint, sequence)
                case OpenWire(endpoint):
                    self.wires[endpoint] = self.transport.connect(endpoint)
                case CloseWire(endpoint):
                    self.wires.pop(endpoint).close()
                case Refuse(endpoint, parts):
                    wire = self.transport.connect(endpoint)
                    wire.send_nowait(parts)
                    wire.close()
                case Deliver(_, _, parts):
                    name, number = bytes(parts[0]).split()
                    assert int(number) == self.heard.get(name.decode(), 0) + 1, "lost, doubled or out of order"
                    self.heard[name.decode()] = int(number)
                case _:
                    self._take_news(effect)
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self.loop.call_at(self.manager.wake_at, self._tick) if self.manager.wake_at < inf else None

    def _take_news(self, effect: Effect) -> None:
        match effect:
            case SessionUp(session, greeting):
                self.up[greeting.node] = session
            case SessionDown(session, reason, detail, unacknowledged):
                assert session.peer is not None
                assert not unacknowledged, detail
                del self.up[session.peer.node]
                self.downs.append(reason)
            case FrameRejected(_, problem):
                raise AssertionError(problem)
            case _:
                pass

    def sizes(self) -> dict[str, int]:
        """How much is kept in each table, by name."""
        names = ("_sessions", "_peers", "_candidates", "_dials", "_wires", "_alarms", "_dialled")
        tables = {name: len(vars(self.manager)[name]) for name in names}
        return {**tables, "wires": len(self.wires), "transport": len(self.transport.wires)}

    def _tick(self) -> None:
        self._alarm = None
        self.carry_out(self.manager.tick(self.loop.time()))


async def shells(
    network: SimulatedNetwork, names: str, settings: SessionSettings | None = None, *, once: bool = False
) -> list[Shell]:
    """Nodes by one-letter names, of which the first has dialled the others."""
    made = [Shell(network, name, Random(number), settings) for number, name in enumerate(names)]
    for shell in made:
        await shell.transport.listen(f"sim://{shell.name}")
    for name in names[1:]:
        made[0].carry_out(made[0].manager.connect(f"sim://{name}", network.loop.time(), once=once))
    await asyncio.sleep(1.0)
    return made
