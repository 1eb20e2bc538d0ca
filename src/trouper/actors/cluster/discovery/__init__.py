"""How a node finds other nodes: the protocol ``Discovery``, its implementations, and the loop that calls them.

``factory.open_discoveries`` makes the discoveries of ``join=``, the pure ``DiscoveryLoop`` decides when to call them
and which endpoints to dial, and the ``DiscoveryActor`` carries that out.
"""

from .combined import CombinedDiscovery as CombinedDiscovery
from .dns import AddressDiscovery as AddressDiscovery
from .dns import ServiceDiscovery as ServiceDiscovery
from .factory import DiscoveryFactory as DiscoveryFactory
from .factory import DiscoveryRequest as DiscoveryRequest
from .factory import is_endpoint as is_endpoint
from .factory import open_auto as open_auto
from .factory import open_discoveries as open_discoveries
from .factory import register_discovery as register_discovery
from .file import FileDiscovery as FileDiscovery
from .launchers import MpiDiscovery as MpiDiscovery
from .launchers import SlurmDiscovery as SlurmDiscovery
from .local import LocalAnnouncement as LocalAnnouncement
from .local import LocalDiscovery as LocalDiscovery
from .local import runtime_folder as runtime_folder
from .multicast import MulticastAnnouncement as MulticastAnnouncement
from .multicast import MulticastDiscovery as MulticastDiscovery
from .port import Discovery as Discovery
from .port import DiscoveryFailed as DiscoveryFailed
from .port import DiscoveryInvalid as DiscoveryInvalid
from .port import DiscoveryLimits as DiscoveryLimits
from .port import DiscoveryMissing as DiscoveryMissing
from .static import StaticDiscovery as StaticDiscovery
