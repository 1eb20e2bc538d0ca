"""The cluster: ``from trouper.cluster import ClusterConfig``, and all else that a program needs to know of it.

The guide is ``docs/guides/cluster.md``.  Nothing here is loaded by ``import trouper``.
"""

from .actors.cluster.config import ClusterConfig as ClusterConfig
from .actors.cluster.config import HealthCheck as HealthCheck
from .actors.cluster.config import Lease as Lease
from .actors.cluster.discovery.port import DiscoveryFailed as DiscoveryFailed
from .actors.cluster.discovery.port import DiscoveryInvalid as DiscoveryInvalid
from .actors.cluster.discovery.port import DiscoveryMissing as DiscoveryMissing
from .actors.cluster.events import ClusterEvent as ClusterEvent
from .actors.cluster.events import ClusterNotice as ClusterNotice
from .actors.cluster.events import MemberDown as MemberDown
from .actors.cluster.events import MemberEvent as MemberEvent
from .actors.cluster.events import MemberInfo as MemberInfo
from .actors.cluster.events import MemberJoined as MemberJoined
from .actors.cluster.events import MemberLeft as MemberLeft
from .actors.cluster.events import MemberReachable as MemberReachable
from .actors.cluster.events import MemberSuspected as MemberSuspected
from .actors.cluster.events import MemberUnreachable as MemberUnreachable
from .actors.cluster.events import MemberUpdated as MemberUpdated
from .actors.cluster.face import Cluster as Cluster
from .actors.cluster.membership.settings import SwimSettings as SwimSettings
from .actors.cluster.metadata import Facts as Facts
from .actors.cluster.metadata import Location as Location
from .actors.cluster.metadata import Metadata as Metadata
from .actors.cluster.metadata import MetadataInvalid as MetadataInvalid
from .actors.cluster.placement import NoNodeFits as NoNodeFits
from .actors.cluster.placement import Policy as Policy
from .actors.cluster.placement import any_node as any_node
from .actors.cluster.placement import labels as labels
from .actors.cluster.placement import least_loaded as least_loaded
from .actors.cluster.placement import near as near
from .actors.cluster.placement import needs as needs
from .actors.cluster.placement import power_of_two_choices as power_of_two_choices
from .actors.cluster.placement import roles as roles
from .actors.cluster.placement import same_host as same_host
from .actors.cluster.placement import spread as spread
from .actors.cluster.splitbrain.resolver import SplitBrainSettings as SplitBrainSettings
from .actors.cluster.splitbrain.strategies import DownAll as DownAll
from .actors.cluster.splitbrain.strategies import KeepMajority as KeepMajority
from .actors.cluster.splitbrain.strategies import KeepOldest as KeepOldest
from .actors.cluster.splitbrain.strategies import LeaseMajority as LeaseMajority
from .actors.cluster.splitbrain.strategies import StaticQuorum as StaticQuorum
