import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Generator

import pytest

from tests.transports.laws import WAIT_S, Owner
from tests.transports.zeromq.scenes import KEYS, LOOPS, TCP, open_descriptors, play, until
from trouper.runtime.session.transport import EndpointTaken
from trouper.transports.zeromq import ZeroMQTransport, connection_watch
from trouper.transports.zeromq.connection_watch import raise_descriptor_limit

HTTP = b"GET / HTTP/1.1\r\nHost: trouper\r\n\r\n"


@contextlib.contextmanager
def _descriptors(most: int) -> Generator[None]:
    """Allow this process so many descriptors."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _take_descriptors() -> list[int]:
    """Take all descriptors that this process may have."""
    taken: list[int] = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.dup(0))
    return taken


def _close_all(descriptors: list[int], count: int = 1_000) -> None:
    for _ in range(min(count, len(descriptors))):
        os.close(descriptors.pop())


async def _connect(endpoint: str, client: socket.socket) -> None:
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", int(endpoint.rpartition(":")[2])))


async def _has_ended(client: socket.socket) -> bool:
    """Wait until the other end has closed a connection; what it sends before is read."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(WAIT_S):
        try:
            while await loop.sock_recv(client, 1_000):
                continue
        except ConnectionResetError:
            pass
    return True


@pytest.mark.parametrize("loop", LOOPS)
def test_silent_connections_displace_each_other_and_no_peer(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of connections that say nothing the last few stay open; a peer that comes among them is let in."""
    monkeypatch.setattr(connection_watch, "UNVERIFIED_MAX", 10)

    async def scene() -> None:
        b = Owner()
        receiver, sender = ZeroMQTransport(b, keys=KEYS), ZeroMQTransport(Owner(), keys=KEYS)
        endpoint = await receiver.listen(TCP)
        early = sender.connect(endpoint)
        early.send_nowait([b"1"])
        await b.until_frames(1)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.socket()) for _ in range(50)]
            for client in clients:
                await _connect(endpoint, client)
            for client in clients[:40]:
                assert await _has_ended(client)
            assert receiver.rejections.counts["too_many_connections"] == 40
            sender.connect(endpoint).send_nowait([b"2"])
            early.send_nowait([b"3"])
            assert set(await b.until_frames(3)) == {(b"1",), (b"2",), (b"3",)}
        await sender.close()
        await receiver.close()

    play(scene, loop)


@pytest.mark.parametrize("garbage", [HTTP, b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE".ljust(54, b"\0") + bytes(500)])
def test_what_speaks_another_protocol_is_counted_and_named(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Also what ZeroMQ reports nothing of."""

    async def scene() -> None:
        receiver = ZeroMQTransport(Owner(), keys=KEYS)
        endpoint = await receiver.listen(TCP)
        with socket.socket() as client:
            await _connect(endpoint, client)
            await asyncio.get_running_loop().sock_sendall(client, garbage)
            assert await _has_ended(client)
        await until(lambda: receiver.rejections.counts["handshake_failed"] == 1)
        await receiver.close()
        assert receiver.rejections.counts == {"handshake_failed": 1}
        assert len(caplog.messages) == 1
        assert caplog.messages[0].endswith(f"to {endpoint} failed its handshake: it does not speak this protocol")

    play(scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_without_descriptors_connections_are_refused_and_peers_go_on(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that ZeroMQ cannot accept is closed at once, so it stops trying; a peer that is there is served."""
    monkeypatch.setattr(connection_watch, "raise_descriptor_limit", lambda: 100_000)

    async def scene() -> None:
        b = Owner()
        receiver, sender = ZeroMQTransport(b, keys=KEYS), ZeroMQTransport(Owner(), keys=KEYS)
        endpoint = await receiver.listen(TCP)
        wire = sender.connect(endpoint)
        wire.send_nowait([b"1"])
        await b.until_frames(1)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.socket()) for _ in range(30)]
            with _descriptors(len(open_descriptors()) + 100):
                stack.callback(_close_all, taken := _take_descriptors())
                _close_all(taken, 4)
                for client in clients:
                    await _connect(endpoint, client)
                await until(lambda: receiver.rejections.counts["accept_failed"] > 0)
                tasks = [asyncio.create_task(_has_ended(client)) for client in clients]
                # As many may be open as there were descriptors.
                await until(lambda: sum(task.done() for task in tasks) >= 30 - 4)
                for number in range(2, 5):
                    wire.send_nowait([b"%d" % number])
                assert await b.until_frames(4) == [(b"%d" % number,) for number in range(1, 5)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        sender.connect(endpoint).send_nowait([b"newcomer"])
        assert (await b.until_frames(5))[-1] == (b"newcomer",)
        await sender.close()
        await receiver.close()

    play(scene, loop)


def test_a_listener_raises_the_limit_of_descriptors() -> None:
    """Up to what the system allows without further rights; a higher one is left alone."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with _descriptors(300):
        assert raise_descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 300
    if hard > 70_000:
        with _descriptors(70_000):
            assert raise_descriptor_limit() == 70_000


def test_a_listener_that_cannot_be_bound_leaves_nothing_behind() -> None:
    """Neither its descriptor in reserve nor its monitor."""

    async def scene() -> None:
        transport, other = ZeroMQTransport(Owner(), keys=KEYS), ZeroMQTransport(Owner(), keys=KEYS)
        endpoint = await transport.listen(TCP)
        with pytest.raises(EndpointTaken):
            await other.listen(endpoint)
        before = len(open_descriptors())
        for _ in range(5):
            with pytest.raises(EndpointTaken):
                await other.listen(endpoint)
        await until(lambda: len(open_descriptors()) <= before)
        await other.close()
        await transport.close()

    play(scene)
