"""The cluster: ``from trouper.cluster import ClusterConfig``, and all else that a program needs to know of it.

The guide is ``docs/guides/cluster.md``.  Nothing here is loaded by ``import trouper``.
"""

from .actors.cluster.config import ClusterConfig, HealthCheck, Lease
from .actors.cluster.detectors.failures import DeviceFailed, Failure, LinkFailed, NodeFailed
from .actors.cluster.discovery.port import DiscoveryFailed, DiscoveryInvalid, DiscoveryMissing
from .actors.cluster.events import (
    ClusterEvent,
    ClusterFailure,
    ClusterNameLost,
    ClusterNotice,
    ClusterServicesChanged,
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
from .actors.cluster.naming import ClusterNames
from .actors.cluster.offering import ClusterServices
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
from .actors.cluster.publishing import ClusterTopics
from .actors.cluster.services import MessageShape, Service, ServiceDescription
from .actors.cluster.splitbrain.resolver import SplitBrainSettings
from .actors.cluster.splitbrain.strategies import DownAll, KeepMajority, KeepOldest, LeaseMajority, StaticQuorum
from .actors.cluster.vitals import Vitals

__all__ = [
    "Cluster", "ClusterConfig", "ClusterEvent", "ClusterFailure", "ClusterNameLost", "ClusterNames", "ClusterNotice",
    "ClusterServices", "ClusterServicesChanged", "ClusterTopics", "DeviceFailed", "DiscoveryFailed",
    "DiscoveryInvalid", "DiscoveryMissing", "DownAll", "Facts", "Failure", "HealthCheck", "KeepMajority", "KeepOldest",
    "Lease", "LeaseMajority", "LinkFailed", "Location", "MemberDown", "MemberEvent", "MemberInfo", "MemberJoined",
    "MemberLeft", "MemberReachable", "MemberSuspected", "MemberUnreachable", "MemberUpdated", "MessageShape",
    "Metadata", "MetadataInvalid", "NoNodeFits", "NodeFailed", "Policy", "Service", "ServiceDescription",
    "SplitBrainSettings", "StaticQuorum", "SwimSettings", "Vitals", "any_node", "labels", "least_loaded", "near",
    "needs", "power_of_two_choices", "roles", "same_host", "spread",
]  # fmt: skip
