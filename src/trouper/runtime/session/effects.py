"""What the sessions of a node want done (PURE).

``SessionManager`` returns effects in order, and the network layer carries them out in that order.  Wires are named by
their endpoint.  When a wire does not take a ``Transmit`` that has a sequence, the network layer calls
``SessionManager.not_taken`` and skips the later ``Transmit`` with a sequence for this wire in the same list; it carries
out all other effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from .frames import Greeting
from .transport import Buffer, Source

if TYPE_CHECKING:
    from .session import Session

DownReason = Literal["node_lost", "goodbye", "closed", "refused", "idle"]


class OpenWire(msgspec.Struct, frozen=True):
    """Connect a wire to this endpoint, and keep it until ``CloseWire``."""

    endpoint: str


class CloseWire(msgspec.Struct, frozen=True):
    """Close the wire to this endpoint; frames that it has taken may still be sent."""

    endpoint: str


class Transmit(msgspec.Struct, frozen=True, gc=False):
    """Give a frame to a wire.

    sequence: of a DATA frame; 0 for the other kinds, which are lost without notice when the wire is full.
    reliable: False for a DATAGRAM, as in ``Wire.send_nowait``.
    """

    endpoint: str
    parts: tuple[Buffer, ...]
    sequence: int = 0
    reliable: bool = True


class Refuse(msgspec.Struct, frozen=True):
    """Connect to this endpoint, send this one frame, and close again: it tells the node there that it is refused."""

    endpoint: str
    parts: tuple[Buffer, ...]


class Deliver(msgspec.Struct, frozen=True, gc=False):
    """Hand over the next body from this peer.

    reliable: False for the body of a DATAGRAM, which may have overtaken others, may come twice, and has no stream.
    """

    session: Session
    stream: int
    parts: tuple[Buffer, ...]
    reliable: bool = True


class SessionUp(msgspec.Struct, frozen=True):
    """A session with this generation of a node has begun; ``session`` takes bodies for it until its ``SessionDown``."""

    session: Session
    greeting: Greeting


class SessionDown(msgspec.Struct, frozen=True):
    """The session is over: once for each ``SessionUp``.

    reason: ``node_lost`` (the peer stayed out of reach, or came back without this session), ``goodbye`` (the peer
        left), ``closed`` (this node left), ``refused`` (the peer refuses to continue), ``idle`` (both sides had nothing
        to send; nothing is lost, and the next message begins a new session).  detail: one sentence for people.
    unacknowledged: the bodies that the peer has not acknowledged, oldest first; it may have received some of them.
    """

    session: Session
    reason: DownReason
    detail: str
    unacknowledged: tuple[tuple[Buffer, ...], ...]


class PeerUnreachable(msgspec.Struct, frozen=True):
    """The peer is out of reach for now, or frames to or from it were lost; no body is lost yet."""

    session: Session
    detail: str


class PeerReachable(msgspec.Struct, frozen=True):
    """The peer is in reach again, and the session goes on."""

    session: Session


class CapacityAvailable(msgspec.Struct, frozen=True, gc=False):
    """A session that did not take a body has capacity for it now.

    Also sent when a session that was about to be closed for being idle goes on.
    """

    session: Session


class DialRefused(msgspec.Struct, frozen=True):
    """The node at a dialled endpoint refuses the session, or one that has greeted refuses the name of this node.

    code: as in ``frames.SessionRefusal``.  After ``itself`` the endpoint is not dialled again; after the others it is
        dialled again and again, with the longest pause between attempts, until ``SessionManager.disconnect``.
    text: one sentence for people.
    """

    endpoint: str
    code: str
    text: str


class FrameRejected(msgspec.Struct, frozen=True):
    """A frame was dropped because it breaks the protocol; the session, the node and its peers go on.

    problem: one sentence for people.
    """

    source: Source
    problem: str


SessionEvent: TypeAlias = (
    SessionUp | SessionDown | PeerUnreachable | PeerReachable | CapacityAvailable | DialRefused | FrameRejected
)
Effect: TypeAlias = OpenWire | CloseWire | Transmit | Refuse | Deliver | SessionEvent
