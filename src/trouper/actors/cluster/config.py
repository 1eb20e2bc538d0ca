"""``ClusterConfig``: how a node takes part in a cluster, as ``Node(cluster=ClusterConfig(...))``.

The defaults are for one data centre.  All nodes of a cluster must agree on its name, the health check and the split
brain settings; the rest is each node's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

from ...runtime.kernel.errors import InvalidOption
from .membership.settings import SwimSettings
from .metadata import Location
from .splitbrain.resolver import SplitBrainSettings
from .splitbrain.strategies import LeaseMajority

if TYPE_CHECKING:
    from ...node import Node
    from .api import Cluster

METADATA_BYTES_MAX = 1_024
"""Of what a node tells about itself, unless ``swim`` says otherwise."""
WhenDowned = Literal["shut_down", "rejoin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How members are watched.

    interval_s: each member probes another one so often.  timeout_s: seconds until a probe goes on by other ways.
    retries: a suspected member has at least so many intervals, times the logarithm of the cluster's size, to refute.
    """

    interval_s: float = 1.0
    timeout_s: float = 0.5
    retries: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationSettings:
    """How names, groups, topics and services get around.

    interval_s: how often a node compares its copies with those of another member, by chance.
    direct_max: members up to which a change is told to all of them at once; fan_out: whom it is told to beyond that.
    answer_max: messages that answer one digest; what is left over is for the next one.
    """

    interval_s: float = 2.0
    direct_max: int = 32
    fan_out: int = 4
    answer_max: int = 50

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name in ("interval_s", "direct_max", "fan_out", "answer_max"):
            if not getattr(self, name) > 0:
                raise InvalidOption(f"ReplicationSettings({name}={getattr(self, name)}): it must be above 0")


class Lease(Protocol):
    """A lease outside of the cluster that one side of a cut can have at a time, for ``LeaseMajority``."""

    async def acquire(self) -> bool:
        """Get the lease, or have it still; False when another one has it.  An error counts as False."""
        ...

    async def release(self) -> None:
        """Give it back; if that fails it has to run out by itself."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """See the top of the file.

    name: of the cluster; nodes of clusters with different names never mix.
    nodes: how many members it takes to be complete, which ``Cluster.wait_for`` waits for, and how many it has at most.
    health_check: see ``HealthCheck``.
    roles, labels, location, versions: what this node tells the others about itself, besides the facts it detects.
    split_brain: how a cut is settled; None settles nothing, and unreachable members stay until ``tombstone_s``.
    lease: what ``LeaseMajority`` asks; None where the strategy is another one.
    when_downed: what a node does that the others have taken down: ``shut_down`` ends it, ``rejoin`` stops its actors
        under ``/user`` and comes back as a new member.
    links_max: links that are kept to other nodes; above it the ones that were used least recently are closed.
    swim: all settings of the membership, in place of those that follow from the above; None makes them.
    announce: where others may find this node: ``local`` is this host, by a file in a private folder; ``mdns`` is the
        local network, which needs an address of this host in ``listen``, and the extra ``mdns``.
    replication: how names, groups, topics and services get around.
    detect: False leaves out the facts of the host, as simulations do.
    """

    name: str = "trouper"
    nodes: tuple[int, int] = (1, 10_000)
    health_check: HealthCheck = field(default_factory=HealthCheck)
    roles: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    location: Location | None = None
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    split_brain: SplitBrainSettings | None = field(default_factory=SplitBrainSettings)
    lease: Lease | None = None
    when_downed: WhenDowned = "shut_down"
    sessions_max: int = 100
    swim: SwimSettings | None = None
    announce: frozenset[Literal["local", "mdns"]] = frozenset({"local"})
    replication: ReplicationSettings = field(default_factory=ReplicationSettings)
    detect: bool = True

    def __post_init__(self) -> None:
        least, most = self.nodes
        if not 1 <= least <= most:
            raise InvalidOption(f"nodes={self.nodes} must be (least, most) with 1 <= least <= most")
        if self.sessions_max < 8:
            raise InvalidOption(f"links_max={self.sessions_max} must be 8 or more: probes and gossip need some at once")
        if self.split_brain is not None and isinstance(self.split_brain.strategy, LeaseMajority) and self.lease is None:
            raise InvalidOption("the strategy LeaseMajority needs a lease: ClusterConfig(lease=...)")
        self.settings()

    def settings(self) -> SwimSettings:
        """The settings of the membership; raises ``InvalidOption`` for a health check that makes no sense."""
        if self.swim is not None:
            return self.swim
        check = self.health_check
        made = SwimSettings(
            probe_interval_s=check.interval_s,
            probe_timeout_s=check.timeout_s,
            suspicion_mult=check.retries,
            members_max=self.nodes[1],
            metadata_bytes_max=METADATA_BYTES_MAX,
            packet_bytes_max=1_400 - 512 + METADATA_BYTES_MAX,
        )
        return replace(made, warm_peers=min(made.warm_peers, self.sessions_max // 2))

    async def open(self, node: Node, seeds: tuple[str, ...]) -> Cluster:
        """Start this node's part of the cluster, under ``/system/cluster``; called by the node."""
        from .api import open_cluster  # noqa: PLC0415  a configuration is read without all that it starts

        return await open_cluster(node, self, seeds)
