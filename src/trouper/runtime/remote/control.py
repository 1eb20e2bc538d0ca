"""Control messages: what two nodes tell each other about actors, in the same frames as the actors' own messages.

They are addressed to the node itself (``to`` is 0).  A request is an ask: its reply, or its error, comes back by its
correlation.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ..kernel.messages import Message
from ..kernel.ref import ActorRef
from ..kernel.supervision import Restart

Ending = Literal["stop", "drain", "kill"]


class Spawn(Message[ActorRef], tag="trouper.Spawn"):
    """Start an actor there, under its ``/user``.

    actor: ``module:qualified.name`` of an actor class or a function.  args, keywords: in msgpack, one array and one
    map, checked against the annotations of ``__init__`` by both sides.
    """

    actor: str
    args: msgspec.Raw
    keywords: msgspec.Raw
    name: str | None = None
    restart: Restart = "transient"
    shutdown_s: float | None = 5.0


class Find(Message[ActorRef | None], tag="trouper.Find"):
    """Say who has this name in the registry, or this path; None when nobody has."""

    name: str


class Watch(Message[None], tag="trouper.Watch"):
    """Tell this node once, by ``Ended``, when that actor ends; ``wanted`` False takes it back."""

    uid: int
    wanted: bool = True


class Ended(Message[None], tag="trouper.Ended"):
    """An actor that was watched has ended."""

    uid: int
    reason: str
    error: str | None = None


class End(Message[None], tag="trouper.End"):
    """End that actor."""

    uid: int
    how: Ending


class Cancel(Message[None], tag="trouper.Cancel"):
    """The asker of this correlation has given up."""

    correlation: int


class Pressure(Message[None], tag="trouper.Pressure"):
    """The mailbox of that actor is above its high-water mark, or below it again: hold whoever awaits ``tell``."""

    uid: int
    high: bool


Control = Spawn | Find | Watch | Ended | End | Cancel | Pressure


class Failure(msgspec.Struct, frozen=True):
    """An error in place of a reply.

    kind: the class, ``module:qualified.name``.  text: what it says.  trace: its traceback, for people, bounded.
    """

    kind: str
    text: str
    trace: str = ""
