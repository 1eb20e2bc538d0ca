"""``SimulatedTransport``: nodes in one event loop with a faulty network between them, ``sim://HOST``.

One ``SimulatedNetwork`` is shared by the transports of all nodes; its ``faults`` (a ``NetworkFaults``) decide what
becomes of each frame, and this file carries it out.  Time is the loop's, which may be virtual, and chance comes from
the ``random.Random`` given: one seed, one run.  Endpoints are ``sim://HOST`` or ``sim://HOST/ANYTHING``; faults are
between hosts.

Loss shows as TCP shows it: as a delay, or as a broken connection, with which what was on its way is lost and whose
owner is told.  A partition breaks connections too, and so does a host that is down; as nobody on the way says so, the
owner is told only when the first frame after it finds another connection.  A frame that is sent as not reliable is
itself lost, doubled or overtaken.  A wire is full when too much of it is on its way, which includes what is held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from random import Random

from ..runtime.session.identity import SAME_PROCESS
from ..runtime.session.transport import (
    Buffer,
    EndpointInvalid,
    EndpointTaken,
    FrameTooLarge,
    Source,
    TransportClosed,
    TransportLimits,
    TransportOwner,
)
from .network_faults import NetworkFaults, Quality

SCHEME = "sim"
_SOURCE = Source(identity=SAME_PROCESS)


@dataclass(order=True, slots=True)
class _Flight:
    """A frame on its way; those with equal times arrive in the order in which they were sent."""

    at: float
    number: int
    wire: SimulatedWire = field(compare=False)
    parts: Sequence[Buffer] = field(compare=False)
    frame_bytes: int = field(compare=False)
    reliable: bool = field(compare=False)
    """Whether it is of the connection, and counts for the wire's queue; False for a datagram."""


class SimulatedNetwork:
    """The network between the hosts.  Make it in the running loop.

    rng: the only source of chance.  quality: of all paths, until ``faults.set_quality`` says otherwise.
    faults: the verbs ``partition``, ``cut``, ``repair``, ``hold``, ``set_quality``; those that also change what is on
        its way are here: ``release``, ``reset``, ``crash``.
    delivered: frames that arrived so far.
    """

    def __init__(self, rng: Random, quality: Quality | None = None) -> None:
        self.faults = NetworkFaults(rng.random, quality)
        self.loop = asyncio.get_running_loop()
        self.delivered = 0
        self._listeners: dict[str, SimulatedTransport] = {}
        self._transports: dict[SimulatedTransport, None] = {}
        self._flights: list[_Flight] = []
        self._held_frames: list[_Flight] = []
        self._number = 0
        self._alarm: asyncio.TimerHandle | None = None

    def release(self, a: str | None = None, b: str | None = None) -> None:
        """Deliver what was held between two hosts, of one host, or everything; it arrives now, in order."""
        self.faults.release(a, b)
        held_frames, self._held_frames = self._held_frames, []
        for flight in held_frames:
            if self.faults.is_held(flight.wire.host, flight.wire.target):
                self._held_frames.append(flight)
            else:
                flight.at = self.loop.time()
                heappush(self._flights, flight)
        self._set_alarm()

    def reset(self, source: str, target: str) -> None:
        """Break the connections from one host to another: what is on its way is lost, and the senders are told."""
        self.faults.forget(source, target)
        for wire in self._wires(source, target):
            self._drop(wire)
            self.loop.call_soon(wire.lose, "connection reset by the simulation")

    def crash(self, host: str, *, silently: bool = False) -> None:
        """A host goes down: nothing more arrives there until a transport listens there anew.

        What it has sent may still arrive.  A node that runs on after the crash, because it cannot be stopped at once,
        sends nothing that arrives and receives nothing.

        silently: whether hosts with a wire to it are not told, as when a machine loses power; otherwise their
            connections are reset, as when a process is killed.
        """
        for transport in [transport for transport in self._transports if transport.host == host]:
            transport.crash()
        if not silently:
            for source in dict.fromkeys(transport.host for transport in self._transports):
                self.reset(source, host)

    # -- for the transports --------------------------------------------------------------------------------------------

    def enter(self, transport: SimulatedTransport) -> None:
        """A transport was made."""
        self._transports[transport] = None

    def listen(self, transport: SimulatedTransport, endpoint: str) -> None:
        """Receive frames at an endpoint; raises ``EndpointTaken``."""
        if endpoint in self._listeners:
            raise EndpointTaken(f"{endpoint} is taken by another node of this simulation; choose another name")
        self._listeners[endpoint] = transport

    def leave(self, transport: SimulatedTransport) -> None:
        """A transport is closed, and its wires with it."""
        self._transports.pop(transport, None)
        for endpoint in [endpoint for endpoint, listener in self._listeners.items() if listener is transport]:
            del self._listeners[endpoint]

    def send(self, wire: SimulatedWire, parts: Sequence[Buffer], frame_bytes: int, *, reliable: bool) -> None:
        """Put a frame on its way."""
        now = self.loop.time()
        arrivals = self.faults.arrivals(wire.host, wire.target, frame_bytes, now, reliable=reliable)
        if arrivals is None:
            self.faults.forget(wire.host, wire.target)
            self._drop(wire)
            self.loop.call_soon(wire.lose, "the connection timed out")
            return
        if reliable and not arrivals:
            wire.is_broken = True
        elif reliable and wire.is_broken:
            wire.is_broken = False
            self.loop.call_soon(wire.lose, "another connection was made")
        for at in arrivals:
            self._number += 1
            heappush(self._flights, _Flight(at, self._number, wire, parts, frame_bytes, reliable))
            if reliable:
                wire.count(1, frame_bytes)
        self._set_alarm()

    def _set_alarm(self) -> None:
        """Set the timer to the first arrival.  One timer for all keeps equal times in order on any loop."""
        at = self._flights[0].at if self._flights else None
        if self._alarm is not None and (at is None or self._alarm.when() != at):
            self._alarm.cancel()
            self._alarm = None
        if at is not None and self._alarm is None:
            self._alarm = self.loop.call_at(at, self._arrive)

    def _arrive(self) -> None:
        self._alarm = None
        while self._flights and self._flights[0].at <= self.loop.time():
            flight = heappop(self._flights)
            wire = flight.wire
            if self.faults.is_held(wire.host, wire.target):
                self._held_frames.append(flight)
                continue
            if flight.reliable:
                wire.count(-1, -flight.frame_bytes)
            receiver = self._listeners.get(wire.endpoint)
            if receiver is None or self.faults.is_cut(wire.host, wire.target):
                self.faults.lost += 1
                wire.is_broken = wire.is_broken or flight.reliable
            elif flight.frame_bytes <= receiver.limits.frame_bytes_max:
                self.delivered += 1
                receiver.receive(flight.parts)
            else:
                self._drop(wire)
                wire.lose(f"{wire.endpoint} takes no frame of {flight.frame_bytes} bytes")
        self._set_alarm()

    def _drop(self, wire: SimulatedWire) -> None:
        for flights in (self._flights, self._held_frames):
            dropped = [flight for flight in flights if flight.wire is wire]
            self.faults.lost += len(dropped)
            flights[:] = [flight for flight in flights if flight.wire is not wire]
            for flight in dropped:
                if flight.reliable:
                    wire.count(-1, -flight.frame_bytes)
        heapify(self._flights)
        self._set_alarm()

    def _wires(self, source: str, target: str) -> list[SimulatedWire]:
        return [
            wire
            for transport in self._transports
            if transport.host == source
            for wire in transport.wires
            if wire.target == target
        ]


class SimulatedTransport:
    """A ``Transport`` over a simulated network; make it in the running loop.

    owner: the node that it calls back.  network: shared by all nodes.  host: where this node is; faults are between
        hosts.  limits: None is ``TransportLimits()``.
    """

    schemes = frozenset({SCHEME})

    def __init__(
        self, owner: TransportOwner, network: SimulatedNetwork, host: str, limits: TransportLimits | None = None
    ) -> None:
        self.owner, self.network, self.host = owner, network, host
        self.limits = limits or TransportLimits()
        self.wires: dict[SimulatedWire, None] = {}
        self.has_crashed = self._closed = False
        network.enter(self)

    async def listen(self, endpoint: str) -> str:
        """``Transport.listen``; the endpoint must be of this host."""
        if self._host_of(endpoint) != self.host:
            raise EndpointInvalid(f"{endpoint!r} is not at this host, which is {self.host!r}")
        self.network.listen(self, endpoint)
        return endpoint

    def connect(self, endpoint: str) -> SimulatedWire:
        """``Transport.connect``."""
        target = self._host_of(endpoint)
        wire = SimulatedWire(self, endpoint, target)
        self.wires[wire] = None
        return wire

    async def close(self) -> None:
        """``Transport.close``.  What is on its way still arrives."""
        self._closed = True
        for wire in list(self.wires):
            wire.close()
        self.network.leave(self)

    def crash(self) -> None:
        """Receive and send nothing from now on, as ``SimulatedNetwork.crash`` says."""
        self.has_crashed = True
        self.network.leave(self)

    def receive(self, parts: Sequence[Buffer]) -> None:
        """A frame has arrived.  An exception of the owner is reported, and the next frame is delivered."""
        try:
            self.owner.frame_received(parts, _SOURCE)
        except Exception as error:  # noqa: BLE001  the owner's fault: reported, and the next frame is delivered
            self.network.loop.call_exception_handler(
                {"message": f"receiving a frame at host {self.host} failed", "exception": error}
            )

    def _host_of(self, endpoint: str) -> str:
        if self._closed:
            raise TransportClosed(f"{endpoint}: this transport is closed")
        scheme, separator, rest = endpoint.partition("://")
        host = rest.partition("/")[0]
        if scheme != SCHEME or not separator or not host:
            raise EndpointInvalid(f"{endpoint!r} is no endpoint of this transport: expected {SCHEME}://HOST")
        return host


class SimulatedWire:
    """A ``Wire`` over a simulated network.

    is_broken: whether the connection has lost a frame, of which the owner has not been told.
    """

    def __init__(self, transport: SimulatedTransport, endpoint: str, target: str) -> None:
        self.endpoint, self.host, self.target = endpoint, transport.host, target
        self._transport = transport
        self._frames = self._bytes = 0
        self.is_broken = self._was_full = self._closed = False

    def send_nowait(self, parts: Sequence[Buffer], *, reliable: bool = True) -> bool:
        """``Wire.send_nowait``."""
        if self._closed:
            raise TransportClosed(f"the wire to {self.endpoint} is closed")
        limits, frame_bytes = self._transport.limits, sum(map(len, parts))
        if frame_bytes > limits.frame_bytes_max:
            raise FrameTooLarge(
                f"a frame of {frame_bytes} bytes to {self.endpoint}, at most {limits.frame_bytes_max} are allowed"
            )
        if reliable and (self._frames >= limits.queue_frames_max or self._bytes >= limits.queue_bytes_max):
            self._was_full = True
            return False
        if not self._transport.has_crashed:
            self._transport.network.send(self, parts, frame_bytes, reliable=reliable)
        return True

    def close(self) -> None:
        """``Wire.close``; what is on its way still arrives."""
        self._closed = True
        self._transport.wires.pop(self, None)

    def count(self, frames: int, frame_bytes: int) -> None:
        """Add to the frames and bytes on their way; negative numbers take away."""
        self._frames += frames
        self._bytes += frame_bytes
        limits = self._transport.limits
        if self._was_full and self._frames < limits.queue_frames_max and self._bytes < limits.queue_bytes_max:
            self._was_full = False
            self._transport.network.loop.call_soon(self._make_ready)

    def lose(self, reason: str) -> None:
        """The connection broke."""
        if self._can_call_owner:
            self._transport.owner.wire_lost(self, reason)

    def _make_ready(self) -> None:
        if self._can_call_owner:
            self._transport.owner.wire_ready(self)

    @property
    def _can_call_owner(self) -> bool:
        return not (self._closed or self._transport.has_crashed)
