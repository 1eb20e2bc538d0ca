import asyncio
import contextlib
import socket
import sys

import pytest

from tests.transports.laws import Owner
from tests.transports.zeromq.scenes import KEYS, TCP, play, until
from trouper.transports.zeromq import ZeroMQTransport, connection_watch
from trouper.transports.zeromq.source_filter import NETWORKS_MAX, program, set_source_filter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the filter is one of Linux")
HTTP = b"GET / HTTP/1.1\r\nHost: trouper\r\n\r\n"


def _connects(listening: socket.socket, source: str) -> bool:
    """Whether a connection is accepted at once."""
    with socket.socket(listening.family) as client:
        client.bind((source, 0))
        client.settimeout(0.05)
        try:
            client.connect(listening.getsockname()[:2])
        except TimeoutError:
            return False
        return True


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::"])
def test_connections_of_a_network_are_dropped_and_others_are_not(host: str) -> None:
    """Of IPv4 by address, of IPv6 by its first 64 bits, also where one socket takes both; until the filter ends."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
        try:
            if host == "::":
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listening.bind((host, 0))
        except OSError as error:
            pytest.skip(f"this host has no IPv6: {error}")
        listening.listen(100)
        sources = ["::1"] if ":" in host else ["127.0.0.2", "127.0.0.3"]
        blocked = "::/64" if ":" in host else "127.0.0.2"
        assert all(_connects(listening, source) for source in sources)
        set_source_filter(listening, {"10.1.2.3", "2001:db8::/64", blocked})
        assert [_connects(listening, source) for source in sources] == [False, True][: len(sources)]
        set_source_filter(listening, {"10.1.2.3", "2001:db8::/64", "127.0.0.9", "2001:db8:0:1::/64"})
        assert all(_connects(listening, source) for source in sources)
        set_source_filter(listening, {blocked})
        set_source_filter(listening, ())
        assert all(_connects(listening, source) for source in sources)


def test_as_many_networks_fit_as_are_blocked() -> None:
    """The system takes a filter of so many steps."""
    networks = [f"10.0.0.{number}" for number in range(NETWORKS_MAX // 2)]
    networks += [f"2001:db8:0:{number:x}::/64" for number in range(NETWORKS_MAX // 2)]
    assert len(program(networks)) // 8 < 4_096
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(10)
        set_source_filter(listening, networks)
        assert _connects(listening, "127.0.0.1")


def test_a_network_whose_handshakes_fail_is_blocked_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not while a peer of it is connected, and its next connections are accepted after the window."""
    monkeypatch.setattr(connection_watch, "FAILURES_MAX", 3)

    async def scene() -> None:
        b = Owner()
        receiver, sender = ZeroMQTransport(b, keys=KEYS), ZeroMQTransport(Owner(), keys=KEYS)
        endpoint = await receiver.listen(TCP)
        sender.connect(endpoint).send_nowait([b"1"])
        await b.until_frames(1)
        counts = receiver.rejections.counts
        for _ in range(10):
            await _throw(endpoint, "127.0.0.1")
        await until(lambda: counts["handshake_failed"] == 10)
        assert counts["blocked"] == 0, "a peer of this address is connected"
        while not counts["blocked"]:  # of a connection that has ended by the time it is looked at there is no address
            await _throw(endpoint, "127.0.0.2")
        before = counts["handshake_failed"]
        await _throw(endpoint, "127.0.0.2")  # the system tries again each second, and the window has ended then
        await until(lambda: counts["handshake_failed"] > before)
        sender.connect(endpoint).send_nowait([b"2"])
        assert await b.until_frames(2) == [(b"1",), (b"2",)]
        await sender.close()
        await receiver.close()

    async def _throw(endpoint: str, address: str) -> None:
        port = int(endpoint.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        with contextlib.suppress(OSError):
            writer.write(HTTP)
            await writer.drain()
            await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    play(scene)
