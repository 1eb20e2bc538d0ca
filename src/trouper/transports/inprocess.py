"""``InProcessTransport``: two or more nodes in one event loop, ``inprocess://NAME``.

Frames go from queue to queue; no byte is copied or encoded, and nothing leaves the process.  The transports of one loop
share their endpoints; other loops do not see them.  It keeps the laws of the port and adds no faults; ``simulated``
does.

A wire hands over what was queued in one iteration of the loop in the next one.  Until a transport listens at its
endpoint it keeps its frames; when the listener closes, the frames that it holds are lost, and its owner is told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from weakref import WeakKeyDictionary

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

SCHEME = "inprocess"
_SOURCE = Source(identity=SAME_PROCESS)


class _Exchange:
    """The endpoints of one loop: the listener of each, and the wires to each."""

    def __init__(self) -> None:
        self.listeners: dict[str, InProcessTransport] = {}
        self.wires: dict[str, dict[InProcessWire, None]] = {}


_exchanges: WeakKeyDictionary[asyncio.AbstractEventLoop, _Exchange] = WeakKeyDictionary()


class InProcessTransport:
    """A ``Transport`` within one event loop; make it in the running loop.

    owner: the node that it calls back.  limits: None is ``TransportLimits()``.
    """

    schemes = frozenset({SCHEME})

    def __init__(self, owner: TransportOwner, limits: TransportLimits | None = None) -> None:
        self.owner, self.limits = owner, limits or TransportLimits()
        self.loop = asyncio.get_running_loop()
        self.exchange = _exchanges.setdefault(self.loop, _Exchange())
        self.closed = False
        self._endpoints: list[str] = []
        self._wires: dict[InProcessWire, None] = {}

    async def listen(self, endpoint: str) -> str:
        """``Transport.listen``."""
        self._check(endpoint)
        if endpoint in self.exchange.listeners:
            raise EndpointTaken(f"{endpoint} is taken by another node in this loop; choose another name")
        self.exchange.listeners[endpoint] = self
        self._endpoints.append(endpoint)
        for wire in self.exchange.wires.get(endpoint, ()):
            wire.flush_soon()
        return endpoint

    def connect(self, endpoint: str) -> InProcessWire:
        """``Transport.connect``."""
        self._check(endpoint)
        wire = InProcessWire(self, endpoint)
        self._wires[wire] = None
        self.exchange.wires.setdefault(endpoint, {})[wire] = None
        return wire

    async def close(self) -> None:
        """``Transport.close``."""
        self.closed = True
        for endpoint in self._endpoints:
            del self.exchange.listeners[endpoint]
            for wire in self.exchange.wires.get(endpoint, ()):
                self.loop.call_soon(wire.lose)
        self._endpoints.clear()
        for wire in list(self._wires):
            wire.close()
        if self._wires:
            # What was taken is handed over in the next iteration of the loop, which is sooner than any linger.
            await asyncio.sleep(0)

    def forget(self, wire: InProcessWire) -> None:
        """The wire is closed and empty."""
        self._wires.pop(wire, None)
        wires = self.exchange.wires.get(wire.endpoint, {})
        wires.pop(wire, None)
        if not wires:
            self.exchange.wires.pop(wire.endpoint, None)

    def _check(self, endpoint: str) -> None:
        if self.closed:
            raise TransportClosed(f"{endpoint}: this transport is closed")
        scheme, separator, name = endpoint.partition("://")
        if scheme != SCHEME or not separator or not name:
            raise EndpointInvalid(f"{endpoint!r} is no endpoint of this transport: expected {SCHEME}://NAME")


class InProcessWire:
    """A ``Wire`` in one loop."""

    def __init__(self, transport: InProcessTransport, endpoint: str) -> None:
        self.endpoint = endpoint
        self._transport = transport
        self._frames: deque[Sequence[Buffer]] = deque()
        self._queued_bytes = 0
        self._was_full = self._flushing = self._closed = False

    def send_nowait(self, parts: Sequence[Buffer], *, reliable: bool = True) -> bool:  # noqa: ARG002  every frame is
        """``Wire.send_nowait``."""
        if self._closed:
            raise TransportClosed(f"the wire to {self.endpoint} is closed")
        limits, frame_bytes = self._transport.limits, sum(map(len, parts))
        if frame_bytes > limits.frame_bytes_max:
            raise FrameTooLarge(
                f"a frame of {frame_bytes} bytes to {self.endpoint}, at most {limits.frame_bytes_max} are allowed"
            )
        if len(self._frames) >= limits.queue_frames_max or self._queued_bytes >= limits.queue_bytes_max:
            self._was_full = True
            return False
        self._frames.append(parts)
        self._queued_bytes += frame_bytes
        self.flush_soon()
        return True

    def close(self) -> None:
        """``Wire.close``."""
        self._closed = True
        if not self._frames or self.endpoint not in self._transport.exchange.listeners:
            self._end()

    def flush_soon(self) -> None:
        """Hand over what is queued, in the next iteration of the loop."""
        if not self._flushing:
            self._flushing = True
            self._transport.loop.call_soon(self._flush)

    def lose(self) -> None:
        """The listener was closed."""
        self._frames.clear()
        self._queued_bytes = 0
        if self._closed:
            self._end()
        else:
            self._transport.owner.wire_lost(self, f"{self.endpoint} listens no more")
            self._make_ready()

    def _flush(self) -> None:
        self._flushing = False
        receiver = self._transport.exchange.listeners.get(self.endpoint)
        if receiver is None:
            return
        frames, self._frames, self._queued_bytes = self._frames, deque(), 0
        if self._closed:
            self._end()
        too_large = self._hand_over(frames, receiver)
        if too_large and not self._closed:
            self._transport.owner.wire_lost(self, f"{self.endpoint} takes no frame of {too_large} bytes")
        self._make_ready()

    def _hand_over(self, frames: deque[Sequence[Buffer]], receiver: InProcessTransport) -> int:
        """Deliver the frames.  An exception of the receiver is reported, and the next frame is delivered.

        A frame too large for the receiver breaks the connection, and the rest is lost with it.  Returns the bytes of
        that frame, or 0.
        """
        while frames and not receiver.closed:
            parts = frames.popleft()
            frame_bytes = sum(map(len, parts))
            if frame_bytes > receiver.limits.frame_bytes_max:
                return frame_bytes
            try:
                receiver.owner.frame_received(parts, _SOURCE)
            except Exception as error:  # noqa: BLE001  the owner's fault: reported, and the next frame is delivered
                self._transport.loop.call_exception_handler(
                    {"message": f"receiving a frame at {self.endpoint} failed", "exception": error}
                )
        return 0

    def _make_ready(self) -> None:
        if self._was_full and not self._closed:
            self._was_full = False
            self._transport.owner.wire_ready(self)

    def _end(self) -> None:
        self._frames.clear()
        self._transport.forget(self)
