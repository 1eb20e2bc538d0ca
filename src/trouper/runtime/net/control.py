"""Control messages: what two nodes tell each other about actors, in the same frames as the actors' own messages.

They are addressed to the node itself (``to`` is 0).  A request is an ask: its reply, or its error, comes back by its
correlation.  ``CONTROLS`` lists all of them once: with the roles that may send each, and in the order of their numbers
on the wire, which are fixed, so that they need no definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from ..kernel.message import Message
from ..kernel.ref import ActorRef
from ..session.identity import Allow

Ending = Literal["stop", "drain", "kill"]
SHUTDOWN_S_MAX: Final = 31_536_000.0
"""Seconds; a timer of a time that is no number would keep all timers of the loop from their order."""


class SpawnActor(Message[ActorRef], tag="trouper.SpawnActor"):
    """Start an actor under ``/user`` of the receiving node; the reply is its ref.

    The actor is temporary there: the requesting node decides about restarts.

    actor: ``module:qualified.name`` of an actor class or a function.  args, keywords: in msgpack, one array and one
    map, checked against the annotations of ``__init__`` by the node that starts it.  name: None makes one up.
    shutdown_s: seconds that it may take to stop before it is killed; None waits without end.
    owner: the actor is stopped when that actor ends; None ties it to none.
    shipped: the class or function by value, as ``code_shipping`` packs it; None finds it by its name.
    mailbox: ``(high_water, limit, when_full, rate_per_s)``; resume: ``module:qualified.name`` of classes of exceptions;
    executor: a name on the receiving node.  Each is in place of what the actor's class says, and None for that.
    """

    actor: str
    args: msgspec.Raw
    keywords: msgspec.Raw
    name: str | None = None
    shutdown_s: Annotated[float, msgspec.Meta(ge=0, le=SHUTDOWN_S_MAX)] | None = 5.0
    owner: ActorRef | None = None
    shipped: bytes | None = None
    mailbox: tuple[int, int, str, Annotated[float, msgspec.Meta(gt=0)] | None] | None = None
    resume: tuple[str, ...] | None = None
    executor: str | None = None


class FindActor(Message[ActorRef | None], tag="trouper.FindActor"):
    """Return the actor that has this name in the registry, or is at this path; the reply is None for none."""

    name: str


class WatchActor(Message[None], tag="trouper.WatchActor"):
    """Send one ``WatchedActorEnded`` when the actor ends."""

    uid: int


class WatchedActorEnded(Message[None], tag="trouper.WatchedActorEnded"):
    """An actor that was watched has ended."""

    uid: int
    reason: str
    error: str | None = None


class EndActor(Message[None], tag="trouper.EndActor"):
    """Stop, drain or kill an actor."""

    uid: int
    how: Ending


class CancelAsk(Message[None], tag="trouper.CancelAsk"):
    """The asker of this correlation has given up."""

    correlation: int


class SetBackpressure(Message[None], tag="trouper.SetBackpressure"):
    """The mailbox of an actor is above its high-water mark, or below it again: its senders are to wait, or not."""

    uid: int
    high: bool


class LinkedActorEnded(Message[None], tag="trouper.LinkedActorEnded"):
    """An actor that is linked to the actor ``uid`` has ended abnormally."""

    uid: int
    ref: ActorRef
    reason: str
    error: str | None = None


class SegmentInfo(msgspec.Struct, frozen=True):
    """Where a shared-memory segment of the sending process is.

    token: random, part of the segment's name.  descriptor: its number in that process.  size_bytes: of the whole
    segment.
    """

    token: Annotated[int, msgspec.Meta(ge=0)]
    descriptor: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    size_bytes: Annotated[int, msgspec.Meta(ge=1, lt=2**62)]


class OfferSharedMemory(Message[None], tag="trouper.OfferSharedMemory"):
    """Offer shared memory to the other node, which can accept it if it runs on the same host for the same user.

    host: equal for processes that can share memory.  process: the id of the sending process.  probe: a segment to test
    it with.
    """

    host: str
    process: int
    probe: SegmentInfo


class AcceptSharedMemory(Message[None], tag="trouper.AcceptSharedMemory"):
    """The probe could be read: large buffers may come by shared memory."""


class LendSegment(Message[None], tag="trouper.LendSegment"):
    """The buffer of this number is the first ``buffer_bytes`` of a segment, in use until ``ReturnSegments``."""

    number: int
    segment: SegmentInfo
    buffer_bytes: int


class ReturnSegments(Message[None], tag="trouper.ReturnSegments"):
    """No view of these segments is left in the sending process."""

    tokens: list[int]


class RetireSegments(Message[None], tag="trouper.RetireSegments"):
    """These segments will not be used again: unmap them."""

    tokens: list[int]


class DropBuffers(Message[None], tag="trouper.DropBuffers"):
    """The buffers of these numbers belong to no message: the asker has given up, or the message could not be sent."""

    numbers: list[int]


class MessageNotRead(Message[None], tag="trouper.MessageNotRead"):
    """A message that was told to an actor could not be decoded; sent a limited number of times a minute.

    uid: of the actor.  problem: what is wrong with the message, with its type.
    """

    uid: int
    problem: str


class MessagesSettled(Message[None], tag="trouper.MessagesSettled"):
    """So many of the messages that were told to actors in this session are handled or dead letters."""

    count: Annotated[int, msgspec.Meta(ge=0)]


CONTROLS: Final[Mapping[type[Message[object]], tuple[Allow, ...]]] = {
    SpawnActor: ("member",),
    FindActor: ("anyone",),
    WatchActor: ("anyone",),
    WatchedActorEnded: ("anyone",),
    EndActor: ("member", "operator"),
    CancelAsk: ("anyone",),
    SetBackpressure: ("anyone",),
    LinkedActorEnded: ("member",),
    OfferSharedMemory: ("anyone",),
    AcceptSharedMemory: ("anyone",),
    LendSegment: ("anyone",),
    ReturnSegments: ("anyone",),
    RetireSegments: ("anyone",),
    DropBuffers: ("anyone",),
    MessageNotRead: ("anyone",),
    MessagesSettled: ("anyone",),
}
"""The roles that may send each control message, and with them all roles that include these.

The first message has the number ``codec.TAGS_FROM`` on the wire, each other one the next number.
"""


class RemoteFailure(msgspec.Struct, frozen=True):
    """An error in place of a reply.

    kind: the class, ``module:qualified.name``.  text: the text of the error.  trace: its traceback, for people,
    bounded.  fields: its arguments and attributes in msgpack, ``[args, attributes]``; empty where they cannot travel.
    """

    kind: str
    text: str
    trace: str = ""
    fields: Annotated[bytes, msgspec.Meta(max_length=65_536)] = b""
