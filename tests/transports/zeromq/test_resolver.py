"""Host names: looked up in threads of their own, at each dial, in both versions of IP, and never by ZeroMQ."""

import asyncio
import socket
import threading
from collections.abc import Sequence

import pytest

from tests.transports.laws import Owner
from tests.transports.zeromq.scenes import LOOPS, play, until
from trouper.runtime.session.transport import TransportFailed
from trouper.transports.zeromq import ZeroMQTransport
from trouper.transports.zeromq.resolver import LOOKUPS_MAX, Resolver

NO_ADDRESS: tuple[str, ...] = ()


class Names:
    """Stands for the name servers: names with their addresses; a name without any hangs until the end of the test."""

    def __init__(self, patch: pytest.MonkeyPatch, **table: Sequence[str]) -> None:
        self.table = dict(table)
        self.asked: list[str] = []
        self.answer = threading.Event()
        patch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, port: None, *, type: int) -> list[tuple[object, ...]]:  # noqa: A002  as getaddrinfo
        self.asked.append(host)
        if host not in self.table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = self.table[host]
        if not addresses:
            self.answer.wait(20.0)
        return [(socket.AF_INET, type, 0, "", (address, 0)) for address in addresses]


def _port(endpoint: str) -> str:
    return endpoint.rpartition(":")[2]


async def _frames_arrive(listener: Owner, wire_to: str, sender: ZeroMQTransport) -> None:
    wire = sender.connect(wire_to)
    wire.send_nowait([b"hello"])
    before = len(listener.frames)
    await until(lambda: len(listener.frames) > before)
    wire.close()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("name", "addresses", "listen"),
    [
        ("with_underscore", ["127.0.0.1"], "tcp://127.0.0.1:0"),
        ("six.example", ["::1"], "tcp://[::1]:0"),
        ("both.example", ["::1", "127.0.0.1"], "tcp://127.0.0.1:0"),
        ("both.example", ["127.0.0.1", "::1"], "tcp://[::1]:0"),
        ("many.example", ["127.0.0.9", "127.0.0.8", "::1", "127.0.0.1"], "tcp://127.0.0.1:0"),
    ],
)
def test_a_name_is_reached_at_whichever_of_its_addresses_takes_the_connection(
    name: str, addresses: list[str], listen: str, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names with an underscore, with IPv6 alone, and with addresses of which the first ones refuse."""
    Names(monkeypatch, **{name: addresses})

    async def scene() -> None:
        listener = Owner()
        there, here = ZeroMQTransport(listener, insecure=True), ZeroMQTransport(Owner(), insecure=True)
        bound = await there.listen(listen)
        await _frames_arrive(listener, f"tcp://{name}:{_port(bound)}", here)
        await here.close()
        await there.close()

    play(scene, loop)


def test_a_name_that_gets_another_address_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container does that is started again elsewhere: the wire finds it without being made anew."""
    names = Names(monkeypatch, **{"moved.example": ["127.0.0.1"]})

    async def scene() -> None:
        first, second, owner = Owner(), Owner(), Owner()
        here = ZeroMQTransport(owner, insecure=True)
        there = ZeroMQTransport(first, insecure=True)
        port = _port(await there.listen("tcp://127.0.0.1:0"))
        wire = here.connect(f"tcp://moved.example:{port}")
        wire.send_nowait([b"one"])
        await until(lambda: bool(first.frames))
        await there.close()
        await owner.until(lambda: bool(owner.lost))
        names.table["moved.example"] = ["127.0.0.2"]
        elsewhere = ZeroMQTransport(second, insecure=True)
        await elsewhere.listen(f"tcp://127.0.0.2:{port}")
        wire.send_nowait([b"two"])
        await until(lambda: bool(second.frames))
        assert len(names.asked) >= 2
        await here.close()
        await elsewhere.close()

    play(scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_name_that_takes_long_holds_up_no_other_wire(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its look-up hangs, frames to others pass, and the loop and its threads are free."""
    names = Names(monkeypatch, **{f"slow-{number}.example": NO_ADDRESS for number in range(12)})

    async def scene() -> None:
        listener = Owner()
        there, here = ZeroMQTransport(listener, insecure=True), ZeroMQTransport(Owner(), insecure=True)
        bound = await there.listen("tcp://127.0.0.1:0")
        slow = [here.connect(f"tcp://{name}:7400") for name in names.table]
        await until(lambda: len(names.asked) == len(slow))
        for _ in range(10):
            await _frames_arrive(listener, bound, here)
        assert await asyncio.to_thread(lambda: 1) == 1
        assert not names.answer.is_set()
        await here.close()
        await there.close()
        names.answer.set()

    play(scene, loop)


def test_a_name_without_an_address_is_counted_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wire takes frames meanwhile, and sends them once the name is known."""
    names = Names(monkeypatch)

    async def scene() -> None:
        listener = Owner()
        there, here = ZeroMQTransport(listener, insecure=True), ZeroMQTransport(Owner(), insecure=True)
        bound = await there.listen("tcp://127.0.0.1:0")
        wire = here.connect(f"tcp://late.example:{_port(bound)}")
        assert wire.send_nowait([b"hello"])
        await until(lambda: here.rejections.counts["lookup_failed"] >= 2)
        names.table["late.example"] = ["127.0.0.1"]
        await until(lambda: bool(listener.frames))
        await here.close()
        await there.close()

    play(scene)


def test_a_name_to_listen_on_is_looked_up_too_and_told_as_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers are told addresses only."""
    Names(monkeypatch, **{"here.example": ["127.0.0.1"]})

    async def scene() -> None:
        transport = ZeroMQTransport(Owner(), insecure=True)
        bound = await transport.listen("tcp://here.example:0")
        assert bound.startswith("tcp://127.0.0.1:")
        with pytest.raises(TransportFailed, match=r"^the host name 'nowhere.example' has no address: "):
            await transport.listen("tcp://nowhere.example:0")
        await transport.close()

    play(scene)


def test_look_ups_are_bounded_in_time_and_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """One name is looked up once at a time, however many wait for it; the error names it, and the limit."""
    names = Names(monkeypatch, **{f"n{number}": NO_ADDRESS for number in range(LOOKUPS_MAX + 1)})

    async def scene() -> None:
        resolver = Resolver(resolve_s=0.05)
        for _ in range(2):
            with pytest.raises(TransportFailed, match=r"^the host name 'n0' was not resolved within 0.05 s$"):
                await resolver.resolve("n0")
        assert names.asked == ["n0"]
        waiting = [asyncio.ensure_future(resolver.resolve(f"n{number}")) for number in range(1, LOOKUPS_MAX)]
        await until(lambda: len(names.asked) == LOOKUPS_MAX)
        with pytest.raises(TransportFailed, match=f"^the host name 'n{LOOKUPS_MAX}' is not looked up: "):
            await resolver.resolve(f"n{LOOKUPS_MAX}")
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(error) for error in errors} == {TransportFailed}
        names.table["n0"] = ["127.0.0.1"]
        names.answer.set()

    play(scene)


def test_a_name_is_looked_up_again_after_the_system_had_no_thread_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dial fails as for a name without an address, and the wire sends what it has once a look-up succeeds."""
    Names(monkeypatch, **{"crowded.example": ["127.0.0.1"]})
    start, refused = threading.Thread.start, [True]

    def start_or_refuse(thread: threading.Thread) -> None:
        if refused[0] and "crowded" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_refuse)

    async def scene() -> None:
        resolver = Resolver()
        for _ in range(2):
            with pytest.raises(
                TransportFailed, match=r"^the host name 'crowded.example' is not looked up: can't start"
            ):
                await resolver.resolve("crowded.example")
        listener = Owner()
        there, here = ZeroMQTransport(listener, insecure=True), ZeroMQTransport(Owner(), insecure=True)
        bound = await there.listen("tcp://127.0.0.1:0")
        wire = here.connect(f"tcp://crowded.example:{_port(bound)}")
        assert wire.send_nowait([b"hello"])
        await until(lambda: here.rejections.counts["lookup_failed"] >= 1)
        refused[0] = False
        await until(lambda: bool(listener.frames))
        assert await resolver.resolve("crowded.example") == ["127.0.0.1"]
        await here.close()
        await there.close()

    play(scene)
