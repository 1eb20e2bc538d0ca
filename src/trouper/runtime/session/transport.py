"""The ``Transport`` port: what moves frames between nodes, and knows nothing about actors.

A node *listens* on one or more endpoints (``inprocess://a``, ``ipc:///run/a``, ``tcp://10.0.0.5:7400``, ``sim://a``)
and *connects* a wire to each peer's endpoint.  A wire is one way: two nodes use two wires, one each way, so no frame is
ever sent back on the connection that another one came over.  Acknowledgement, resending after a break and keeping
alive are the work of the layer above, ``session``; a transport does no more than keep the laws below.

A frame is a sequence of 1 or more buffers.  Their boundaries are kept: n buffers sent are n buffers received.

Laws of this file, for every transport:
1. **Whole frames.**  A frame arrives with every byte and every boundary, or not at all.
2. **Order.**  While a connection lasts, the frames of one wire arrive in the order in which they were taken, each of
   them once.  When a connection breaks, any run of frames may be lost at the break, and the owner of the wire is told
   by ``wire_lost``.  Only a frame that is sent as not reliable may be lost, repeated or overtaken at any time.
3. **Backpressure.**  A wire whose queue is full takes no frame and drops none: ``send_nowait`` returns False, and
   ``wire_ready`` is called once the wire takes frames again.
4. **A wire reconnects.**  It connects in the background, whether or not a node listens there yet, and connects again
   after a break, with backoff, until it is closed.
5. **No callback from inside a call.**  No method of a transport or a wire calls its owner before it has returned: every
   callback comes from the loop, in the loop's thread, and none comes after ``close`` of what it is about.
6. **Buffers are handed over.**  The sender of a buffer does not change it afterwards; the receiver may keep it and may
   not write to it.  A memoryview among them is contiguous and of single bytes (format ``B``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from ..kernel.errors import ActorError, CallerError, InvalidOption

if TYPE_CHECKING:
    from .identity import Identities

Buffer: TypeAlias = bytes | bytearray | memoryview


class EndpointInvalid(CallerError, ValueError):
    """An endpoint that this transport cannot use: another scheme, no host, no port, a path that is too long."""


class EndpointTaken(CallerError):
    """Another listener has this endpoint."""


class TransportClosed(CallerError):
    """The transport, or the wire, was closed."""


class FrameTooLarge(CallerError):
    """A frame above ``TransportLimits.frame_bytes_max`` was to be sent; the peer would refuse it."""


class TransportFailed(ActorError):
    """The operating system or the messaging library refused; its error is the ``__cause__``."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a frame came from.

    address: of the host of a sender that is not authenticated; empty for one that is, or when it is not known.
    identity: as which the transport has authenticated the sender: its public key in text, ``identity.SAME_PROCESS`` or
        ``identity.SAME_USER``; None when it has not authenticated the sender.
    """

    address: str = ""
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """What a transport holds at most; each transport takes one at its construction.

    frame_bytes_max: bytes of one frame, all its buffers together.  ``send_nowait`` raises ``FrameTooLarge`` above it; a
        larger frame that comes in is dropped where the transport learns of its size, and its connection broken.
    queue_frames_max: frames that one wire holds before ``send_nowait`` returns False.
    queue_bytes_max: bytes that one wire holds before it does so.  A frame is taken while the queue is below the limit,
        so that a queue may exceed it by one frame.
    linger_s: how long a closed wire goes on sending what it has taken.
    """

    frame_bytes_max: int = 1_050_000
    queue_frames_max: int = 1_000
    queue_bytes_max: int = 16_777_216
    linger_s: float = 1.0

    def __post_init__(self) -> None:
        if min(self.frame_bytes_max, self.queue_frames_max, self.queue_bytes_max) < 1 or self.linger_s < 0:
            raise InvalidOption(f"{self}: every limit must be 1 or more, and linger_s 0 or more")


class Wire(Protocol):
    """Sends frames to one endpoint; ``Transport.connect`` makes it."""

    @property
    def endpoint(self) -> str:
        """The endpoint as it was given to ``connect``."""
        ...

    def send_nowait(self, parts: Sequence[Buffer], *, reliable: bool = True) -> bool:
        """Take a frame of 1 or more buffers, and send it soon.

        reliable: False allows the transport to lose this frame, to repeat it, and to let it overtake others.
        Returns True when the frame was taken, which promises order and nothing about arrival.  Returns False when the
        wire is full: the frame was not taken, and ``wire_ready`` will be called once for all False since the last call,
        when the wire takes frames again.  A wire without a connection takes frames until its queue is full.
        Raises ``FrameTooLarge``, and ``TransportClosed`` after ``close``.
        """
        ...

    def close(self) -> None:
        """Take no more frames; closing twice is fine.

        Those taken before are still sent, if that is possible within ``TransportLimits.linger_s``; where there is no
        connection this time counts from the end of the last one.
        """
        ...


class TransportOwner(Protocol):
    """The callbacks of the node that uses a transport.  All of them come from the loop, one at a time (law 5).

    An exception raised in a callback goes to the loop's exception handler, and the transport goes on with the next
    frame.
    """

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """A frame of 1 or more buffers came in on an endpoint of ``listen``.  It may hold any bytes."""

    def wire_ready(self, wire: Wire) -> None:
        """The wire, which has returned False, takes frames again."""

    def wire_lost(self, wire: Wire, reason: str) -> None:
        """The wire's connection broke, so that frames may have been lost, or it could not be made.

        reason: for people, such as "connection reset by peer"; a transport that knows why no connection is made says so
            once for each reason.
        The call makes recovery faster; a transport whose network hides a break from it does not call this, and the
        session finds the break by the numbers of its frames or by its own keepalive.
        """


@runtime_checkable
class AuthenticatingTransport(Protocol):
    """A transport that asks peers for keys."""

    @property
    def identities(self) -> Identities | None:
        """What an operator has said about the keys; None where there are none."""
        ...


@runtime_checkable
class ResolvingTransport(Protocol):
    """A transport whose endpoints may have host names."""

    async def resolve(self, endpoint: str) -> str:
        """Return the endpoint with an address in place of its host name.

        Raises ``EndpointInvalid``, and ``TransportFailed`` for a name without an address.
        """
        ...


class Transport(Protocol):
    """Moves frames.

    A transport is made in a running loop, with its owner and ``TransportLimits``, as in
    ``InProcessTransport(owner, limits)``; it imports its library then and not before.
    """

    @property
    def schemes(self) -> frozenset[str]:
        """The schemes of its endpoints, such as ``{"ipc", "tcp"}``."""
        ...

    async def listen(self, endpoint: str) -> str:
        """Receive frames at an endpoint, until ``close``.

        Returns the endpoint by which peers reach it: ``tcp://127.0.0.1:0`` becomes the port that was found.
        Raises ``EndpointInvalid``, ``EndpointTaken``, ``TransportFailed``, ``TransportClosed``.
        """
        ...

    def connect(self, endpoint: str) -> Wire:
        """Make a wire to an endpoint; returns at once, connected or not (law 4).  Each call makes a new wire.

        Raises ``EndpointInvalid``, ``TransportFailed`` (no more sockets), ``TransportClosed``.
        """
        ...

    async def close(self) -> None:
        """Close every wire and every endpoint; closing twice is fine.

        Returns when nothing is left of them, not even lingering frames: no socket, no file, no later callback.
        """
        ...
