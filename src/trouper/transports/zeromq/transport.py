"""``ZeroMQTransport``: a ``Transport`` for ``ipc://`` and ``tcp://``."""

from __future__ import annotations

import asyncio
from typing import Final, cast

import zmq

from ...runtime.kernel.errors import InvalidOption
from ...runtime.session.transport import (
    EndpointTaken,
    TransportClosed,
    TransportFailed,
    TransportLimits,
    TransportOwner,
)
from ..keys import KeyRing, KeysMissing
from .authenticator import Authenticator
from .doorbell import HandshakeMonitor
from .endpoints import Endpoint, check_folder, free_path, reachable, read_endpoint
from .listener import Listener
from .rejection_log import RejectionLog
from .sockets import Sockets
from .wire import ZeroMQWire

LISTENERS_MAX: Final = 256


class ZeroMQTransport:
    """See the package's docstring; make it in a running loop.

    limits: None is ``TransportLimits()``.
    keys: who this node is, and whom it lets in, on ``tcp://``; None refuses to listen or connect there.
    insecure: allows ``tcp://`` without keys: anybody who reaches the port can send to this node, and anybody on the way
        can read and change what is sent.  Each endpoint used so is warned of.
    refusals: what was turned away, counted by kind.
    """

    schemes = frozenset({"ipc", "tcp"})

    def __init__(
        self,
        owner: TransportOwner,
        limits: TransportLimits | None = None,
        keys: KeyRing | None = None,
        *,
        insecure: bool = False,
    ) -> None:
        if insecure and keys is not None:
            raise InvalidOption("insecure=True is for a node without keys; this one has some: leave one of the two out")
        self._owner, self._limits = owner, limits or TransportLimits()
        self._keys, self._insecure = keys, insecure
        self.rejections = RejectionLog()
        self._sockets = Sockets(self._limits, keys)
        self._authenticator = Authenticator(self._sockets, keys, self.rejections)
        self._listeners: list[tuple[Listener, HandshakeMonitor]] = []
        self._wires: set[ZeroMQWire] = set()
        self._closing: asyncio.Task[None] | None = None

    async def listen(self, endpoint: str) -> str:
        """See ``Transport.listen``.  Raises ``KeysMissing`` too."""
        place = read_endpoint(endpoint, to_listen=True)
        self._check(endpoint, place)
        if place.path is None:
            return self._bind(endpoint, place)
        check_folder(place.path.parent, make=True)
        async with free_path(place.path, endpoint):
            self._check(endpoint, place)
            return self._bind(endpoint, place)

    def connect(self, endpoint: str) -> ZeroMQWire:
        """See ``Transport.connect``.  Raises ``KeysMissing`` too."""
        target = read_endpoint(endpoint, to_listen=False)
        self._check(endpoint, target)
        if target.path is not None:
            check_folder(target.path.parent, make=False)
        wire = ZeroMQWire(self._owner, self._limits, endpoint, target, self._sockets, self.rejections)
        self._wires.add(wire)
        wire.ended.add_done_callback(lambda _: self._wires.discard(wire))
        return wire

    async def close(self) -> None:
        """See ``Transport.close``."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)  # who is cancelled while it waits does not stop what it waits for

    async def _close(self) -> None:
        for listener, doorbell in self._listeners:
            doorbell.close()
            listener.close()
        wires = list(self._wires)
        for wire in wires:
            wire.close()
        if wires:
            await asyncio.wait([wire.ended for wire in wires])
        self._authenticator.close()
        await self._sockets.close()

    def _check(self, endpoint: str, place: Endpoint) -> None:
        if self._closing is not None:
            raise TransportClosed(f"{endpoint}: this transport is closed")
        if place.scheme != "tcp" or self._keys is not None:
            return
        if not self._insecure:
            raise KeysMissing(
                f"{endpoint}: tcp wants keys; make them by `trouper keygen`, copy them to every host of the cluster, "
                "and give them to each node, or ask for insecure=True where nobody else can reach the port"
            )
        self.rejections.note(
            "insecure", endpoint, f"{endpoint} is insecure: no key is asked for, and nothing is encrypted"
        )

    def _bind(self, endpoint: str, place: Endpoint) -> str:
        if len(self._listeners) >= LISTENERS_MAX:
            raise TransportFailed(f"cannot listen on {endpoint}: this transport listens on {LISTENERS_MAX} endpoints")
        router = self._sockets.router(place)
        try:
            router.bind(place.address)
        except zmq.ZMQError as error:
            router.close()
            if error.errno == zmq.EADDRINUSE:
                raise EndpointTaken(f"{endpoint} is taken by another listener") from error
            raise TransportFailed(f"cannot listen on {endpoint}: {error}") from error
        bound = reachable(cast("bytes", router.get(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode(), place.host)
        has_keys = place.scheme == "tcp" and self._keys is not None
        prefix = len(self._listeners).to_bytes()
        listener = Listener(self._owner, self._limits, bound, place.path, router, prefix, has_keys, self.rejections)
        self._listeners.append((listener, HandshakeMonitor(self._sockets, router, bound, self.rejections)))
        return bound
