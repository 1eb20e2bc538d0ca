import asyncio
import contextlib
import os
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import pytest
import zmq

from tests.transports.laws import Owner
from tests.transports.zeromq.scenes import KEYS, LOOPS, TCP, ipc_endpoint, play, until
from trouper.runtime.session.identity import Identity
from trouper.runtime.session.transport import Buffer, Source, TransportLimits
from trouper.transports.keys import KeyPair, KeyRing
from trouper.transports.zeromq import ZeroMQTransport
from trouper.transports.zeromq.wire import BUFFERS_MAX

RANDOM = random.Random(7)
GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: trouper\r\n\r\n",
    "zeros": bytes(1_000),
    "random": RANDOM.randbytes(2_000),
    "greeting and random": b"\xff" + bytes(8) + b"\x7f\x03\x00" + RANDOM.randbytes(2_000),
    "null greeting": b"\xff" + bytes(8) + b"\x7f\x03\x00NULL".ljust(54, b"\0") + b"\xff" * 500,
    "curve greeting": b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE".ljust(54, b"\0") + RANDOM.randbytes(500),
    "huge command": b"\xff" + bytes(8) + b"\x7f\x03\x00NULL".ljust(54, b"\0") + b"\x06" + b"\x7f" * 8,
}


async def _throw(endpoint: str, garbage: bytes) -> None:
    """Send bytes by a plain socket, and wait until the other end has had enough of them."""
    if endpoint.startswith("ipc://"):
        reader, writer = await asyncio.open_unix_connection(endpoint.removeprefix("ipc://"))
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(endpoint.rpartition(":")[2]))
    with contextlib.suppress(OSError):
        writer.write(garbage)
        await writer.drain()
        writer.write_eof()
        await reader.read()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("kind", ["ipc", "open tcp", "tcp"])
def test_garbage_becomes_no_frame_and_everything_else_goes_on(kind: str, garbage: str, tmp_path: Path) -> None:
    """What is no ZeroMQ never becomes a frame; a wire that was there, and one that comes later, work."""

    async def scene() -> None:
        b = Owner()
        keys, insecure = KEYS if kind == "tcp" else None, kind == "open tcp"
        receiver = ZeroMQTransport(b, keys=keys, insecure=insecure)
        sender = ZeroMQTransport(Owner(), keys=keys, insecure=insecure)
        endpoint = await receiver.listen(ipc_endpoint(tmp_path) if kind == "ipc" else TCP)
        wire = sender.connect(endpoint)
        wire.send_nowait([b"before"])
        await b.until_frames(1)
        await _throw(endpoint, GARBAGE[garbage])
        wire.send_nowait([b"after"])
        await b.until_frames(2)
        sender.connect(endpoint).send_nowait([b"newcomer"])
        assert await b.until_frames(3) == [(b"before",), (b"after",), (b"newcomer",)]
        await sender.close()
        await receiver.close()
        assert not receiver.rejections.counts["frame_too_large"]

    play(scene)


class Slow(Owner):
    """Takes so long for a frame that reading gives way to others after each."""

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """``TransportOwner.frame_received``."""
        until_s = perf_counter() + 0.001
        while perf_counter() < until_s:
            continue
        super().frame_received(parts, source)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_listener_that_is_closed_while_frames_wait_reads_no_more(loop: str, tmp_path: Path) -> None:
    """What it had the loop call soon, to give way to others, does not touch the closed socket."""
    problems: list[object] = []

    class Closing(Slow):
        transport: ZeroMQTransport
        closing: asyncio.Future[None] | None = None

        def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
            super().frame_received(parts, source)
            if self.closing is None:
                self.closing = asyncio.ensure_future(self.transport.close())

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        b = Closing()
        sender, b.transport = ZeroMQTransport(Owner()), ZeroMQTransport(b)
        wire = sender.connect(await b.transport.listen(ipc_endpoint(tmp_path)))
        for _ in range(100):
            wire.send_nowait([b"frame"])
        await b.until(lambda: b.closing is not None)
        assert b.closing is not None
        await b.closing
        assert len(b.frames) < 100
        await sender.close()

    play(scene, loop)
    assert problems == []


@pytest.mark.parametrize("loop", LOOPS)
def test_timers_run_while_frames_keep_coming(loop: str, tmp_path: Path) -> None:
    """Reading gives way to the rest of the loop after a while."""

    async def scene() -> None:
        b = Slow()
        sender, receiver = ZeroMQTransport(Owner()), ZeroMQTransport(b)
        wire = sender.connect(await receiver.listen(ipc_endpoint(tmp_path)))
        wire.send_nowait([b"first"])
        await b.until_frames(1)
        for _ in range(200):
            assert wire.send_nowait([b"x"])
        seen: list[int] = []

        def look() -> None:
            seen.append(len(b.frames))
            if len(b.frames) <= 200:
                asyncio.get_running_loop().call_later(0.001, look)

        look()
        await b.until_frames(201)
        assert len(seen) >= 10
        assert max(later - earlier for earlier, later in pairwise(seen)) <= 50
        await sender.close()
        await receiver.close()

    play(scene, loop)


def test_large_buffers_come_without_a_copy(tmp_path: Path) -> None:
    """They are contiguous views of single bytes that may be kept; small ones are bytes."""

    class Keeping(Owner):
        def __init__(self) -> None:
            super().__init__()
            self.kept: list[Buffer] = []

        def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
            self.kept += parts
            super().frame_received(parts, source)

    async def scene() -> None:
        b = Keeping()
        sender, receiver = ZeroMQTransport(Owner()), ZeroMQTransport(b)
        wire = sender.connect(await receiver.listen(ipc_endpoint(tmp_path)))
        sent = [RANDOM.randbytes(200_000), b"small", RANDOM.randbytes(65_536)]
        for _ in range(20):
            wire.send_nowait(sent)
        await b.until_frames(20)
        await sender.close()
        await receiver.close()
        assert b.kept == sent * 20
        assert [type(part) for part in b.kept[:3]] == [memoryview, bytes, memoryview]
        assert [(part.format, part.contiguous) for part in b.kept if isinstance(part, memoryview)] == [("B", True)] * 40

    play(scene)


def test_a_frame_too_large_in_all_is_dropped_and_counted(tmp_path: Path) -> None:
    """Buffers that are small enough each may be too much together; the next frame comes through."""

    async def scene() -> None:
        b = Owner()
        sender, receiver = ZeroMQTransport(Owner()), ZeroMQTransport(b, TransportLimits(frame_bytes_max=2_000))
        wire = sender.connect(await receiver.listen(ipc_endpoint(tmp_path)))
        wire.send_nowait([bytes(900)] * 3)
        wire.send_nowait([bytes(1_000)] * 2)
        assert await b.until_frames(1) == [(bytes(1_000), bytes(1_000))]
        assert receiver.rejections.counts == {"frame_too_large": 1}
        await sender.close()
        await receiver.close()

    play(scene)


@pytest.mark.parametrize("kind", ["ipc", "tcp"])
def test_a_sender_of_a_buffer_too_large_is_hung_up_on(kind: str, tmp_path: Path) -> None:
    """It is not read to its end; the sender hears of the break, and goes on with another connection."""

    async def scene() -> None:
        a, b = Owner(), Owner()
        sender = ZeroMQTransport(a, keys=KEYS)
        receiver = ZeroMQTransport(b, TransportLimits(frame_bytes_max=2_000), KEYS)
        wire = sender.connect(await receiver.listen(ipc_endpoint(tmp_path) if kind == "ipc" else TCP))
        wire.send_nowait([b"before"])
        await b.until_frames(1)
        wire.send_nowait([bytes(500_000)])
        await a.until(lambda: bool(a.lost))
        wire.send_nowait([bytes(2_000)])
        assert await b.until_frames(2) == [(b"before",), (bytes(2_000),)]
        await sender.close()
        await receiver.close()

    play(scene)


def _stranger(kind: int, pair: KeyPair, **options: bytes) -> tuple[zmq.Context[zmq.Socket[bytes]], zmq.Socket[bytes]]:
    """A socket of another program that has a key."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = context.socket(kind)
    made.set(zmq.LINGER, 0)
    made.set(zmq.CURVE_SERVERKEY, KEYS.cluster.public.encode())
    made.set(zmq.CURVE_PUBLICKEY, pair.public.encode())
    made.set(zmq.CURVE_SECRETKEY, pair.secret.encode())
    for name, value in options.items():
        made.set(getattr(zmq, name), value)
    return context, made


def test_a_peer_is_known_by_its_key() -> None:
    """Two peers with keys of their own are told apart by these."""

    async def scene() -> None:
        first, second = KeyPair.make(), KeyPair.make()
        ring = KeyRing(KEYS.cluster, allowed={key.public: Identity(key.public) for key in (first, second)})
        b = Owner()
        receiver = ZeroMQTransport(b, keys=ring)
        endpoint = await receiver.listen(TCP)
        for count, pair in enumerate((first, second), 1):
            context, push = _stranger(zmq.PUSH, pair)
            push.connect(endpoint)
            push.send(os.urandom(4))
            await b.until_frames(count)
            push.close()
            await asyncio.to_thread(context.term)
        assert [source.identity for source in b.sources] == [first.public, second.public]
        await receiver.close()

    play(scene)


@pytest.mark.parametrize("name", [b"me", b"\0\0\0\0\1"])
def test_a_connection_cannot_choose_its_name(name: bytes) -> None:
    """Of two that ask for one name, or for one as ZeroMQ makes them itself, neither is in the way of the other.

    A listener that knew its connections by name would end the process for the second kind of name.
    """

    async def scene() -> None:
        b = Owner()
        receiver = ZeroMQTransport(b, keys=KEYS)
        endpoint = await receiver.listen(TCP)
        strangers = [_stranger(kind, KEYS.cluster) for kind in (zmq.DEALER, zmq.DEALER, zmq.REQ, zmq.ROUTER)]
        for _, socket in strangers:
            socket.set(zmq.ROUTING_ID, name)
            socket.connect(endpoint)
        await until(lambda: receiver.rejections.counts["handshake_failed"] >= 4)
        sender = ZeroMQTransport(Owner(), keys=KEYS)
        sender.connect(endpoint).send_nowait([b"honest"])
        assert await b.until_frames(1) == [(b"honest",)]
        for context, socket in strangers:
            socket.close()
            await asyncio.to_thread(context.term)
        await sender.close()
        await receiver.close()

    play(scene)


def test_a_frame_of_many_buffers_does_not_hold_the_loop(tmp_path: Path) -> None:
    """Buffers beyond those that a frame can have are dropped; the loop goes on while they are read."""

    async def scene() -> None:
        b = Owner()
        sender, receiver = ZeroMQTransport(Owner()), ZeroMQTransport(b)
        wire = sender.connect(await receiver.listen(ipc_endpoint(tmp_path)))
        wire.send_nowait([b""] * 300_000)
        wire.send_nowait([b"x"] * BUFFERS_MAX)
        passes = 0

        async def count() -> None:
            nonlocal passes
            while True:
                passes += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await until(lambda: receiver.rejections.counts["frame_too_large"] == 1)
        assert passes >= 20
        assert await b.until_frames(1) == [(b"x",) * BUFFERS_MAX]
        counting.cancel()
        await sender.close()
        await receiver.close()

    play(scene)
