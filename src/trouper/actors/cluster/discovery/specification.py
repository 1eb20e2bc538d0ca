"""The texts that ``join=`` takes, read into what to look for (PURE).

    tcp://10.0.0.5:7400  ipc://NAME  inprocess://NAME    that endpoint
    file:///etc/trouper/seeds                            the endpoints in a file, one a line
    dns://cluster.example.org:7400                       the addresses of a name, all with this port
    srv://_trouper._tcp.example.org                      the SRV records of a name: hosts with their ports
    mdns://                                              whoever announces itself on the local network
    mpi://:7400   mpi://HEAD:7400                        the ranks of an mpiexec; HEAD is the host of rank 0
    slurm://:7400                                        the ranks of a Slurm job
    console+https://HOST:8443  console+http://HOST:8080  another node's console
    auto                                                 this user's nodes on this host, and mdns where it can

``parse`` reads one of them.  It looks at nothing but the text: whether the file is there is found out later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from .addresses import SCHEMES, check_host, read_endpoint, read_host_and_port, shown
from .port import DiscoveryInvalid

SPECIFICATION_CHARS_MAX: Final = 4_096
CONSOLE_PORTS: Final = {"http": 80, "https": 443}


class Seed(msgspec.Struct, frozen=True):
    """One endpoint, as it is."""

    endpoint: str


class SeedFile(msgspec.Struct, frozen=True):
    """The endpoints in a file.  path: whole, from the root."""

    path: str


class Addresses(msgspec.Struct, frozen=True):
    """The A and AAAA records of a name, each with this port."""

    host: str
    port: int


class Services(msgspec.Struct, frozen=True):
    """The SRV records of a name such as ``_trouper._tcp.example.org``."""

    name: str


class Multicast(msgspec.Struct, frozen=True):
    """Multicast DNS on the local network."""


class MpiRanks(msgspec.Struct, frozen=True):
    """The ranks that mpiexec started.

    port: rank i of a host listens on port + i.  head: the host of rank 0; empty when it need not be told.
    """

    port: int
    head: str = ""


class SlurmRanks(msgspec.Struct, frozen=True):
    """The ranks of a Slurm job.  port: rank i of a host listens on port + i."""

    port: int


class Console(msgspec.Struct, frozen=True):
    """Another node's console.  url: up to the port, such as ``https://10.0.0.5:8443``."""

    url: str


class Auto(msgspec.Struct, frozen=True):
    """This user's nodes on this host, and multicast DNS where it is installed."""


DiscoverySpec: TypeAlias = (
    Seed | SeedFile | Addresses | Services | Multicast | MpiRanks | SlurmRanks | Console | Auto
)  # fmt: skip


def parse(text: str) -> DiscoverySpec:
    """Read a text of ``join=``; raises ``DiscoveryInvalid`` with what is expected."""
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
        raise DiscoveryInvalid(f"join={shown(text)}: expected the whole path, as in file:///etc/trouper/seeds")
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
            f"join={shown(text)}: nothing stands behind mdns://; the cluster's name tells who is meant"
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


def _console(scheme: str) -> Callable[[str, str], DiscoverySpec]:
    def read(rest: str, text: str) -> DiscoverySpec:
        if any(mark in rest for mark in "@/?#"):
            # A password in an address ends up in logs and process lists; the token goes another way.
            raise DiscoveryInvalid(f"join={scheme}://... : expected HOST or HOST:PORT alone; the token is given apart")
        tail = rest.rpartition("]")[2]
        host, port = read_host_and_port(rest if ":" in tail else f"{rest}:{CONSOLE_PORTS[scheme]}", text)
        return Console(f"{scheme}://{host}:{port}")

    return read


_READERS: Final[Mapping[str, Callable[[str, str], DiscoverySpec]]] = {
    "file": _file,
    "dns": _addresses,
    "srv": _services,
    "mdns": _multicast,
    "mpi": _mpi,
    "slurm": _slurm,
    "console+http": _console("http"),
    "console+https": _console("https"),
}
