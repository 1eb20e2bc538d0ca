"""The events of the cluster, for ``node.events`` and ``node.cluster.watch()``.

Subscribe to ``MemberEvent`` for the events about members, to ``ClusterEvent`` for all.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ... import ActorRef, Message
from .detectors.failures import Failure
from .metadata import Metadata

MemberStatus = Literal["alive", "suspect", "unreachable", "left", "down"]


class MemberInfo(msgspec.Struct, frozen=True):
    """A member as this node knows it.

    name: of the node.  endpoint: where it listens.
    generation: a number of the node's process, by which refs of its actors are addressed; 0 where it cannot be read.
    status: ``suspect`` may still refute, ``unreachable`` has not; ``left`` and ``down`` are over.
    metadata: what the node publishes about itself.
    membership_id: a random number, another one each time the node joins.
    reason: why the member is down, one sentence; empty for every other status.
    """

    name: str
    endpoint: str
    generation: int
    membership_id: int
    status: MemberStatus
    metadata: Metadata
    reason: str = ""


class ClusterEvent(Message[None]):
    """The base of all events of the cluster."""


class MemberEvent(ClusterEvent):
    """The base of events about a member."""

    member: MemberInfo


class MemberJoined(MemberEvent):
    """A node has become a member; this one too, when it was admitted."""


class MemberUpdated(MemberEvent):
    """A member has other metadata, or listens at another endpoint."""


class MemberSuspected(MemberEvent):
    """A member does not answer, and has time to refute.  by: the name of the accuser."""

    by: str


class MemberUnreachable(MemberEvent):
    """A member did not refute in time.  It may be dead or cut off; the split brain resolver decides what follows."""


class MemberReachable(MemberEvent):
    """A member that was suspected or unreachable has answered."""


class MemberDown(MemberEvent):
    """A member is down: its membership is over, and it did not leave.  reason: one sentence."""

    reason: str


class MemberLeft(MemberEvent):
    """A member has left in order."""


class ClusterNotice(ClusterEvent):
    """A notice for people, about this node or the cluster.

    kind: ``refused``, ``name_conflict``, ``other_cluster``, ``implausible``, ``seeds_silent``, ``clock_jumped``,
        ``health``, ``split_brain``, ``downed``, ``left``.  text: one sentence.
    """

    kind: str
    text: str


class ClusterFailure(ClusterEvent):
    """A member, a session to a node, or a device has failed; ``Cluster.on_failure`` calls handlers for the same."""

    failure: Failure


class ClusterNameLost(ClusterEvent):
    """An actor of this node has lost its name; the actor receives this too if it has a handler for it.

    name: that is lost.  ref: the actor.  winner: the actor that has the name now; None when this node was taken down
    by the cluster, with all its names.
    """

    name: str
    ref: ActorRef
    winner: ActorRef | None


class ClusterServicesChanged(ClusterEvent):
    """The offers of a service have changed.  name: of the service."""

    name: str
