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
from .connection_watch import ConnectionWatch
from .endpoints import Endpoint, check_folder, free_path, reachable, read_endpoint
from .rejection_log import RejectionLog
from .resolver import Resolver
from .sockets import Sockets
from .wire import Listener, ZeroMQWire

LISTENERS_MAX: Final = 256


class ZeroMQTransport:
    """Frames between processes and machines over ZeroMQ; make it in a running loop.

    owner: the node that it calls back.  limits: None is ``TransportLimits()``.
    keys: of this node, and of the peers that may connect on ``tcp://``; None refuses to listen or connect there.
    insecure: allows ``tcp://`` without keys: every host that reaches the port can send to this node, and every host on
        the path can read and change what is sent.  Each endpoint used so is warned of.
    rejections: connections and frames that were refused, counted by kind.
    Raises ``InvalidOption`` for keys together with ``insecure``.
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
        self._resolver = Resolver()
        self._authenticator = Authenticator(self._sockets, keys, self.rejections)
        self._listeners: list[Listener] = []
        self._wires: set[ZeroMQWire] = set()
        self._closing: asyncio.Task[None] | None = None

    @property
    def identities(self) -> KeyRing | None:
        """``AuthenticatingTransport.identities``."""
        return self._keys

    async def listen(self, endpoint: str) -> str:
        """``Transport.listen``; raises ``KeysMissing`` too."""
        place = read_endpoint(endpoint, to_listen=True)
        self._check(endpoint, place)
        if place.has_name:
            place = place.at((await self._resolver.resolve(place.host))[0])
            self._check(endpoint, place)
        if place.path is None:
            return self._bind(endpoint, place)
        check_folder(place.path.parent, make=True)
        async with free_path(place.path, endpoint):
            self._check(endpoint, place)
            return self._bind(endpoint, place)

    async def resolve(self, endpoint: str) -> str:
        """``ResolvingTransport.resolve``."""
        place = read_endpoint(endpoint, to_listen=False)
        return place.at((await self._resolver.resolve(place.host))[0]).address if place.has_name else endpoint

    def connect(self, endpoint: str) -> ZeroMQWire:
        """``Transport.connect``; raises ``KeysMissing`` too."""
        target = read_endpoint(endpoint, to_listen=False)
        self._check(endpoint, target)
        wire = ZeroMQWire(self._owner, self._limits, endpoint, target, self._sockets, self.rejections, self._resolver)
        self._wires.add(wire)
        wire.ended.add_done_callback(lambda _: self._wires.discard(wire))
        return wire

    async def close(self) -> None:
        """``Transport.close``."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)  # a caller that is cancelled does not stop the closing

    async def _close(self) -> None:
        for listener in self._listeners:
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
        pull = self._sockets.pull(place)
        is_local = place.path is not None
        watch = ConnectionWatch(self._sockets, pull, endpoint, self.rejections, is_local=is_local)
        try:
            pull.bind(place.address)
        except zmq.ZMQError as error:
            watch.close()
            pull.close()
            if error.errno == zmq.EADDRINUSE:
                raise EndpointTaken(f"{endpoint} is taken by another listener") from error
            raise TransportFailed(f"cannot listen on {endpoint}: {error}") from error
        bound = reachable(cast("bytes", pull.get(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode(), place.host)
        watch.endpoint = bound
        has_keys = not is_local and self._keys is not None
        self._listeners.append(Listener(self._owner, self._limits, bound, place.path, pull, watch, has_keys=has_keys))
        return bound
