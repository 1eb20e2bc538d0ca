"""``Sockets``: makes ZeroMQ's sockets, set up with the numbers that stand here."""

from __future__ import annotations

import asyncio
from typing import Final

import zmq

from ...runtime.session.transport import TransportLimits
from ..keys import KeyRing
from .endpoints import Endpoint

DOMAIN_OPEN: Final = b"open"
DOMAIN_LOCKED: Final = b"locked"
"""What a listener tells the gatekeeper about itself: whether its peers need a key."""
PIPE_FRAMES_MAX: Final = 256
"""Frames that ZeroMQ holds at most for each connection, and at each end, beside what the transport itself holds.  More
make a stream of small frames no faster; less do make it slower, since two threads then wait for each other more often.
"""
ZERO_COPY_BYTES: Final = 65_536
"""A buffer from this size on is sent and received without a copy.  Below, a copy is quicker than to tell Python's
collector, by way of a thread, that ZeroMQ needs the buffer no more: measured, the two meet at about this size.
"""
HANDSHAKE_S: Final = 10.0
"""A peer that takes longer for its handshake is hung up on."""
RETRY_FIRST_S: Final = 0.05
RETRY_MAX_S: Final = 5.0
"""Pauses between attempts to connect: the first, and the one up to which it is doubled."""
KEEPALIVE_IDLE_S: Final = 30
KEEPALIVE_PAUSE_S: Final = 10
KEEPALIVE_PROBES: Final = 3
"""TCP asks a silent peer after so long, so often, before it gives the connection up."""
BACKLOG: Final = 1_024
"""Connections that the system accepts ahead of us."""
ENCRYPTION_BYTES: Final = 64
"""No less than what encryption adds to a buffer."""
HANDSHAKE_BYTES_MAX: Final = 1_024
"""No less than any command of a handshake, which the limit for buffers applies to as well."""


class Sockets:
    """A ZeroMQ context, and how its sockets are made.  keys: for tcp; None leaves it open.

    Each transport has a context of its own, with its threads: it has an end that can be waited for, and one gatekeeper.
    """

    def __init__(self, limits: TransportLimits, keys: KeyRing | None) -> None:
        self._limits, self._keys = limits, keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, self._context.get(zmq.SOCKET_LIMIT))

    def dealer(self, endpoint: Endpoint) -> zmq.Socket[bytes]:
        """A socket to send with; it is not connected yet."""
        made = self._make(zmq.DEALER, endpoint)
        # A wire is one way: whatever a peer should send back stays where it is, and is next to nothing.
        made.set(zmq.RCVHWM, 1)
        made.set(zmq.MAXMSGSIZE, HANDSHAKE_BYTES_MAX)
        if self._keys is not None and endpoint.scheme == "tcp":
            made.set(zmq.CURVE_SERVERKEY, self._keys.cluster.public.encode())
            made.set(zmq.CURVE_PUBLICKEY, self._keys.client.public.encode())
            made.set(zmq.CURVE_SECRETKEY, self._keys.client.secret.encode())
        return made

    def router(self, endpoint: Endpoint) -> zmq.Socket[bytes]:
        """A socket to receive with; it is not bound yet."""
        made = self._make(zmq.ROUTER, endpoint)
        # The limit is for a buffer as it is on the wire; that of a whole frame is looked at again by the listener.
        made.set(zmq.MAXMSGSIZE, max(self._limits.frame_bytes_max, HANDSHAKE_BYTES_MAX) + ENCRYPTION_BYTES)
        if self._keys is not None and endpoint.scheme == "tcp":
            made.set(zmq.CURVE_SERVER, 1)
            made.set(zmq.CURVE_SECRETKEY, self._keys.cluster.secret.encode())
            made.set(zmq.ZAP_DOMAIN, DOMAIN_LOCKED)
        else:
            made.set(zmq.ZAP_DOMAIN, DOMAIN_OPEN)
        return made

    def inner(self, kind: int) -> zmq.Socket[bytes]:
        """A socket for what is said inside of this context only."""
        made = self._context.socket(kind)
        made.set(zmq.LINGER, 0)
        return made

    async def close(self) -> None:
        """Wait until ZeroMQ has sent what it may still send; all sockets have to be closed before."""
        # It waits by standing still, so it has to do it where it holds up nobody.
        await asyncio.to_thread(self._context.term)

    def _make(self, kind: int, endpoint: Endpoint) -> zmq.Socket[bytes]:
        made = self._context.socket(kind)
        made.copy_threshold = 0  # whoever sends decides
        frames = min(self._limits.queue_frames_max, PIPE_FRAMES_MAX)
        made.set(zmq.SNDHWM, frames)
        made.set(zmq.RCVHWM, frames)
        made.set(zmq.LINGER, 0)
        made.set(zmq.HANDSHAKE_IVL, round(HANDSHAKE_S * 1_000))
        made.set(zmq.RECONNECT_IVL, round(RETRY_FIRST_S * 1_000))
        made.set(zmq.RECONNECT_IVL_MAX, round(RETRY_MAX_S * 1_000))
        made.set(zmq.BACKLOG, BACKLOG)
        if endpoint.scheme == "tcp":
            made.set(zmq.IPV6, int(endpoint.is_ipv6))
            made.set(zmq.TCP_KEEPALIVE, 1)
            made.set(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S)
            made.set(zmq.TCP_KEEPALIVE_INTVL, KEEPALIVE_PAUSE_S)
            made.set(zmq.TCP_KEEPALIVE_CNT, KEEPALIVE_PROBES)
        return made
