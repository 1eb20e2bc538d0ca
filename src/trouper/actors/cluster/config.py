"""``ClusterConfig``: how a node takes part in a cluster, as ``Node(cluster=ClusterConfig(...))``.

The defaults are for one data centre.  All nodes of a cluster must have the same name, health check and split brain
settings; the rest is each node's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, cast

import msgspec

from ... import InvalidOption
from ...lowlevel import check_count, check_number
from .membership.settings import SwimSettings
from .metadata import Location
from .splitbrain.resolver import SplitBrainSettings
from .splitbrain.strategies import LeaseMajority

METADATA_BYTES_MAX = 1_024
"""The most bytes of a node's metadata, unless ``swim`` sets another limit."""
WhenDowned = Literal["shut_down", "rejoin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How members are probed.

    interval_s: seconds between two probes of a node.  timeout_s: seconds until an unanswered ping is followed by
    indirect ones.  retries: a suspected member has at least so many intervals, times the logarithm of the cluster's
    size, to refute.
    Raises ``InvalidOption`` for a value that is not above 0.
    """

    interval_s: float = 1.0
    timeout_s: float = 0.5
    retries: int = 4

    def __post_init__(self) -> None:
        check_number("interval_s", self.interval_s)
        check_number("timeout_s", self.timeout_s)
        check_count("retries", self.retries)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationSettings:
    """How names, groups, topics and services are replicated.

    interval_s: seconds between two comparisons of a node's copies with those of a random member.
    direct_max: up to so many members a change is sent to all of them at once.  fan_out: above that, to so many.
    answer_max: messages a second that answer the digests of one node, in the mean; later digests get the rest.
    Raises ``InvalidOption`` for a value that is not above 0.
    """

    interval_s: float = 2.0
    direct_max: int = 32
    fan_out: int = 4
    answer_max: int = 50

    def __post_init__(self) -> None:
        check_number("ReplicationSettings: interval_s", self.interval_s)
        for name in ("direct_max", "fan_out", "answer_max"):
            check_count(f"ReplicationSettings: {name}", getattr(self, name))


class Lease(Protocol):
    """A lease outside of the cluster, which one side of a partition has at a time; for ``LeaseMajority``."""

    async def acquire(self) -> bool:
        """Acquire the lease, or keep it; return False when the other side has it.  An error counts as False."""
        ...

    async def release(self) -> None:
        """Give the lease back; if that fails it has to expire by itself."""
        ...


class ClusterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of one node's part in a cluster.

    name: of the cluster; nodes of clusters with different names do not join each other.
    nodes: (least, most): the number of members that ``Cluster.wait_for`` waits for, and the most members.
    health_check: how members are probed.
    roles, labels, location, versions: the metadata that this node publishes, besides the facts that it detects.
    split_brain: how a partition is resolved; None resolves none, and unreachable members stay until ``tombstone_s``.
    lease: what ``LeaseMajority`` asks; None for the other strategies.
    when_downed: what this node does when the others have taken it down: ``shut_down`` ends it, ``rejoin`` stops its
        actors under ``/user`` and joins again as another generation.
    sessions_max: the most sessions to other nodes; above it those that were used least recently are closed.
    swim: all settings of the membership; None derives them from the settings above.
    announce: where other nodes can find this one: ``local`` is this host, by a file in a private folder; ``mdns`` is
        the local network, which needs an address of this host in ``listen``, and the extra ``mdns``.
    replication: how names, groups, topics and services are replicated.
    detect: False leaves out the facts of the host, as simulations do.
    Raises ``InvalidOption`` for settings that are out of range or contradict each other.
    """

    name: str = "trouper"
    nodes: tuple[int, int] = (1, 10_000)
    health_check: HealthCheck = HealthCheck()
    roles: frozenset[str] = frozenset()
    labels: Mapping[str, str] = {}
    location: Location | None = None
    versions: Mapping[str, str] = {}
    split_brain: SplitBrainSettings | None = SplitBrainSettings()
    lease: Lease | None = None
    when_downed: WhenDowned = "shut_down"
    sessions_max: int = 100
    swim: SwimSettings | None = None
    announce: frozenset[Literal["local", "mdns"]] = frozenset({"local"})
    replication: ReplicationSettings = ReplicationSettings()
    detect: bool = True

    def __post_init__(self) -> None:
        given = cast("object", self.nodes)  # whatever its annotation says
        if not isinstance(given, Sequence) or len(self.nodes) != 2:
            raise InvalidOption(f"nodes={given!r:.100} must be (least, most)")
        for number in self.nodes:
            check_count("nodes", number)
        if self.nodes[0] > self.nodes[1]:
            raise InvalidOption(f"nodes={self.nodes} must be (least, most) with 1 <= least <= most")
        check_count("sessions_max", self.sessions_max, least=8)  # for probes and gossip
        if self.split_brain is not None and isinstance(self.split_brain.strategy, LeaseMajority) and self.lease is None:
            raise InvalidOption("the strategy LeaseMajority needs a lease: ClusterConfig(lease=...)")
        self.settings()

    def settings(self) -> SwimSettings:
        """Return the settings of the membership; raises ``InvalidOption`` for a health check that is out of range."""
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

    def for_worker(self) -> ClusterConfig:
        """Return the configuration of a worker of this node, which follows the node and announces nothing."""
        return ClusterConfig(
            name=self.name,
            sessions_max=self.sessions_max,
            replication=self.replication,
            split_brain=None,
            announce=frozenset(),
            detect=False,
        )
