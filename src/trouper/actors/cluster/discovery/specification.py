"""The texts that ``join=`` takes: each names an endpoint or a source of endpoints (PURE).

    tcp://10.0.0.5:7400  ipc://NAME  inprocess://NAME    that endpoint
    file:///etc/trouper/seeds                            the endpoints in a file, one a line
    dns://cluster.example.org:7400                       the addresses of a name, all with this port
    srv://_trouper._tcp.example.org                      the SRV records of a name: hosts with their ports
    mdns://                                              the nodes that announce themselves on the local network
    mpi://:7400   mpi://HEAD:7400                        the ranks of an mpiexec job; HEAD is the host of rank 0
    slurm://:7400                                        the ranks of a Slurm job
    auto                                                 this user's nodes on this host, and mdns if installed

``parse`` reads one of them.  It checks the text alone: it opens no file and looks no name up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from .addresses import SCHEMES, check_host, read_endpoint, read_host_and_port, shown
from .port import DiscoveryInvalid

SPECIFICATION_CHARS_MAX: Final = 4_096


class Seed(msgspec.Struct, frozen=True):
    """One endpoint."""

    endpoint: str


class SeedFile(msgspec.Struct, frozen=True):
    """The endpoints in a file.  path: absolute."""

    path: str


class Addresses(msgspec.Struct, frozen=True):
    """The A and AAAA records of a name, each with the same port."""

    host: str
    port: int


class Services(msgspec.Struct, frozen=True):
    """The SRV records of a name such as ``_trouper._tcp.example.org``."""

    name: str


class Multicast(msgspec.Struct, frozen=True):
    """Multicast DNS on the local network."""


class MpiRanks(msgspec.Struct, frozen=True):
    """The ranks that mpiexec started.

    port: rank i of a host listens on port + i.  head: the host of rank 0; empty to take the hosts from elsewhere.
    """

    port: int
    head: str = ""


class SlurmRanks(msgspec.Struct, frozen=True):
    """The ranks of a Slurm job.  port: rank i of a host listens on port + i."""

    port: int


class Auto(msgspec.Struct, frozen=True):
    """This user's nodes on this host, and multicast DNS where it is installed."""


DiscoverySpec: TypeAlias = (
    Seed | SeedFile | Addresses | Services | Multicast | MpiRanks | SlurmRanks | Auto
)  # fmt: skip


def parse(text: str) -> DiscoverySpec:
    """Return what a text of ``join=`` names; raises ``DiscoveryInvalid``, which says what is expected."""
    if len(text) > SPECIFICATION_CHARS_MAX:
        raise DiscoveryInvalid(
            f"join={shown(text)} has {len(text)} characters; {SPECIFICATION_CHARS_MAX} are the limit"
        )
    if text == "auto":
        return Auto()
    scheme, mark, rest = text.partition("://")
    if mark and scheme in SCHEMES:
        return Seed(read_endpoint(text))
    read = _READERS.get(scheme) if mark else None
    if read is None:
        raise DiscoveryInvalid(
            f"join={shown(text)} is not understood: expected 'auto', an endpoint ({', '.join(SCHEMES)}),"
            f" or one of {', '.join(f'{known}://' for known in _READERS)}"
        )
    return read(rest, text)


def _file(rest: str, text: str) -> DiscoverySpec:
    if not rest.startswith("/") or not rest.isprintable():
        raise DiscoveryInvalid(f"join={shown(text)}: expected an absolute path, as in file:///etc/trouper/seeds")
    return SeedFile(rest)


def _addresses(rest: str, text: str) -> DiscoverySpec:
    return Addresses(*read_host_and_port(rest, text))


def _services(rest: str, text: str) -> DiscoverySpec:
    name = check_host(rest, text)
    if not name.startswith("_") or "._tcp." not in name:
        raise DiscoveryInvalid(f"join={shown(text)}: expected a service, as in srv://_trouper._tcp.example.org")
    return Services(name)


def _multicast(rest: str, text: str) -> DiscoverySpec:
    if rest:
        raise DiscoveryInvalid(
            f"join={shown(text)}: expected nothing after mdns://; the cluster's name selects the nodes"
        )
    return Multicast()


def _mpi(rest: str, text: str) -> DiscoverySpec:
    if rest.startswith(":"):
        return MpiRanks(_port(rest, text))
    head, port = read_host_and_port(rest, text)
    return MpiRanks(port, head)


def _slurm(rest: str, text: str) -> DiscoverySpec:
    if not rest.startswith(":"):
        raise DiscoveryInvalid(f"join={shown(text)}: expected slurm://:PORT, since Slurm knows the hosts")
    return SlurmRanks(_port(rest, text))


def _port(rest: str, text: str) -> int:
    return read_host_and_port(f"ranks{rest}", text)[1]


_READERS: Final[Mapping[str, Callable[[str, str], DiscoverySpec]]] = {
    "file": _file,
    "dns": _addresses,
    "srv": _services,
    "mdns": _multicast,
    "mpi": _mpi,
    "slurm": _slurm,
}
