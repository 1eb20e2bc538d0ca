"""``Sockets``: makes ZeroMQ's sockets, with the options in this file."""

from __future__ import annotations

import asyncio
from typing import Final

import zmq

from ...runtime.session.transport import TransportLimits
from ..keys import KeyRing
from .endpoints import Endpoint

DOMAIN_OPEN: Final = b"open"
DOMAIN_LOCKED: Final = b"locked"
"""ZAP domains, by which a listener tells the authenticator whether its peers need a key."""
PIPE_FRAMES_MAX: Final = 256
"""Frames that ZeroMQ holds at most for each connection, and at each end, beside those that the transport holds.  More
make a stream of small frames no faster; fewer make it slower, since two threads then wait for each other more often.
"""
ZERO_COPY_BYTES: Final = 65_536
"""A buffer from this size on is sent and received without a copy.  Below, a copy is quicker than the notice through a
thread that ZeroMQ has released the buffer: measured, the two cost the same at about this size.
"""
HANDSHAKE_S: Final = 10.0
"""A wire gives up a connection whose handshake takes longer."""
PEER_HANDSHAKE_S: Final = 3.0
"""A peer that takes longer for its handshake is disconnected: it may hold a frame of memory and a descriptor."""
RETRY_FIRST_S: Final = 0.05
RETRY_MAX_S: Final = 5.0
"""Pauses between attempts to connect: the first, and the one up to which it is doubled."""
KEEPALIVE_IDLE_S: Final = 30
KEEPALIVE_PAUSE_S: Final = 10
KEEPALIVE_PROBES: Final = 3
"""TCP keepalive: seconds before the first probe, between probes, and probes before the connection is given up."""
BACKLOG: Final = 1_024
"""Connections that the system accepts before ZeroMQ does."""
ENCRYPTION_BYTES: Final = 64
"""At least as much as encryption adds to a buffer."""
HANDSHAKE_BYTES_MAX: Final = 1_024
"""At least as much as any command of a handshake, to which the limit for buffers applies too."""


class Sockets:
    """A ZeroMQ context, and its sockets.  keys: for tcp; None for no authentication.

    Each transport has a context of its own, with its threads: its end can be awaited, and it has one authenticator.
    """

    def __init__(self, limits: TransportLimits, keys: KeyRing | None) -> None:
        self._limits, self._keys = limits, keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, self._context.get(zmq.SOCKET_LIMIT))

    def push(self, endpoint: Endpoint) -> zmq.Socket[bytes]:
        """Make a socket to send with, not connected yet."""
        made = self._make(zmq.PUSH, endpoint)
        # What a peer sends back against the protocol is not read, and is held to one frame.
        made.set(zmq.RCVHWM, 1)
        made.set(zmq.MAXMSGSIZE, HANDSHAKE_BYTES_MAX)
        if self._keys is not None and endpoint.scheme == "tcp":
            made.set(zmq.CURVE_SERVERKEY, self._keys.cluster.public.encode())
            made.set(zmq.CURVE_PUBLICKEY, self._keys.client.public.encode())
            made.set(zmq.CURVE_SECRETKEY, self._keys.client.secret.encode())
        return made

    def pull(self, endpoint: Endpoint) -> zmq.Socket[bytes]:
        """Make a socket to receive with, not bound yet.

        A PULL knows no names of connections.  A ROUTER lets a peer choose one, also one that it would make itself for
        the next connection, and then ends the process.
        """
        made = self._make(zmq.PULL, endpoint)
        made.set(zmq.HANDSHAKE_IVL, round(PEER_HANDSHAKE_S * 1_000))
        # This limit is for each buffer, encrypted; the listener checks the limit of the whole frame.
        made.set(zmq.MAXMSGSIZE, max(self._limits.frame_bytes_max, HANDSHAKE_BYTES_MAX) + ENCRYPTION_BYTES)
        if self._keys is not None and endpoint.scheme == "tcp":
            made.set(zmq.CURVE_SERVER, 1)
            made.set(zmq.CURVE_SECRETKEY, self._keys.cluster.secret.encode())
            made.set(zmq.ZAP_DOMAIN, DOMAIN_LOCKED)
        else:
            made.set(zmq.ZAP_DOMAIN, DOMAIN_OPEN)
        made.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without the authenticator no peer is admitted
        return made

    def inner(self, kind: int) -> zmq.Socket[bytes]:
        """Make a socket for use inside this context only."""
        made = self._context.socket(kind)
        made.set(zmq.LINGER, 0)
        return made

    async def close(self) -> None:
        """Wait until ZeroMQ has sent what it may still send; all sockets have to be closed first."""
        # The call blocks its thread.
        await asyncio.to_thread(self._context.term)

    def _make(self, kind: int, endpoint: Endpoint) -> zmq.Socket[bytes]:
        made = self._context.socket(kind)
        made.copy_threshold = 0  # the sender decides
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
