"""Makes the discoveries that ``join=`` names: each entry is an endpoint, the text of a source, or an object.

    tcp://10.0.0.5:7400  ipc://NAME  inprocess://NAME    that endpoint, of any registered transport
    file:///etc/trouper/seeds                            the endpoints in a file, one a line
    dns://cluster.example.org:7400                       the addresses of a name, all with this port
    srv://_trouper._tcp.example.org                      the SRV records of a name: hosts with their ports
    mdns://                                              the nodes that announce themselves on the local network
    mpi://:7400   mpi://HEAD:7400                        the ranks of an mpiexec job; HEAD is the host of rank 0
    slurm://:7400                                        the ranks of a Slurm job
    auto                                                 this user's nodes on this host, and mdns if installed
    SCHEME://...                                         as ``register_discovery`` or an entry point says
    an object                                            a ``Discovery`` of the user's

A text is checked before anything is opened or looked up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeAlias, cast

from .... import InvalidOption
from ....lowlevel import SchemeTable, knows_transport, transport_schemes
from .addresses import check_host, read_endpoint, read_host_and_port, shown
from .checked import CheckedDiscovery
from .combined import CombinedDiscovery
from .dns import AddressDiscovery, ServiceDiscovery
from .file import FileDiscovery
from .launchers import MpiDiscovery, SlurmDiscovery
from .local import LocalDiscovery, runtime_folder
from .multicast import MulticastDiscovery
from .port import Discovery, DiscoveryInvalid, DiscoveryLimits
from .static import StaticDiscovery

JOIN_CHARS_MAX: Final = 4_096
"""The longest text in ``join``."""
AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class DiscoveryRequest:
    """What the factory of a discovery is given.

    text: the entry of ``join``, for errors.  rest: what follows ``SCHEME://`` in it.  cluster: the name of the cluster.
    environment: the variables of a launcher.  limits: those that the discovery keeps.
    """

    text: str
    rest: str
    cluster: str
    environment: Mapping[str, str]
    limits: DiscoveryLimits


DiscoveryFactory: TypeAlias = Callable[[DiscoveryRequest], Discovery]
"""Reads the text of a request and makes its discovery; it opens no file and uses no network before ``find``.

Raises ``DiscoveryInvalid``, which says what is expected, for a text that it cannot read.
"""


def register_discovery(scheme: str, factory: DiscoveryFactory) -> None:
    """Let ``join`` take ``SCHEME://...`` on the nodes of this process.

    An entry point of the group ``trouper.discoveries``, whose name is the scheme, does so wherever its package is
    installed.  Raises ``InvalidOption`` for a text that is no scheme, and for a scheme that another factory, or a
    transport, has.
    """
    if knows_transport(scheme):
        raise InvalidOption(f"{scheme}:// is a scheme of endpoints already: register the discovery under another")
    _table.register(scheme, factory)


def is_endpoint(text: str) -> bool:
    """Whether an entry of ``join`` names an endpoint, of a registered transport, in contrast to a discovery.

    Raises ``DiscoveryInvalid`` for an endpoint that cannot be dialled, and for a text that is neither.
    """
    scheme, mark, _ = _split(text)
    if mark and knows_transport(scheme):
        read_endpoint(text)
        return True
    _find(text)
    return False


def open_discoveries(
    join: Sequence[str | Discovery],
    cluster: str,
    *,
    environment: Mapping[str, str] | None = None,
    limits: DiscoveryLimits | None = None,
) -> list[Discovery]:
    """Make the discoveries of ``join``, in their order; all endpoints together make one discovery, the first.

    cluster: its name, which selects the announcements.  environment: the variables of a launcher; None for those of
    this process.  limits: None for the defaults.  No file is opened and no network used before the first ``find``.
    Raises ``DiscoveryInvalid`` for a text that cannot be read, and for an object that is no ``Discovery``.
    """
    limits = limits or DiscoveryLimits()
    variables = os.environ if environment is None else environment
    seeds: list[str] = []
    discoveries: list[Discovery] = []
    for entry in dict.fromkeys(map(check_entry, join)):
        if not isinstance(entry, str):
            discoveries.append(CheckedDiscovery(entry, limits))
        elif is_endpoint(entry):
            seeds.append(entry)
        else:
            request = DiscoveryRequest(entry, _split(entry)[2], cluster, variables, limits)
            discoveries.append(_open(_find(entry), request))
    return [StaticDiscovery(seeds, limits=limits), *discoveries] if seeds else discoveries


def check_entry(entry: object) -> str | Discovery:
    """Return an entry of ``join``; raises ``DiscoveryInvalid`` when it is neither text nor a ``Discovery``."""
    if isinstance(entry, str):
        return entry
    if callable(getattr(entry, "find", None)) and callable(getattr(entry, "describe", None)):
        return cast("Discovery", entry)
    raise DiscoveryInvalid(
        f"join={shown(repr(entry))}: expected text, or a Discovery: an object with `async def find()` and `describe()`"
    )


def open_auto(cluster: str, *, limits: DiscoveryLimits | None = None) -> Discovery:
    """Return the discovery for ``auto``: this user's nodes on this host, and multicast DNS if zeroconf is installed."""
    parts: list[Discovery] = [LocalDiscovery(runtime_folder(cluster), limits=limits)]
    if find_spec("zeroconf") is not None:
        parts.append(MulticastDiscovery(cluster, limits=limits))
    return CombinedDiscovery(parts, limits=limits)


def _split(text: str) -> tuple[str, str, str]:
    if len(text) > JOIN_CHARS_MAX:
        raise DiscoveryInvalid(f"join={shown(text)} has {len(text)} characters; {JOIN_CHARS_MAX} are the limit")
    scheme, mark, rest = text.partition("://")
    return scheme, mark, rest


def _find(text: str) -> DiscoveryFactory:
    scheme, mark, _ = _split(text)
    factory = _table.find(scheme) if mark or text == AUTO else None
    if factory is None or (scheme == AUTO and mark):
        raise DiscoveryInvalid(
            f"join={shown(text)} is not understood: expected '{AUTO}', an endpoint ({', '.join(transport_schemes())}),"
            f" or one of {', '.join(f'{known}://' for known in _table.schemes() if known != AUTO)}"
        )
    return factory


def _open(factory: DiscoveryFactory, request: DiscoveryRequest) -> Discovery:
    if factory in _BUILT_IN.values():
        return factory(request)
    try:
        made = check_entry(factory(request))
    except DiscoveryInvalid:
        raise
    except Exception as error:
        raise DiscoveryInvalid(f"join={shown(request.text)}: {type(error).__name__}: {error}") from error
    if isinstance(made, str):
        raise DiscoveryInvalid(f"join={shown(request.text)}: its factory returned text, and no Discovery")
    return CheckedDiscovery(made, request.limits)


# --- what is in the box -----------------------------------------------------------------------------------------------


def _file(request: DiscoveryRequest) -> Discovery:
    if not request.rest.startswith("/") or not request.rest.isprintable():
        raise DiscoveryInvalid(
            f"join={shown(request.text)}: expected an absolute path, as in file:///etc/trouper/seeds"
        )
    return FileDiscovery(Path(request.rest), limits=request.limits)


def _addresses(request: DiscoveryRequest) -> Discovery:
    return AddressDiscovery(*read_host_and_port(request.rest, request.text), limits=request.limits)


def _services(request: DiscoveryRequest) -> Discovery:
    name = check_host(request.rest, request.text)
    if not name.startswith("_") or "._tcp." not in name:
        raise DiscoveryInvalid(f"join={shown(request.text)}: expected a service, as in srv://_trouper._tcp.example.org")
    return ServiceDiscovery(name, limits=request.limits)


def _multicast(request: DiscoveryRequest) -> Discovery:
    if request.rest:
        raise DiscoveryInvalid(
            f"join={shown(request.text)}: expected nothing after mdns://; the cluster's name selects the nodes"
        )
    return MulticastDiscovery(request.cluster, limits=request.limits)


def _mpi(request: DiscoveryRequest) -> Discovery:
    if request.rest.startswith(":"):
        return MpiDiscovery(_port(request), request.environment, limits=request.limits)
    head, port = read_host_and_port(request.rest, request.text)
    return MpiDiscovery(port, request.environment, head=head, limits=request.limits)


def _slurm(request: DiscoveryRequest) -> Discovery:
    if not request.rest.startswith(":"):
        raise DiscoveryInvalid(f"join={shown(request.text)}: expected slurm://:PORT, since Slurm knows the hosts")
    return SlurmDiscovery(_port(request), request.environment, limits=request.limits)


def _port(request: DiscoveryRequest) -> int:
    return read_host_and_port(f"ranks{request.rest}", request.text)[1]


def _auto(request: DiscoveryRequest) -> Discovery:
    return open_auto(request.cluster, limits=request.limits)


_BUILT_IN: Final[Mapping[str, DiscoveryFactory]] = {
    "file": _file,
    "dns": _addresses,
    "srv": _services,
    "mdns": _multicast,
    "mpi": _mpi,
    "slurm": _slurm,
    AUTO: _auto,
}
_table: Final[SchemeTable[DiscoveryFactory]] = SchemeTable("discovery", "trouper.discoveries", _BUILT_IN)
