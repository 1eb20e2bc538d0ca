"""The transports of a node, by the schemes of its endpoints.

A transport in the box is imported when an endpoint needs it, and not before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from ..kernel.errors import InvalidOption
from .schemes import SchemeTable

if TYPE_CHECKING:
    from ..net.network import MakeTransport
    from .opening import NetworkOptions

TransportFactory: TypeAlias = "Callable[[NetworkOptions], MakeTransport]"
"""Called once for each node that has endpoints of its schemes, with the options of the node's network; what it returns
is called in the running loop with the owner of the transport, and returns the ``Transport``.
"""


def register_transport(scheme: str, factory: TransportFactory) -> None:
    """Let nodes of this process listen at, and dial, endpoints of a scheme, ``SCHEME://...``.

    factory: as ``TransportFactory`` says; one factory may have several schemes, and then makes one transport for them.
    The factory of another process has to be registered there too; an entry point of the group ``trouper.transports``,
    whose name is the scheme, does so wherever its package is installed.  Raises ``InvalidOption`` for a text that is no
    scheme, and for a scheme that another factory has.
    """
    _table.register(scheme, factory)


def knows_transport(scheme: str) -> bool:
    """Whether a transport is registered for this scheme, in the box or by an entry point."""
    return _table.knows(scheme)


def transport_schemes() -> list[str]:
    """Return the schemes of all transports, those in the box first."""
    return _table.schemes()


def transports_for(options: NetworkOptions) -> list[MakeTransport]:
    """Return a maker of each transport that the endpoints need; raises ``InvalidOption`` for an unknown scheme."""
    factories = dict.fromkeys(map(_factory, (*options.listen, *options.dialled)))
    return [factory(options) for factory in factories]


def _factory(endpoint: str) -> TransportFactory:
    scheme, mark, _ = endpoint.partition("://")
    factory = _table.find(scheme) if mark else None
    if factory is None:
        known = ", ".join(f"{each}://" for each in transport_schemes())
        raise InvalidOption(f"no transport knows {endpoint!r:.200}; known are {known}")
    return factory


def _in_process(_: NetworkOptions) -> MakeTransport:
    from ...transports.inprocess import InProcessTransport  # noqa: PLC0415  loaded on first use

    return InProcessTransport


def _zeromq(options: NetworkOptions) -> MakeTransport:
    from ...transports.keys import KeyRing  # noqa: PLC0415  loaded on first use
    from ...transports.zeromq import ZeroMQTransport  # noqa: PLC0415  loaded on first use

    keys = None if options.keys is None else KeyRing.load(options.keys)
    return partial(ZeroMQTransport, keys=keys, insecure=options.insecure)


def _simulated(options: NetworkOptions) -> MakeTransport:
    raise InvalidOption(f"{options.listen}: sim:// is for simulated nodes: start them with trouper.testing.simulate")


_table: Final[SchemeTable[TransportFactory]] = SchemeTable(
    "transport",
    "trouper.transports",
    {"tcp": _zeromq, "ipc": _zeromq, "inprocess": _in_process, "sim": _simulated},
)
