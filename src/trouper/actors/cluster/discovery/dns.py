"""Discovery by the domain name system: the addresses of one name, or the SRV records of a service.

Addresses (A, AAAA) are looked up by the operating system, so that ``/etc/hosts`` counts too; SRV records (RFC 2782)
need the package dnspython, ``pip install 'trouper[dns]'``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .addresses import check_host, check_port, gather, read_endpoint, tcp_endpoint
from .port import DiscoveryFailed, DiscoveryInvalid, DiscoveryLimits, DiscoveryMissing

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver
    from dns.rdtypes.IN.SRV import SRV


class AddressDiscovery:
    """Every address of a name, each with the same port, such as of a headless service.  Implements ``Discovery``."""

    def __init__(self, host: str, port: int, *, limits: DiscoveryLimits | None = None) -> None:
        self._host, self._port = check_host(host, host), check_port(port)
        self._limits = limits or DiscoveryLimits()

    async def find(self) -> Sequence[str]:
        """Look the name up; raises ``DiscoveryFailed`` when it has no address, or no server answers in time."""
        loop = asyncio.get_running_loop()
        host = self._host.strip("[]")
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                found = await loop.getaddrinfo(host, self._port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise DiscoveryFailed(f"{self.describe()}: no answer within {self._limits.timeout_s} s") from None
        except (OSError, UnicodeError) as error:
            raise DiscoveryFailed(f"{self.describe()}: {error}") from error
        addresses = (str(place[0]) for _, _, _, _, place in found)
        # An address with a zone, fe80::1%eth0, is valid on this host only.
        return gather((tcp_endpoint(at, self._port) for at in addresses if "%" not in at), self._limits.endpoints_max)

    def describe(self) -> str:
        """Return the name that is looked up."""
        return f"the addresses of {self._host} (port {self._port})"


class ServiceDiscovery:
    """The SRV records of a name, each with a host and a port.  Implements ``Discovery``.

    name: such as ``_trouper._tcp.example.org``.
    nameservers, nameserver_port: the servers to query; empty for those of the operating system.
    """

    def __init__(
        self,
        name: str,
        *,
        nameservers: Sequence[str] = (),
        nameserver_port: int = 53,
        limits: DiscoveryLimits | None = None,
    ) -> None:
        self._name = check_host(name, name)
        self._nameservers, self._nameserver_port = list(nameservers), nameserver_port
        self._limits = limits or DiscoveryLimits()

    async def find(self) -> Sequence[str]:
        """Query the records: lowest priority number first, then highest weight.

        Raises ``DiscoveryFailed`` when there are none or no server answers in time, ``DiscoveryMissing`` without
        dnspython.
        """
        try:
            from dns.exception import DNSException  # noqa: PLC0415  an optional package
            from dns.resolver import NXDOMAIN, NoAnswer  # noqa: PLC0415  an optional package
        except ImportError as error:
            raise DiscoveryMissing("SRV records need the package dnspython: pip install 'trouper[dns]'") from error
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                answer = await self._resolver().resolve(self._name, "SRV", lifetime=self._limits.timeout_s)
        except TimeoutError:
            raise DiscoveryFailed(f"{self.describe()}: no answer within {self._limits.timeout_s} s") from None
        except (NXDOMAIN, NoAnswer) as error:
            raise DiscoveryFailed(f"{self.describe()}: there are none") from error
        except (DNSException, OSError) as error:
            raise DiscoveryFailed(f"{self.describe()}: {error}") from error
        records: list[SRV] = list(answer)
        records.sort(key=lambda record: (record.priority, -record.weight, str(record.target), record.port))
        return gather(filter(None, map(_endpoint, records)), self._limits.endpoints_max)

    def describe(self) -> str:
        """Return the name of the records."""
        return f"the SRV records of {self._name}"

    def _resolver(self) -> Resolver:
        from dns.asyncresolver import Resolver  # noqa: PLC0415  an optional package

        resolver = Resolver(configure=not self._nameservers)
        if self._nameservers:
            resolver.nameservers, resolver.port = self._nameservers, self._nameserver_port
        return resolver


def _endpoint(record: SRV) -> str | None:
    """Return the endpoint of a record; None for ".", which means "no such service", and for an invalid host."""
    host = record.target.to_text(omit_final_dot=True)
    try:
        return read_endpoint(f"tcp://{host}:{record.port}", ("tcp",))
    except DiscoveryInvalid:
        return None
