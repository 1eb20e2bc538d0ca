import asyncio
import contextlib
import errno
import socket
from pathlib import Path

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.transports.laws import Owner
from tests.transports.zeromq.scenes import KEYS, LOOPS, TCP, ipc_endpoint, play, until
from trouper.runtime.session.transport import TransportClosed, TransportFailed, TransportLimits, Wire
from trouper.transports.keys import KeyPair, KeyRing
from trouper.transports.zeromq import ZeroMQTransport
from trouper.transports.zeromq import wire as wire_module
from trouper.transports.zeromq.sockets import Sockets

QUICK = TransportLimits(linger_s=0.1)


class LazyPeer:
    """A listener of plain ZeroMQ that has room for one frame, and reads only when a test reads from it."""

    def __init__(self, endpoint: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._pull = self._context.socket(zmq.PULL)
        self._pull.set(zmq.RCVHWM, 1)
        self._pull.bind(endpoint)

    async def read(self, count: int) -> list[list[bytes]]:
        """The next so many frames."""
        frames: list[list[bytes]] = []
        while len(frames) < count:
            try:
                frames.append(self._pull.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                await asyncio.sleep(0)
        return frames

    async def close(self) -> None:
        """End."""
        self._pull.close(linger=0)
        await asyncio.to_thread(self._context.term)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_peer_that_does_not_read_pushes_back(loop: str, tmp_path: Path) -> None:
    """Law 3: the wire says no, and once the peer reads everything that was taken arrives, in order, and it has room."""

    async def scene() -> None:
        a = Owner()
        transport = ZeroMQTransport(a, TransportLimits(queue_frames_max=50, linger_s=0.1))
        endpoint = ipc_endpoint(tmp_path)
        peer = LazyPeer(endpoint)
        wire = transport.connect(endpoint)
        read: list[list[bytes]] = []
        taken = 0
        for _ in range(3):
            while wire.send_nowait([str(taken).encode(), bytes(20_000)]):
                taken += 1
            assert a.ready == []
            while not a.ready:
                read += await peer.read(1)
            assert a.ready == [wire]
            a.ready.clear()
        assert taken > 50
        read += await peer.read(taken - len(read))
        assert read == [[str(number).encode(), bytes(20_000)] for number in range(taken)]
        await transport.close()
        await peer.close()

    play(scene, loop)


def test_a_frame_that_may_be_lost_waits_for_no_other_frame(tmp_path: Path) -> None:
    """A full wire takes it, since it goes over a connection of its own; it is dropped while there is no connection."""

    async def scene() -> None:
        a = Owner()
        transport = ZeroMQTransport(a, TransportLimits(queue_frames_max=50, linger_s=0.1))
        endpoint = ipc_endpoint(tmp_path)
        peer = LazyPeer(endpoint)
        wire = transport.connect(endpoint)
        assert not wire.send_nowait([b"early"], reliable=False), "nothing waits for a connection"
        wire.send_nowait([b"connected", b""])
        assert await peer.read(1) == [[b"connected", b""]]
        taken = 0
        while wire.send_nowait([str(taken).encode(), bytes(20_000)]):
            taken += 1
        for number in range(11):
            assert wire.send_nowait([str(number).encode()], reliable=False)
        read = await peer.read(taken + 11)
        assert [frame[0] for frame in read if len(frame) == 1] == [str(number).encode() for number in range(11)]
        await transport.close()
        await peer.close()

    play(scene, "asyncio")


def test_a_wire_to_nobody_holds_what_its_limits_say(tmp_path: Path) -> None:
    """Without a connection it takes so many frames, or so many bytes and a frame that goes beyond, and no more."""

    async def scene() -> None:
        transport = ZeroMQTransport(Owner(), TransportLimits(queue_frames_max=7, queue_bytes_max=100, linger_s=0.1))
        by_frames = transport.connect(ipc_endpoint(tmp_path))
        assert [by_frames.send_nowait([b"x"]) for _ in range(9)] == [True] * 7 + [False] * 2
        by_bytes = transport.connect(ipc_endpoint(tmp_path))
        assert [by_bytes.send_nowait([bytes(33)]) for _ in range(5)] == [True] * 4 + [False]
        await transport.close()

    play(scene)


def test_large_frames_fill_a_wire_sooner_than_small_ones(tmp_path: Path) -> None:
    """To a peer that does not read, what ZeroMQ holds beside the wire's own queue is bounded in bytes too."""

    async def scene() -> None:
        a = Owner()
        transport = ZeroMQTransport(a, TransportLimits(queue_bytes_max=10_000_000, linger_s=0.1))
        endpoint = ipc_endpoint(tmp_path)
        peer = LazyPeer(endpoint)
        wire = transport.connect(endpoint)
        wire.send_nowait([b"first"])
        assert await peer.read(1) == [[b"first"]]
        large = bytes(1_000_000)
        taken = 0
        while wire.send_nowait([large]):
            taken += 1
            await asyncio.sleep(0)
        assert 10 <= taken <= 30
        while not a.ready:
            assert await peer.read(1) == [[large]]
            taken -= 1
        assert wire.send_nowait([b"small"])
        assert await peer.read(taken + 1) == [[large]] * taken + [[b"small"]]
        small = 0
        while wire.send_nowait([b"small"]):
            small += 1
        assert small > 1_000
        await transport.close()
        await peer.close()

    play(scene)


def test_a_wire_that_is_closed_lingers_as_long_as_it_may(tmp_path: Path) -> None:
    """What cannot be sent is dropped after ``linger_s``, and nothing is called back."""

    async def scene() -> None:
        a = Owner()
        transport = ZeroMQTransport(a, QUICK)
        wire = transport.connect(ipc_endpoint(tmp_path))
        wire.send_nowait([b"to nobody"])
        wire.close()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await transport.close()
        assert 0.05 < loop.time() - begun < 5
        assert (a.ready, a.lost) == ([], [])

    play(scene)


def test_a_wire_that_has_long_been_without_its_peer_does_not_linger(tmp_path: Path) -> None:
    """The time runs from the end of the connection: who has said goodbye in vain need not wait again."""

    async def scene() -> None:
        transport = ZeroMQTransport(Owner(), QUICK)
        wire = transport.connect(ipc_endpoint(tmp_path))
        wire.send_nowait([b"to nobody"])
        loop = asyncio.get_running_loop()
        down_at = loop.time()
        await until(lambda: loop.time() > down_at + 2 * QUICK.linger_s)
        wire.close()
        assert wire.ended.done()
        await transport.close()

    play(scene)


def test_a_wire_that_is_closed_still_waits_for_its_peer(tmp_path: Path) -> None:
    """A listener that comes while the wire lingers gets what was taken before."""

    async def scene() -> None:
        b = Owner()
        sender, receiver = ZeroMQTransport(Owner()), ZeroMQTransport(b)
        endpoint = ipc_endpoint(tmp_path)
        wire = sender.connect(endpoint)
        for number in range(50):
            wire.send_nowait([bytes([number])])
        wire.close()
        await receiver.listen(endpoint)
        assert await b.until_frames(50) == [(bytes([number]),) for number in range(50)]
        await sender.close()
        await receiver.close()

    play(scene)


def test_an_owner_may_close_the_wire_while_it_is_told(tmp_path: Path) -> None:
    """A wire that is closed in a callback says nothing more, and still sends what it has taken."""

    class Leaving(Owner):
        def wire_ready(self, wire: Wire) -> None:
            wire.close()
            super().wire_ready(wire)

    async def scene() -> None:
        a, b = Leaving(), Owner()
        sender, receiver = ZeroMQTransport(a, TransportLimits(queue_frames_max=5)), ZeroMQTransport(b)
        wire = sender.connect(await receiver.listen(ipc_endpoint(tmp_path)))
        while wire.send_nowait([b"x"]):
            continue
        await a.until(lambda: bool(a.ready))
        with pytest.raises(TransportClosed, match=r"^the wire to .* is closed$"):
            wire.send_nowait([b"x"])
        await sender.close()
        assert len(await b.until_frames(5)) == 5
        await receiver.close()

    play(scene)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 8, b"", b"\xff" + bytes(300)])
@pytest.mark.parametrize("keys", [KEYS, None])
def test_a_wire_outlives_a_listener_of_another_kind(answer: bytes, keys: KeyRing | None) -> None:
    """Whatever answers at its endpoint, the wire tries again, with a pause, until the right one does."""

    async def scene() -> None:
        visits = 0
        came = asyncio.Event()

        async def answer_wrongly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal visits
            visits += 1
            writer.write(answer)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            writer.close()
            if visits >= 3:
                came.set()

        stranger = await asyncio.start_server(answer_wrongly, "127.0.0.1", 0)
        endpoint = f"tcp://127.0.0.1:{stranger.sockets[0].getsockname()[1]}"
        a, b = Owner(), Owner()
        sender = ZeroMQTransport(a, keys=keys, insecure=keys is None)
        wire = sender.connect(endpoint)
        wire.send_nowait([b"for the right one"])
        await came.wait()
        stranger.close()
        await stranger.wait_closed()
        receiver = ZeroMQTransport(b, keys=keys, insecure=keys is None)
        await receiver.listen(endpoint)
        assert await b.until_frames(1) == [(b"for the right one",)]
        assert 2 <= sender.rejections.counts["handshake_failed"] <= 20
        reasons = [reason for _, reason in a.lost]
        assert wire_module.NOT_CONNECTED not in reasons[:1]
        assert len(reasons) == len(set(reasons))
        await sender.close()
        await receiver.close()

    play(scene)


def test_a_wire_outlives_a_listener_with_other_keys(caplog: pytest.LogCaptureFixture) -> None:
    """A listener of another cluster gets nothing; once the right one listens, the wire sends what it has kept."""

    async def scene() -> None:
        wrong, right = Owner(), Owner()
        impostor = ZeroMQTransport(wrong, keys=KeyRing(KeyPair.make()))
        endpoint = await impostor.listen(TCP)
        sender = ZeroMQTransport(Owner(), keys=KEYS)
        sender.connect(endpoint).send_nowait([b"secret"])
        await until(lambda: sender.rejections.counts["handshake_failed"] >= 2)
        await impostor.close()
        assert wrong.frames == []
        receiver = ZeroMQTransport(right, keys=KEYS)
        await receiver.listen(endpoint)
        assert await right.until_frames(1) == [(b"secret",)]
        text = f"no connection to {endpoint}: it hung up or was silent, as one does that has other keys"
        assert caplog.messages.count(text) == 1
        await sender.close()
        await receiver.close()

    play(scene)


def test_a_wire_that_cannot_get_a_socket_says_so_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``connect`` raises; a wire that has to dial again is patient, and goes on once there are sockets."""

    async def scene() -> None:
        a, b = Owner(), Owner()
        sender, receiver = ZeroMQTransport(a), ZeroMQTransport(b)
        endpoint = await receiver.listen(ipc_endpoint(tmp_path))
        wire = sender.connect(endpoint)
        wire.send_nowait([b"x"])
        await b.until_frames(1)

        def refuse(*_: object) -> None:
            raise zmq.ZMQError(errno.EMFILE)

        monkeypatch.setattr(wire_module, "RETRY_MAX_S", 0.01)
        for step in ("push", "inner"):
            with monkeypatch.context() as patch:
                patch.setattr(Sockets, step, refuse)
                with pytest.raises(TransportFailed, match=rf"^cannot connect to {endpoint}: Too many open files$"):
                    sender.connect(endpoint)
        with monkeypatch.context() as patch:
            patch.setattr(Sockets, "push", refuse)
            await receiver.close()
            await until(lambda: sender.rejections.counts["dial_failed"] >= 2)
        again = ZeroMQTransport(b)
        await again.listen(endpoint)
        wire.send_nowait([b"y"])
        assert await b.until_frames(2) == [(b"x",), (b"y",)]
        await sender.close()
        await again.close()

    play(scene)


@given(frames=st.lists(st.lists(st.binary(max_size=50), min_size=1, max_size=5), min_size=1, max_size=20))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_arrives_as_it_was(tmp_path: Path, frames: list[list[bytes]]) -> None:
    """Laws 1 and 2, for frames of any shape."""

    async def scene() -> None:
        b = Owner()
        sender, receiver = ZeroMQTransport(Owner()), ZeroMQTransport(b)
        wire = sender.connect(await receiver.listen(ipc_endpoint(tmp_path)))
        for frame in frames:
            assert wire.send_nowait(frame)
        assert await b.until_frames(len(frames)) == [tuple(frame) for frame in frames]
        await sender.close()
        await receiver.close()

    play(scene)


@pytest.mark.parametrize("endpoint", ["ipc", "tcp"])
def test_a_wire_says_why_it_is_not_connected(endpoint: str, tmp_path: Path) -> None:
    """Once, however often it tries: nothing listens at the path or at the port."""

    async def scene() -> None:
        owner = Owner()
        transport = ZeroMQTransport(owner, QUICK, KEYS)
        with socket.socket() as taken:  # bound, and not listening: connections are refused
            taken.bind(("127.0.0.1", 0))
            nobody = ipc_endpoint(tmp_path) if endpoint == "ipc" else f"tcp://127.0.0.1:{taken.getsockname()[1]}"
            wire = transport.connect(nobody)
            await owner.until(lambda: bool(owner.lost))
        assert owner.lost == [(wire, wire_module.NOT_CONNECTED)]
        await transport.close()

    play(scene)
