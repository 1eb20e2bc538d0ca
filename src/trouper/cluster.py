"""The public names of the cluster: ``from trouper.cluster import ClusterConfig``.

The guide is ``docs/guides/cluster.md``.  ``import trouper`` does not load this module.
"""

from .actors.cluster.api import Cluster
from .actors.cluster.config import ClusterConfig, HealthCheck, Lease
from .actors.cluster.detectors.failures import DeviceFailed, Failure, MemberFailed, SessionFailed
from .actors.cluster.discovery.factory import DiscoveryFactory, DiscoveryRequest, register_discovery
from .actors.cluster.discovery.port import (
    Discovery,
    DiscoveryFailed,
    DiscoveryInvalid,
    DiscoveryLimits,
    DiscoveryMissing,
)
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
from .actors.cluster.membership.settings import SwimSettings
from .actors.cluster.metadata import Facts, Location, Metadata, MetadataInvalid
from .actors.cluster.names_api import ClusterNames
from .actors.cluster.node_metrics import NodeMetrics
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
from .actors.cluster.services import MessageShape, Service, ServiceDescription
from .actors.cluster.services_api import ClusterServices
from .actors.cluster.splitbrain.resolver import SplitBrainSettings
from .actors.cluster.splitbrain.strategies import DownAll, KeepMajority, KeepOldest, LeaseMajority, StaticQuorum
from .actors.cluster.topics_api import ClusterTopics

__all__ = [
    "Cluster",
    "ClusterConfig",
    "ClusterEvent",
    "ClusterFailure",
    "ClusterNameLost",
    "ClusterNames",
    "ClusterNotice",
    "ClusterServices",
    "ClusterServicesChanged",
    "ClusterTopics",
    "DeviceFailed",
    "Discovery",
    "DiscoveryFactory",
    "DiscoveryFailed",
    "DiscoveryInvalid",
    "DiscoveryLimits",
    "DiscoveryMissing",
    "DiscoveryRequest",
    "DownAll",
    "Facts",
    "Failure",
    "HealthCheck",
    "KeepMajority",
    "KeepOldest",
    "Lease",
    "LeaseMajority",
    "Location",
    "MemberDown",
    "MemberEvent",
    "MemberFailed",
    "MemberInfo",
    "MemberJoined",
    "MemberLeft",
    "MemberReachable",
    "MemberSuspected",
    "MemberUnreachable",
    "MemberUpdated",
    "MessageShape",
    "Metadata",
    "MetadataInvalid",
    "NoNodeFits",
    "NodeMetrics",
    "Policy",
    "Service",
    "ServiceDescription",
    "SessionFailed",
    "SplitBrainSettings",
    "StaticQuorum",
    "SwimSettings",
    "any_node",
    "labels",
    "least_loaded",
    "near",
    "needs",
    "power_of_two_choices",
    "register_discovery",
    "roles",
    "same_host",
    "spread",
]  # fmt: skip
