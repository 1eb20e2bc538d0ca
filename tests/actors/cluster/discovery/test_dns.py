import asyncio
import builtins
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from trouper.actors.cluster.discovery.dns import AddressDiscovery, ServiceDiscovery
from trouper.actors.cluster.discovery.port import DiscoveryFailed, DiscoveryInvalid, DiscoveryLimits, DiscoveryMissing
from trouper.testing import virtual_time

SERVICE = "_trouper._tcp.example.org"
Lookup = Callable[..., object]


async def _resolving(found: Sequence[str]) -> list[tuple[object, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 7400)) for address in found]


def _resolve_to(monkeypatch: pytest.MonkeyPatch, lookup: Lookup) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup, raising=False)


@virtual_time
async def test_every_address_of_a_name_is_an_endpoint() -> None:
    """Each address comes once with the port; one with a zone means something on this host only."""
    with pytest.MonkeyPatch.context() as patch:
        answer = ["10.0.0.5", "10.0.0.5", "::1", "fe80::1%eth0"]
        _resolve_to(patch, lambda *_, **__: _resolving(answer))
        assert await AddressDiscovery("nodes", 7400).find() == ("tcp://10.0.0.5:7400", "tcp://[::1]:7400")
        few = AddressDiscovery("nodes", 7400, limits=DiscoveryLimits(endpoints_max=1))
        assert await few.find() == ("tcp://10.0.0.5:7400",)


@virtual_time
async def test_a_name_without_an_answer_is_a_failure() -> None:
    """An unknown name, and a name server that does not answer, are said with the name."""
    with pytest.MonkeyPatch.context() as patch:

        async def unknown(*_: object, **__: object) -> list[object]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        _resolve_to(patch, unknown)
        nodes = AddressDiscovery("nodes", 7400)
        with pytest.raises(DiscoveryFailed, match=r"^the addresses of nodes \(port 7400\): .*not known$"):
            await nodes.find()
        _resolve_to(patch, lambda *_, **__: asyncio.Event().wait())
        with pytest.raises(DiscoveryFailed, match=r"no answer within 5.0 s$"):
            await nodes.find()


def test_the_loopback_has_a_name() -> None:
    """The operating system is asked, so that its own table of hosts counts."""
    found = asyncio.run(AddressDiscovery("localhost", 7400).find())
    assert set(found) & {"tcp://127.0.0.1:7400", "tcp://[::1]:7400"}


def test_an_address_is_its_own_answer() -> None:
    """Brackets are for endpoints, not for the look-up."""
    assert asyncio.run(AddressDiscovery("[::1]", 7400).find()) == ("tcp://[::1]:7400",)


class NameServer(asyncio.DatagramProtocol):
    """Answers from a table of names; stays silent for others."""

    def __init__(self, records: Mapping[str, Sequence[str] | None]) -> None:
        self.records = records

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # not of that class before Python 3.12

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        from dns import flags, message, rcode, rrset

        query = message.from_wire(data)
        name = query.question[0].name
        answer = message.make_response(query)
        answer.flags |= flags.RA
        texts = self.records.get(name.to_text(omit_final_dot=True), ())
        if texts is None:
            answer.set_rcode(rcode.NXDOMAIN)
        elif texts:
            answer.answer.append(rrset.from_text(name, 60, "IN", "SRV", *texts))
        else:
            return
        self.transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def name_server(records: Mapping[str, Sequence[str] | None]) -> AsyncGenerator[int]:
    """A name server on the loopback; gives its port."""
    pytest.importorskip("dns", reason="SRV records need dnspython")
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(records), local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def _find(records: Mapping[str, Sequence[str] | None], limits: DiscoveryLimits | None = None) -> Sequence[str]:
    async with name_server(records) as port:
        return await ServiceDiscovery(SERVICE, nameservers=["127.0.0.1"], nameserver_port=port, limits=limits).find()


def test_service_records_are_taken_by_priority_and_weight() -> None:
    """RFC 2782: the lowest priority first; a target of "." means that there is no such service."""
    records = {SERVICE: ["20 0 7400 c.example.org.", "10 1 7401 b.example.org.", "10 5 7402 a.example.org.", "0 0 1 ."]}
    found = asyncio.run(_find(records))
    assert found == ("tcp://a.example.org:7402", "tcp://b.example.org:7401", "tcp://c.example.org:7400")


def test_service_records_that_are_no_endpoints_are_left_out() -> None:
    """Port 0, and a target that is no host, cannot be dialled."""
    assert asyncio.run(_find({SERVICE: ["1 1 0 a.example.org.", r"1 1 1 a\;b.", "1 1 2 b."]})) == ("tcp://b:2",)


def test_a_service_without_records_is_a_failure() -> None:
    """A name that is not there is said with the name."""
    with pytest.raises(DiscoveryFailed, match=rf"^the SRV records of {SERVICE}: there are none$"):
        asyncio.run(_find({SERVICE: None}))


def test_a_name_server_that_is_silent_is_a_failure() -> None:
    """The limit of the whole look-up is the discovery's."""
    with pytest.raises(DiscoveryFailed, match=f"^the SRV records of {SERVICE}: "):
        asyncio.run(_find({}, DiscoveryLimits(timeout_s=0.05)))


def test_a_bad_name_is_refused_at_once() -> None:
    """A typing error shows where it was made."""
    for make in (lambda: ServiceDiscovery("a b"), lambda: AddressDiscovery("a b", 1)):
        with pytest.raises(DiscoveryInvalid, match="'a b' is not a host"):
            make()


@virtual_time
async def test_without_the_package_the_extra_is_named() -> None:
    """A node that lacks dnspython says how to get it."""
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.partition(".")[0] == "dns":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  passed on as it came

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "__import__", without)
        with pytest.raises(DiscoveryMissing, match=r"pip install 'trouper\[dns\]'$"):
            await ServiceDiscovery(SERVICE).find()
