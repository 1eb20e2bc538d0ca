"""Discovery on the local network, by multicast DNS (RFC 6762) and DNS service discovery (RFC 6763).

Each node announces a service ``_trouper._tcp.local.`` whose TXT record names its cluster; a search for this cluster
listens for a while and collects those.  Any host on the network can announce anything: this finds candidates, and the
keys of the sessions authenticate them.  Needs the package zeroconf, ``pip install 'trouper[mdns]'``.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from .addresses import gather, read_endpoint, read_host_and_port, tcp_endpoint
from .port import DiscoveryFailed, DiscoveryInvalid, DiscoveryLimits, DiscoveryMissing

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

SERVICE: Final = "_trouper._tcp.local."
VERSION: Final = "1"
CLUSTER_BYTES_MAX: Final = 200
"""The longest name of a cluster: a string of a TXT record has at most 255 bytes."""
LISTEN_S: Final = 1.5
"""How long a search waits for answers; a responder may delay one by half a second (RFC 6762, section 6)."""


class MulticastDiscovery:
    """The nodes of a cluster that announce themselves on the local network.  Implements ``Discovery``.

    cluster: the name to search for.  interfaces: addresses of this host to send from; empty for all.
    listen_s: how long ``find`` takes, at most ``limits.timeout_s``.
    """

    def __init__(
        self,
        cluster: str,
        *,
        interfaces: Sequence[str] = (),
        listen_s: float = LISTEN_S,
        limits: DiscoveryLimits | None = None,
    ) -> None:
        self._cluster, self._interfaces = _checked(cluster), list(interfaces)
        self._limits = limits or DiscoveryLimits()
        self._listen_s = min(listen_s, self._limits.timeout_s)

    async def find(self) -> Sequence[str]:
        """Query, and listen for ``listen_s``.

        Raises ``DiscoveryFailed`` without a network, ``DiscoveryMissing`` without zeroconf.
        """
        multicast = _open(self._interfaces)
        found: dict[str, Sequence[str]] = {}
        pending: set[asyncio.Task[None]] = set()

        def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
            if len(pending) + len(found) < self._limits.endpoints_max and name not in found:
                task = asyncio.ensure_future(self._request(zeroconf, name, found))
                pending.add(task)
                task.add_done_callback(pending.discard)

        from zeroconf.asyncio import AsyncServiceBrowser  # noqa: PLC0415  an optional package

        browser = AsyncServiceBrowser(multicast.zeroconf, [SERVICE], handlers=[changed])
        try:
            await asyncio.sleep(self._listen_s)
        finally:
            await browser.async_cancel()
            for task in tuple(pending):
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            await multicast.async_close()
        return gather((endpoint for name in sorted(found) for endpoint in found[name]), self._limits.endpoints_max)

    def describe(self) -> str:
        """Return the cluster and the protocol."""
        return f"nodes of the cluster {self._cluster} on the local network (multicast DNS)"

    async def _request(self, zeroconf: Zeroconf, name: str, found: dict[str, Sequence[str]]) -> None:
        from zeroconf.asyncio import AsyncServiceInfo  # noqa: PLC0415  an optional package

        info = AsyncServiceInfo(SERVICE, name)
        if await info.async_request(zeroconf, self._listen_s * 1_000):
            found[name] = announced_endpoints(info, self._cluster)


class MulticastAnnouncement:
    """Announces a node on the local network while it is entered: ``async with MulticastAnnouncement(...)``.

    endpoint: ``tcp://ADDRESS:PORT``, with an address of this host, not a name.
    interfaces: as in ``MulticastDiscovery``.
    Raises ``DiscoveryInvalid`` for another kind of endpoint; entering raises as ``find`` does.
    """

    def __init__(self, cluster: str, node: str, endpoint: str, *, interfaces: Sequence[str] = ()) -> None:
        host, self._port = read_host_and_port(read_endpoint(endpoint, ("tcp",)).removeprefix("tcp://"), endpoint)
        try:
            self._address = ipaddress.ip_address(host.strip("[]")).packed
        except ValueError:
            raise DiscoveryInvalid(f"{endpoint} cannot be announced: listen on an address, not on a name") from None
        # A name may be too long for a DNS label: the digest makes the label unique, its readable prefix is for people.
        digest = hashlib.blake2s(f"{cluster}\0{node}".encode(), digest_size=8).hexdigest()
        self._label = f"{''.join(sign if sign.isalnum() else '-' for sign in node[:32])}-{digest}"
        self._properties = {"v": VERSION, "cluster": _checked(cluster)}
        self._interfaces = list(interfaces)
        self._multicast: AsyncZeroconf | None = None

    async def __aenter__(self) -> Self:
        self._multicast = _open(self._interfaces)
        from zeroconf.asyncio import AsyncServiceInfo  # noqa: PLC0415  an optional package

        info = AsyncServiceInfo(
            SERVICE,
            f"{self._label}.{SERVICE}",
            port=self._port,
            addresses=[self._address],
            properties=self._properties,
            server=f"{self._label}.local.",
        )
        try:
            # The label is unique by its digest, so the usual query for conflicts, most of a second, is left out.
            register = self._multicast.async_register_service  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  zeroconf leaves it untyped
            await register(info, cooperating_responders=True)
        except BaseException:
            await self._multicast.async_close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._multicast is not None:
            await self._multicast.async_unregister_all_services()
            await self._multicast.async_close()
            self._multicast = None


def announced_endpoints(info: AsyncServiceInfo, cluster: str) -> tuple[str, ...]:
    """Return the endpoints of an announced service; none for another cluster or another version."""
    properties = info.properties
    if properties.get(b"v") != VERSION.encode() or properties.get(b"cluster") != cluster.encode() or not info.port:
        return ()
    port = info.port
    # An address with a zone, fe80::1%eth0, cannot be dialled from another host.
    return tuple(tcp_endpoint(address, port) for address in info.parsed_scoped_addresses() if "%" not in address)


def _checked(cluster: str) -> str:
    if not cluster or len(cluster.encode()) > CLUSTER_BYTES_MAX:
        raise DiscoveryInvalid(f"the cluster's name must have 1 to {CLUSTER_BYTES_MAX} bytes to be announced")
    return cluster


def _open(interfaces: list[str]) -> AsyncZeroconf:
    try:
        from zeroconf import InterfaceChoice  # noqa: PLC0415  an optional package
        from zeroconf.asyncio import AsyncZeroconf  # noqa: PLC0415  an optional package
    except ImportError as error:
        raise DiscoveryMissing("multicast DNS needs the package zeroconf: pip install 'trouper[mdns]'") from error
    try:
        return AsyncZeroconf(interfaces=interfaces or InterfaceChoice.All)
    except (OSError, RuntimeError) as error:
        raise DiscoveryFailed(f"multicast DNS cannot be used on this host: {error}") from error
