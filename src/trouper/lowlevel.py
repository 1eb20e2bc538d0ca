"""The names for authors of extensions: ``from trouper.lowlevel import Extension, NodeContext``.

The guide is ``docs/guides/extensions.md``.  ``import trouper`` does not load this module.
"""

from .runtime.kernel.address import NodeId
from .runtime.kernel.clock import Alarm
from .runtime.net.peer import Stream
from .runtime.net.request_handlers import Role
from .runtime.node.extension import AnyExtension, Extension
from .runtime.node.extension_run import ExtensionFailed, ExtensionInfo
from .runtime.node.node_context import ExtensionClock, NodeContext, PeerDown, PeerEvent, PeerInfo, Peers, PeerUp
from .runtime.node.opening import NetworkOptions

__all__ = [
    "Alarm",
    "AnyExtension",
    "Extension",
    "ExtensionClock",
    "ExtensionFailed",
    "ExtensionInfo",
    "NetworkOptions",
    "NodeContext",
    "NodeId",
    "PeerDown",
    "PeerEvent",
    "PeerInfo",
    "PeerUp",
    "Peers",
    "Role",
    "Stream",
]
