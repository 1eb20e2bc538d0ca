"""A node behind a mapped port: it listens at one endpoint, and other nodes are told another one."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from msgspec.structs import replace

from tests.actors.cluster.stage import PLAIN, found
from trouper import Actor, InvalidOption, Message, Node, handler
from trouper.cluster import ClusterConfig

FOUND_S = 20.0
"""Seconds that only a fault needs."""
MESH = replace(PLAIN, announce=frozenset())


class Ping(Message[int]):
    """The reply is 42."""


class Echo(Actor):
    """Replies."""

    @handler
    def ping(self, msg: Ping) -> int:
        return 42


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Mapping:
    """Forwards a port to another one, as the host of a container does.  connections: how many were made through it."""

    def __init__(self, inner: int) -> None:
        self.inner, self.port, self.connections = inner, _free_port(), 0
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Forward until the end of the block."""
        server = await asyncio.start_server(self._on_connection, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", self.inner)
        for one, other in ((reader, back), (there, writer)):
            task = asyncio.ensure_future(_pump(one, other))
            self._tasks.add(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def _node(
    name: str, listen: str, *join: str, advertise: str | None = None, cluster: ClusterConfig | None = None
) -> Node:
    return Node(name, listen=listen, join=join, advertise=advertise, insecure=True, cluster=cluster)


async def _answers(node: Node, name: str) -> int:
    ref = await node.network.whereis(name, "user/echo")
    assert ref is not None
    return await ref.ask(Ping())


def test_peers_reach_a_node_at_the_endpoint_that_it_advertises() -> None:
    """They are told it in the handshake, and dial it; what they find there is the node."""

    async def main() -> None:
        mapping = Mapping(_free_port())
        told = f"tcp://127.0.0.1:{mapping.port}"
        inside = _node("inside", f"tcp://127.0.0.1:{mapping.inner}", advertise=told)
        async with mapping.running(), inside, _node("outside", "tcp://127.0.0.1:0", told) as outside:
            await inside.spawn(Echo, name="echo")
            async with asyncio.timeout(FOUND_S):
                await outside.network.wait_for_peer("inside")
                assert await _answers(outside, "inside") == 42
            assert inside.network.endpoint == told
            assert mapping.connections == 1

    asyncio.run(main())


def test_a_third_node_reaches_it_by_what_the_cluster_tells() -> None:
    """The third one knows the node outside alone, and hears from it of the one inside."""

    async def main() -> None:
        mapping, outer = Mapping(_free_port()), _free_port()
        told = f"tcp://127.0.0.1:{mapping.port}"
        seed = f"tcp://127.0.0.1:{outer}"
        async with (
            mapping.running(),
            _node("outside", seed, seed, cluster=MESH) as outside,
            _node("inside", f"tcp://*:{mapping.inner}", seed, advertise=told, cluster=MESH) as inside,
            _node("third", "tcp://127.0.0.1:0", seed, cluster=MESH) as third,
        ):
            await inside.spawn(Echo, name="echo")
            async with asyncio.timeout(FOUND_S):
                await third.cluster.wait_for(3)
                assert [found(node, "inside").endpoint for node in (outside, third)] == [told, told]
                assert await _answers(third, "inside") == 42
            assert mapping.connections >= 2

    asyncio.run(main())


def test_the_first_of_the_seeds_knows_itself_by_what_it_advertises() -> None:
    """Although nothing forwards the port, so that it cannot reach itself there."""

    async def main() -> None:
        told = f"tcp://127.0.0.1:{_free_port()}"
        async with _node("a", "tcp://127.0.0.1:0", told, advertise=told, cluster=MESH) as node:
            async with asyncio.timeout(FOUND_S):
                await node.cluster.wait_for(1)

    asyncio.run(main())


def test_a_name_that_is_advertised_is_told_as_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers take no names from others; the node knows itself by the name all the same."""
    look_up = socket.getaddrinfo

    def known(host: str, *rest: Any, **options: Any) -> object:  # Any: what getaddrinfo takes, handed on
        return look_up("127.0.0.1" if host == "inside.example" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", known)

    async def main() -> None:
        name = "tcp://inside.example:7400"
        async with _node("a", "tcp://127.0.0.1:0", name, advertise=name, cluster=MESH) as node:
            assert node.network.endpoint == "tcp://127.0.0.1:7400"
            async with asyncio.timeout(FOUND_S):
                await node.cluster.wait_for(1)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("advertise", "problem"),
    [
        ("sim://a", "the endpoint 'sim://a': no transport of this node knows sim://"),
        ("inprocess://a b", "advertise='inprocess://a b' is told to peers, and they would not take it: the endpoint "),
    ],
)
def test_an_endpoint_that_no_peer_would_take_is_refused_at_the_start(advertise: str, problem: str) -> None:
    """The error names the option, and why."""

    async def main() -> None:
        with pytest.raises(InvalidOption) as caught:
            async with Node("a", listen="inprocess://a", advertise=advertise):
                raise AssertionError("it must not start")
        assert str(caught.value).startswith(problem)

    asyncio.run(main())


def test_an_advertised_endpoint_without_one_to_listen_at_is_refused() -> None:
    """There is nothing behind it."""
    with pytest.raises(InvalidOption, match=r"^advertise='inprocess://a' needs listen: "):
        Node("a", advertise="inprocess://a")
