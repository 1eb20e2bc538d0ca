"""What happens in the cluster, as events of ``node.events`` and ``node.cluster.watch()``.

Subscribe to ``MemberEvent`` for all that befalls members, to ``ClusterEvent`` for everything.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ...runtime.kernel.message import Message
from ...runtime.kernel.ref import ActorRef
from .detectors.failures import Failure
from .metadata import Metadata

MemberStatus = Literal["alive", "suspect", "unreachable", "left", "down"]


class MemberInfo(msgspec.Struct, frozen=True):
    """A member as this node knows it.

    name, endpoint: who it is, and where it listens.  incarnation: larger for each life of the node.
    life: larger each time it joined.  status: ``suspect`` may still refute, ``unreachable`` has not; ``left`` and
    ``down`` are over.  metadata: what it tells about itself.
    """

    name: str
    endpoint: str
    generation: int
    life: int
    status: MemberStatus
    metadata: Metadata


class ClusterEvent(Message[None]):
    """Base of all that happens in the cluster."""


class MemberEvent(ClusterEvent):
    """Base of what befalls members."""

    member: MemberInfo


class MemberJoined(MemberEvent):
    """A node has become a member; this one too, when it was taken in."""


class MemberUpdated(MemberEvent):
    """A member tells something else about itself, or listens elsewhere."""


class MemberSuspected(MemberEvent):
    """A member does not answer, and has time to refute.  by: who says so."""

    by: str


class MemberUnreachable(MemberEvent):
    """A member did not refute in time: it is dead or cut off, which nobody can know; the resolver decides."""


class MemberReachable(MemberEvent):
    """A member that was suspected or unreachable has shown that it lives."""


class MemberDown(MemberEvent):
    """This life of a member is over, and it did not leave.  reason: why."""

    reason: str


class MemberLeft(MemberEvent):
    """A member took its leave."""


class ClusterNotice(ClusterEvent):
    """Something that people should know.

    kind: ``refused``, ``name_conflict``, ``other_cluster``, ``implausible``, ``seeds_silent``, ``clock_leapt``,
        ``health``, ``split_brain``, ``downed``, ``superseded``, ``life_raised``.  text: one sentence.
    """

    kind: str
    text: str


class ClusterFailure(ClusterEvent):
    """A node, a link or a device has failed, see ``Cluster.on_failure``."""

    failure: Failure


class ClusterNameLost(ClusterEvent):
    """An actor of this node has lost its name; it is told so itself if it has a handler for this.

    winner: who has the name now; None when this node was thrown out of the cluster, and all its names with it.
    """

    name: str
    ref: ActorRef
    winner: ActorRef | None


class ClusterServicesChanged(ClusterEvent):
    """Others offer a service than before, or offer something else."""

    name: str
