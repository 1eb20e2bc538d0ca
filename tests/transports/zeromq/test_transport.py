import asyncio
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Final

import pytest

from tests.transports.laws import Owner, Scene, TransportLaws
from tests.transports.zeromq.scenes import KEYS, LOOPS, TCP, ipc_endpoint, open_descriptors, play
from trouper.runtime.kernel.errors import InvalidOption
from trouper.runtime.session.identity import SAME_USER
from trouper.runtime.session.transport import EndpointTaken, Transport, TransportFailed, TransportLimits
from trouper.transports.keys import KeysMissing
from trouper.transports.zeromq import ZeroMQTransport

BAD: Final = (*TransportLaws.bad_endpoints, "ipc://", "ipc://a/b", "ipc://@a", "tcp://", "tcp://a", "tcp://a:x")


class Ipc(TransportLaws):
    """The laws over sockets in a folder."""

    bad_endpoints = BAD
    loop = "asyncio"
    folder: Path

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def play(self, scene: Scene) -> None:
        play(scene, self.loop)

    def make(self, owner: Owner, limits: TransportLimits | None = None) -> Transport:
        return ZeroMQTransport(owner, limits)

    def endpoint(self, name: str) -> str:
        return ipc_endpoint(self.folder)


class Tcp(Ipc):
    """The laws over encrypted connections.  Another port is found for each endpoint."""

    def make(self, owner: Owner, limits: TransportLimits | None = None) -> Transport:
        return ZeroMQTransport(owner, limits, KEYS)

    def endpoint(self, name: str) -> str:
        return f"tcp://127.0.0.1:{1 if name == 'closed' else 0}"


class TestIpcOnAsyncio(Ipc):
    loop = "asyncio"


class TestIpcOnUvloop(Ipc):
    loop = "uvloop"


class TestTcpOnAsyncio(Tcp):
    loop = "asyncio"


class TestTcpOnUvloop(Tcp):
    loop = "uvloop"


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    """The name of each kind of loop."""
    return str(request.param)


@pytest.mark.parametrize("scheme", ["ipc", "tcp"])
def test_a_wire_mends_itself_when_its_peer_comes_back(scheme: str, loop: str, tmp_path: Path) -> None:
    """Law 4: it is lost once, takes frames meanwhile, and sends them, in order, to the node that listens there next."""

    async def scene() -> None:
        a, b, c = Owner(), Owner(), Owner()
        sender, receiver = ZeroMQTransport(a, keys=KEYS), ZeroMQTransport(b, keys=KEYS)
        endpoint = await receiver.listen(TCP if scheme == "tcp" else ipc_endpoint(tmp_path))
        wire = sender.connect(endpoint)
        wire.send_nowait([b"before"])
        await b.until_frames(1)
        await receiver.close()
        await a.until(lambda: bool(a.lost))
        assert a.lost == [(wire, "the peer hung up, or cannot be reached any more")]
        sent = [(str(number).encode(),) for number in range(100)]
        for frame in sent:
            assert wire.send_nowait(frame)
        again = ZeroMQTransport(c, keys=KEYS)
        assert await again.listen(endpoint) == endpoint
        assert await c.until_frames(100) == sent
        assert "the peer hung up, or cannot be reached any more" not in [reason for _, reason in a.lost[1:]]
        await sender.close()
        await again.close()

    play(scene, loop)


def test_two_hundred_wires_leave_nothing_behind(tmp_path: Path) -> None:
    """After the transports are closed, every descriptor and every file is gone."""

    async def scene() -> None:
        warm = ZeroMQTransport(Owner(), keys=KEYS)  # for what libraries open once and keep
        warm.connect(await warm.listen(TCP)).send_nowait([bytes(100_000)])
        await warm.close()
        before = open_descriptors()
        b = Owner()
        sender, receiver = ZeroMQTransport(Owner(), keys=KEYS), ZeroMQTransport(b, keys=KEYS)
        endpoints = [await receiver.listen(ipc_endpoint(tmp_path)), await receiver.listen(TCP)]
        wires = [sender.connect(endpoints[number % 2]) for number in range(200)]
        for wire in wires:
            assert wire.send_nowait([b"x"])
        await b.until_frames(200)
        assert {source.identity for source in b.sources} == {SAME_USER, KEYS.cluster.public}
        for wire in wires[::2]:
            wire.close()
        await sender.close()
        await receiver.close()
        assert open_descriptors() == before

    play(scene)
    assert list(tmp_path.iterdir()) == []


def test_a_name_alone_is_a_socket_in_the_users_own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``ipc://NAME`` and ``ipc://*`` lie below ``$XDG_RUNTIME_DIR``, in a folder that nobody else can enter."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    async def scene() -> None:
        b = Owner()
        transport = ZeroMQTransport(b)
        assert await transport.listen("ipc://a") == f"ipc://{tmp_path}/trouper/a"
        anywhere = await transport.listen("ipc://*")
        assert anywhere.startswith(f"ipc://{tmp_path}/trouper/")
        assert stat.S_IMODE((tmp_path / "trouper").stat().st_mode) == 0o700
        for endpoint in ("ipc://a", anywhere):
            transport.connect(endpoint).send_nowait([endpoint.encode()])
        await b.until_frames(2)
        await transport.close()

    play(scene)


def test_a_port_is_taken_once() -> None:
    """The first node that listens on a port keeps it; the second is told so."""

    async def scene() -> None:
        first, second = ZeroMQTransport(Owner(), keys=KEYS), ZeroMQTransport(Owner(), keys=KEYS)
        endpoint = await first.listen(TCP)
        with pytest.raises(EndpointTaken, match=rf"^{endpoint} is taken by another listener$"):
            await second.listen(endpoint)
        with pytest.raises(TransportFailed, match=r"^cannot listen on tcp://192\.0\.2\.1:7400: "):
            await second.listen("tcp://192.0.2.1:7400")
        await first.close()
        await second.close()

    play(scene)


def test_tcp_without_keys_has_to_be_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """It is refused with what to do; ``insecure=True`` allows it, and each endpoint is warned of by name."""

    async def scene() -> None:
        careful = ZeroMQTransport(Owner())
        with pytest.raises(KeysMissing, match=rf"^{TCP}: tcp wants keys; make them by `trouper keygen`, "):
            await careful.listen(TCP)
        with pytest.raises(KeysMissing, match=r"^tcp://127\.0\.0\.1:7400: tcp wants keys; "):
            careful.connect("tcp://127.0.0.1:7400")
        await careful.close()
        assert caplog.messages == []
        b = Owner()
        bold = ZeroMQTransport(b, insecure=True)
        endpoint = await bold.listen(TCP)
        bold.connect(endpoint).send_nowait([b"x"])
        await b.until_frames(1)
        assert b.sources[0].identity is None
        insecure = "is insecure: no key is asked for, and nothing is encrypted"
        assert caplog.messages == [f"{TCP} {insecure}", f"{endpoint} {insecure}"]
        await bold.close()
        with pytest.raises(InvalidOption, match=r"^insecure=True is for a node without keys; "):
            ZeroMQTransport(Owner(), keys=KEYS, insecure=True)

    play(scene)


def test_ipv6_works_like_ipv4() -> None:
    """An address in brackets is listened on and connected to."""

    async def scene() -> None:
        b = Owner()
        transport = ZeroMQTransport(b, keys=KEYS)
        try:
            endpoint = await transport.listen("tcp://[::1]:0")
        except TransportFailed as error:
            pytest.skip(f"this host has no IPv6: {error}")
        transport.connect(endpoint).send_nowait([b"six"])
        assert await b.until_frames(1) == [(b"six",)]
        await transport.close()

    play(scene)


def test_a_transport_that_listens_anywhere_says_how_it_is_reached() -> None:
    """``tcp://*:0`` becomes an address and a port that others can connect to."""

    async def scene() -> None:
        b = Owner()
        transport = ZeroMQTransport(b, keys=KEYS)
        endpoint = await transport.listen("tcp://*:0")
        transport.connect(endpoint).send_nowait([b"x"])
        assert await b.until_frames(1) == [(b"x",)]
        assert "0.0.0.0" not in endpoint
        await transport.close()

    play(scene)


def test_a_close_that_is_cancelled_closes_all_the_same(tmp_path: Path) -> None:
    """A waiter may be cancelled; what it closes is closed."""

    async def scene() -> None:
        transport = ZeroMQTransport(Owner(), TransportLimits(linger_s=0.1))
        transport.connect(ipc_endpoint(tmp_path)).send_nowait([b"nobody listens"])
        closing = asyncio.create_task(transport.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await transport.close()

    play(scene)


def test_the_temporary_folder_serves_where_there_is_no_better(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without ``$XDG_RUNTIME_DIR`` each user has a folder of his own in the one for temporary files."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def scene() -> None:
        transport = ZeroMQTransport(Owner())
        name = secrets.token_hex(4)
        endpoint = await transport.listen(f"ipc://{name}")
        assert endpoint.startswith(f"ipc://{tmp_path}/trouper-")
        assert endpoint.endswith(f"/{name}")
        await transport.close()

    play(scene)
