"""The cluster: ``from trouper.cluster import ClusterConfig``, and all else that a program needs to know of it.

The guide is ``docs/guides/cluster.md``.  Nothing here is loaded by ``import trouper``.
"""

from .actors.cluster.config import ClusterConfig, HealthCheck, Lease
from .actors.cluster.discovery.port import DiscoveryFailed, DiscoveryInvalid, DiscoveryMissing
from .actors.cluster.events import (
    ClusterEvent,
    ClusterNotice,
    MemberDown,
    MemberEvent,
    MemberInfo,
    MemberJoined,
    MemberLeft,
    MemberReachable,
    MemberSuspected,
    MemberUnreachable,
    MemberUpdated,
)
from .actors.cluster.face import Cluster
from .actors.cluster.membership.settings import SwimSettings
from .actors.cluster.metadata import Facts, Location, Metadata, MetadataInvalid
from .actors.cluster.placement import (
    NoNodeFits,
    Policy,
    any_node,
    labels,
    least_loaded,
    near,
    needs,
    power_of_two_choices,
    roles,
    same_host,
    spread,
)
from .actors.cluster.splitbrain.resolver import SplitBrainSettings
from .actors.cluster.splitbrain.strategies import DownAll, KeepMajority, KeepOldest, LeaseMajority, StaticQuorum

__all__ = [
    "Cluster", "ClusterConfig", "ClusterEvent", "ClusterNotice", "DiscoveryFailed", "DiscoveryInvalid",
    "DiscoveryMissing", "DownAll", "Facts", "HealthCheck", "KeepMajority", "KeepOldest", "Lease", "LeaseMajority",
    "Location", "MemberDown", "MemberEvent", "MemberInfo", "MemberJoined", "MemberLeft", "MemberReachable",
    "MemberSuspected", "MemberUnreachable", "MemberUpdated", "Metadata", "MetadataInvalid", "NoNodeFits", "Policy",
    "SplitBrainSettings", "StaticQuorum", "SwimSettings", "any_node", "labels", "least_loaded", "near", "needs",
    "power_of_two_choices", "roles", "same_host", "spread",
]  # fmt: skip
