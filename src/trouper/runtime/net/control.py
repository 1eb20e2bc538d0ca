"""Control messages: what two nodes tell each other about actors, in the same frames as the actors' own messages.

They are addressed to the node itself (``to`` is 0).  A request is an ask: its reply, or its error, comes back by its
correlation.  Their numbers on the wire are fixed, so they need no definition: ``CONTROLS`` in order, from
``codec.TAGS_FROM`` on.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ..kernel.message import Message
from ..kernel.ref import ActorRef

Ending = Literal["stop", "drain", "kill"]


class SpawnActor(Message[ActorRef], tag="trouper.SpawnActor"):
    """Start an actor there, under its ``/user``.

    It is temporary there: who asked decides what becomes of it.

    actor: ``module:qualified.name`` of an actor class or a function.  args, keywords: in msgpack, one array and one
    map, checked against the annotations of ``__init__`` by the node that starts it.  owner: it is stopped when that
    actor ends; None for nobody.  shipped: the actor by value, see ``shipping.py``; None goes by its name.
    """

    actor: str
    args: msgspec.Raw
    keywords: msgspec.Raw
    name: str | None = None
    shutdown_s: float | None = 5.0
    owner: ActorRef | None = None
    shipped: bytes | None = None


class FindActor(Message[ActorRef | None], tag="trouper.FindActor"):
    """Say who has this name in the registry, or this path; None when nobody has."""

    name: str


class WatchActor(Message[None], tag="trouper.WatchActor"):
    """Tell this node once, by ``ActorEnded``, when that actor ends."""

    uid: int


class ActorEnded(Message[None], tag="trouper.ActorEnded"):
    """An actor that was watched has ended."""

    uid: int
    reason: str
    error: str | None = None


class EndActor(Message[None], tag="trouper.EndActor"):
    """End that actor."""

    uid: int
    how: Ending


class CancelAsk(Message[None], tag="trouper.CancelAsk"):
    """The asker of this correlation has given up."""

    correlation: int


class SetBackpressure(Message[None], tag="trouper.SetBackpressure"):
    """The mailbox of that actor is above its high-water mark, or below it again: hold whoever awaits ``tell``."""

    uid: int
    high: bool


class LinkedActorEnded(Message[None], tag="trouper.LinkedActorEnded"):
    """An actor that is linked to that one has ended abnormally."""

    uid: int
    ref: ActorRef
    reason: str
    error: str | None = None


class SegmentInfo(msgspec.Struct, frozen=True):
    """Shared memory of the process that says so.

    token: random, part of the segment's name.  descriptor: its number in that process.  size_bytes: of all of it.
    """

    token: Annotated[int, msgspec.Meta(ge=0)]
    descriptor: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    size_bytes: Annotated[int, msgspec.Meta(ge=1, lt=2**62)]


class OfferSharedMemory(Message[None], tag="trouper.OfferSharedMemory"):
    """This node would lend shared memory to that one, if it runs on the same host, for the same user.

    host: told apart from others by it.  process: the number of this process there.  probe: a segment to try it with.
    """

    host: str
    process: int
    probe: SegmentInfo


class AcceptSharedMemory(Message[None], tag="trouper.AcceptSharedMemory"):
    """The probe could be read: lend."""


class LendSegment(Message[None], tag="trouper.LendSegment"):
    """The buffer of this number is the first so many bytes of that segment, which is lent until ``ReturnSegments``."""

    number: int
    segment: SegmentInfo
    buffer_bytes: int


class ReturnSegments(Message[None], tag="trouper.ReturnSegments"):
    """Nobody here looks at these segments any more."""

    tokens: list[int]


class RetireSegments(Message[None], tag="trouper.RetireSegments"):
    """These segments will not be lent again."""

    tokens: list[int]


class DropBuffers(Message[None], tag="trouper.DropBuffers"):
    """The buffers of these numbers will not be named by any message: their asker has given up."""

    numbers: list[int]


Control = (
    SpawnActor | FindActor | WatchActor | ActorEnded | EndActor | CancelAsk | SetBackpressure | LinkedActorEnded
    | OfferSharedMemory | AcceptSharedMemory | LendSegment | ReturnSegments | RetireSegments | DropBuffers
)  # fmt: skip
CONTROLS: tuple[type[Control], ...] = (
    SpawnActor, FindActor, WatchActor, ActorEnded, EndActor, CancelAsk, SetBackpressure, LinkedActorEnded,
    OfferSharedMemory, AcceptSharedMemory, LendSegment, ReturnSegments, RetireSegments, DropBuffers,
)  # fmt: skip


class RemoteFailure(msgspec.Struct, frozen=True):
    """An error in place of a reply.

    kind: the class, ``module:qualified.name``.  text: what it says.  trace: its traceback, for people, bounded.
    """

    kind: str
    text: str
    trace: str = ""
