"""What the links of a node want done (PURE).

``SessionManager`` returns these in order, and whoever carries them out does so in order.  Wires are named by their
endpoint.  A ``Transmit`` with a sequence that its wire does not take is reported by ``SessionManager.not_taken``, and the
other ``Transmit`` with a sequence for this wire, in the same list, are left out; all other effects are carried out.
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
    """Close the wire to this endpoint; what it has taken may still be sent."""

    endpoint: str


class Transmit(msgspec.Struct, frozen=True, gc=False):
    """Give a frame to a wire.

    sequence: of a DATA frame; 0 for the other kinds, which are simply lost when the wire is full.
    """

    endpoint: str
    parts: tuple[Buffer, ...]
    sequence: int = 0


class Refuse(msgspec.Struct, frozen=True):
    """Connect to this endpoint for this one frame and close again: somebody there is told that it is refused."""

    endpoint: str
    parts: tuple[Buffer, ...]


class Deliver(msgspec.Struct, frozen=True, gc=False):
    """The next body from this peer, in order.  Its bytes may be held back from the peer's credit by ``retain``."""

    session: Session
    lane: int
    parts: tuple[Buffer, ...]


class PeerUp(msgspec.Struct, frozen=True):
    """A session with this incarnation of a node has begun; ``session`` is how to send to it, until its ``PeerDown``."""

    session: Session
    greeting: Greeting


class PeerDown(msgspec.Struct, frozen=True):
    """The session is over: once for each ``PeerUp``.

    reason: ``node_lost`` (it stayed away, or came back without knowing the session), ``goodbye`` (it took its leave),
        ``closed`` (this node took its leave), ``refused`` (it does not want to go on), ``idle`` (both had nothing to
        say: nothing is lost, and what there is to say later begins a new session).  detail: for people.
    unacknowledged: the bodies that it has not acknowledged, oldest first; it may have received some of them.
    """

    session: Session
    reason: DownReason
    detail: str
    unacknowledged: tuple[tuple[Buffer, ...], ...]


class PeerUnreachable(msgspec.Struct, frozen=True):
    """The peer is out of reach for now; nothing is lost yet."""

    session: Session
    detail: str


class PeerReachable(msgspec.Struct, frozen=True):
    """The peer is in reach again, and the session goes on."""

    session: Session


class CapacityAvailable(msgspec.Struct, frozen=True, gc=False):
    """A link that had no room for a body has room for it now.

    It is said too of a link that took nothing while the peer was asked whether the session may end, when it goes on.
    """

    session: Session


class DialRefused(msgspec.Struct, frozen=True):
    """A dial came to nothing, for a reason that people should hear of.

    code: as in ``framing.Refusal``; after ``itself`` the endpoint is dialled no more, after the others again and again
        with the longest pause between, until ``SessionManager.disconnect``.  text: one sentence for people.
    """

    endpoint: str
    code: str
    text: str


class FrameRejected(msgspec.Struct, frozen=True):
    """A frame was dropped because something is wrong with it or with who sent it; link, node and others go on."""

    source: Source
    problem: str


SessionEvent: TypeAlias = (
    PeerUp | PeerDown | PeerUnreachable | PeerReachable | CapacityAvailable | DialRefused | FrameRejected
)
Effect: TypeAlias = OpenWire | CloseWire | Transmit | Refuse | Deliver | SessionEvent
