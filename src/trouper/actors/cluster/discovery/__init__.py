"""How a node finds other nodes: one port, ``Discovery``, many ways, and ``seeking``, which never gives up.

``specification.parse`` reads what ``join=`` takes, ``opening.open_discoveries`` makes the discoveries, and
``seeking.DiscoveryLoop`` decides when to ask them and whom to dial, which the scout carries out.  The guide is
``docs/guides/discovery.md``.
"""

from .combined import CombinedDiscovery as CombinedDiscovery
from .console import ConsoleDiscovery as ConsoleDiscovery
from .dns import AddressDiscovery as AddressDiscovery
from .dns import ServiceDiscovery as ServiceDiscovery
from .factory import open_auto as open_auto
from .factory import open_discoveries as open_discoveries
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
from .specification import parse as parse
from .static import StaticDiscovery as StaticDiscovery
