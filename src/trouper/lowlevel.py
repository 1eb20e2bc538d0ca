"""The names for authors of extensions and transports: ``from trouper.lowlevel import Extension, NodeContext``.

The guides are ``docs/guides/extensions.md``, ``docs/guides/headers-and-instruments.md`` and
``docs/guides/transports.md``.  ``import trouper`` does not load this module.
"""

from .runtime.actor.handlers import handled_types
from .runtime.gossip.messages import Stamp
from .runtime.gossip.replicated_table import ReplicatedTable
from .runtime.gossip.versioned_table import RowChanged, RowFull, TableLimits
from .runtime.kernel.address import NodeId, checked_name, random_generation
from .runtime.kernel.clock import Alarm
from .runtime.kernel.headers import HEADER_BYTES_MAX, HEADERS_MAX, Headers, declare_header
from .runtime.kernel.hooks import Admit, set_admission
from .runtime.kernel.message import message_class, reply_annotation, tag_of
from .runtime.kernel.options import check_count, check_number
from .runtime.kernel.ref import RefWithHeaders, deliver
from .runtime.kernel.supervision import Strategy
from .runtime.kernel.untrusted import decode_untrusted
from .runtime.net.ask_graph import AskGraph
from .runtime.net.network import MakeTransport
from .runtime.net.peer import Stream
from .runtime.node.extension import AnyExtension, Extension
from .runtime.node.extension_peers import (
    PeerDown,
    PeerEvent,
    PeerInfo,
    Peers,
    PeerUp,
    SessionRefused,
    WorkerDown,
    WorkerEvent,
    WorkerUp,
)
from .runtime.node.extension_run import ExtensionFailed, ExtensionInfo
from .runtime.node.node_context import ExtensionClock, NodeContext
from .runtime.node.opening import NetworkOptions
from .runtime.node.schemes import SchemeTable
from .runtime.node.services.worker_nodes import parent_of
from .runtime.node.transports import TransportFactory, knows_transport, register_transport, transport_schemes
from .runtime.observe.instruments import Instrument, Instruments
from .runtime.session.codecs import register_codec
from .runtime.session.endpoints import endpoint_problem
from .runtime.session.identity import Allow, Identity, Role
from .runtime.session.schemas import fields_of
from .runtime.session.sessions import KnownNode
from .runtime.session.transport import (
    Buffer,
    EndpointInvalid,
    EndpointTaken,
    FrameTooLarge,
    Source,
    Transport,
    TransportClosed,
    TransportFailed,
    TransportLimits,
    TransportOwner,
    Wire,
)

__all__ = [
    "HEADERS_MAX",
    "HEADER_BYTES_MAX",
    "Admit",
    "Alarm",
    "Allow",
    "AnyExtension",
    "AskGraph",
    "Buffer",
    "EndpointInvalid",
    "EndpointTaken",
    "Extension",
    "ExtensionClock",
    "ExtensionFailed",
    "ExtensionInfo",
    "FrameTooLarge",
    "Headers",
    "Identity",
    "Instrument",
    "Instruments",
    "KnownNode",
    "MakeTransport",
    "NetworkOptions",
    "NodeContext",
    "NodeId",
    "PeerDown",
    "PeerEvent",
    "PeerInfo",
    "PeerUp",
    "Peers",
    "RefWithHeaders",
    "ReplicatedTable",
    "Role",
    "RowChanged",
    "RowFull",
    "SchemeTable",
    "SessionRefused",
    "Source",
    "Stamp",
    "Strategy",
    "Stream",
    "TableLimits",
    "Transport",
    "TransportClosed",
    "TransportFactory",
    "TransportFailed",
    "TransportLimits",
    "TransportOwner",
    "Wire",
    "WorkerDown",
    "WorkerEvent",
    "WorkerUp",
    "check_count",
    "check_number",
    "checked_name",
    "declare_header",
    "decode_untrusted",
    "deliver",
    "endpoint_problem",
    "fields_of",
    "handled_types",
    "knows_transport",
    "message_class",
    "parent_of",
    "random_generation",
    "register_codec",
    "register_transport",
    "reply_annotation",
    "set_admission",
    "tag_of",
    "transport_schemes",
]
