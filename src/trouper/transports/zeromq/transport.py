"""``ZeroMQTransport``: a ``Transport`` for ``ipc://`` and ``tcp://``."""

from __future__ import annotations

import asyncio
from typing import cast

import zmq

from ...runtime.wire.transport import EndpointTaken, TransportClosed, TransportFailed, TransportLimits, TransportOwner
from .endpoints import Endpoint, check_folder, free_path, reachable, read_endpoint
from .listener import Listener
from .refusals import Refusals
from .sockets import Sockets
from .wire import ZeroMQWire

LISTENERS_MAX = 256


class ZeroMQTransport:
    """See the package's docstring; make it in a running loop.  limits: None is ``TransportLimits()``.

    refusals: what was turned away, counted.
    """

    schemes = frozenset({"ipc", "tcp"})

    def __init__(self, owner: TransportOwner, limits: TransportLimits | None = None) -> None:
        self._owner, self._limits = owner, limits or TransportLimits()
        self._loop = asyncio.get_running_loop()
        self._sockets = Sockets(self._limits)
        self._listeners: list[Listener] = []
        self._wires: set[ZeroMQWire] = set()
        self._closing: asyncio.Future[None] | None = None
        self.refusals = Refusals()

    async def listen(self, endpoint: str) -> str:
        """See ``Transport.listen``."""
        place = read_endpoint(endpoint, to_listen=True)
        self._check_open(endpoint)
        if place.path is None:
            return self._bind(endpoint, place)
        check_folder(place.path.parent, make=True)
        async with free_path(place.path, endpoint):
            self._check_open(endpoint)
            return self._bind(endpoint, place)

    def connect(self, endpoint: str) -> ZeroMQWire:
        """See ``Transport.connect``."""
        target = read_endpoint(endpoint, to_listen=False)
        self._check_open(endpoint)
        if target.path is not None:
            check_folder(target.path.parent, make=False)
        wire = ZeroMQWire(self._owner, self._limits, endpoint, target, self._sockets, self.refusals)
        self._wires.add(wire)
        wire.ended.add_done_callback(lambda _: self._wires.discard(wire))
        return wire

    async def close(self) -> None:
        """See ``Transport.close``."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        for listener in self._listeners:
            listener.close()
        wires = list(self._wires)
        for wire in wires:
            wire.close()
        if wires:
            await asyncio.wait([wire.ended for wire in wires])
        await self._sockets.close()

    def _check_open(self, endpoint: str) -> None:
        if self._closing is not None:
            raise TransportClosed(f"{endpoint}: this transport is closed")

    def _bind(self, endpoint: str, place: Endpoint) -> str:
        if len(self._listeners) >= LISTENERS_MAX:
            raise TransportFailed(f"cannot listen on {endpoint}: this transport listens on {LISTENERS_MAX} endpoints")
        router = self._sockets.router(place)
        try:
            router.bind(place.address)
        except zmq.ZMQError as error:
            router.close()
            if error.errno == zmq.EADDRINUSE:
                raise EndpointTaken(f"somebody listens on {endpoint} already") from error
            raise TransportFailed(f"cannot listen on {endpoint}: {error}") from error
        bound = reachable(cast("bytes", router.get(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode(), place.host)
        prefix = len(self._listeners).to_bytes()
        self._listeners.append(Listener(self._owner, self._limits, bound, place.path, router, prefix, self.refusals))
        return bound
