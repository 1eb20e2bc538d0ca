"""The names for authors of extensions: ``from trouper.lowlevel import Extension, NodeContext``.

The guide is ``docs/guides/extensions.md``.  ``import trouper`` does not load this module.
"""

from .runtime.kernel.address import NodeId
from .runtime.kernel.clock import Alarm
from .runtime.kernel.headers import HEADER_BYTES_MAX, HEADERS_MAX, Headers, declare_header
from .runtime.kernel.hooks import Admit, set_admission
from .runtime.kernel.ref import RefWithHeaders
from .runtime.net.peer import Stream
from .runtime.net.request_handlers import Role
from .runtime.node.extension import AnyExtension, Extension
from .runtime.node.extension_run import ExtensionFailed, ExtensionInfo
from .runtime.node.node_context import ExtensionClock, NodeContext, PeerDown, PeerEvent, PeerInfo, Peers, PeerUp
from .runtime.node.opening import NetworkOptions
from .runtime.observe.instruments import Instrument, Instruments

__all__ = [
    "HEADERS_MAX",
    "HEADER_BYTES_MAX",
    "Admit",
    "Alarm",
    "AnyExtension",
    "Extension",
    "ExtensionClock",
    "ExtensionFailed",
    "ExtensionInfo",
    "Headers",
    "Instrument",
    "Instruments",
    "NetworkOptions",
    "NodeContext",
    "NodeId",
    "PeerDown",
    "PeerEvent",
    "PeerInfo",
    "PeerUp",
    "Peers",
    "RefWithHeaders",
    "Role",
    "Stream",
    "declare_header",
    "set_admission",
]
