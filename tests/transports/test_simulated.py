import asyncio
from random import Random

import pytest

from tests.transports.laws import Owner, Scene, TransportLaws
from trouper.runtime.session.transport import EndpointInvalid, Transport, TransportLimits
from trouper.testing import run_virtual, settle, virtual_time
from trouper.transports.network_faults import Quality
from trouper.transports.simulated import SimulatedNetwork, SimulatedTransport, SimulatedWire


class TestSimulated(TransportLaws):
    bad_endpoints = (*TransportLaws.bad_endpoints, "sim://", "sim:///a")
    network: SimulatedNetwork

    def play(self, scene: Scene) -> None:
        async def on_a_network() -> None:
            self.network = SimulatedNetwork(Random(0))
            await scene()

        run_virtual(on_a_network)

    def make(self, owner: Owner, limits: TransportLimits | None = None) -> Transport:
        return SimulatedTransport(owner, self.network, "host", limits)

    def endpoint(self, name: str) -> str:
        return f"sim://host/{name}"


class Pair:
    """Two hosts, and a wire from a to b."""

    def __init__(self, quality: Quality | None = None, seed: int = 0, limits: TransportLimits | None = None) -> None:
        self.network = SimulatedNetwork(Random(seed), quality or Quality(delay_s=1.0))
        self.a, self.b = Owner(), Owner()
        self.sender = SimulatedTransport(self.a, self.network, "a", limits)
        self.receiver = SimulatedTransport(self.b, self.network, "b")

    async def connect(self) -> SimulatedWire:
        """Listen at b, and connect from a."""
        return self.sender.connect(await self.receiver.listen("sim://b"))


def _send(wire: SimulatedWire, *bodies: bytes) -> list[bool]:
    return [wire.send_nowait([body]) for body in bodies]


@virtual_time
async def test_frames_take_their_time() -> None:
    """A frame arrives when the network says, on the loop's clock."""
    pair = Pair(Quality(delay_s=2.5))
    wire = await pair.connect()
    start = asyncio.get_running_loop().time()
    _send(wire, b"x")
    await pair.b.until_frames(1)
    assert asyncio.get_running_loop().time() == start + 2.5


@virtual_time
async def test_a_partition_breaks_the_connection() -> None:
    """Frames sent before and during it are lost; after the repair others arrive, and the sender is told once."""
    pair = Pair()
    wire = await pair.connect()
    _send(wire, b"on its way")
    pair.network.faults.partition("a", "b")
    _send(wire, b"sent")
    await asyncio.sleep(2)
    pair.network.faults.repair()
    _send(wire, b"after")
    assert await pair.b.until_frames(1) == [(b"after",)]
    assert (pair.network.faults.lost, pair.network.delivered) == (2, 1)
    assert pair.a.lost == [(wire, "another connection was made")]


@virtual_time
async def test_what_is_held_arrives_in_order_when_it_is_released() -> None:
    """A hold loses nothing, pushes back, and ends at once."""
    pair = Pair(limits=TransportLimits(queue_frames_max=3))
    wire = await pair.connect()
    _send(wire, b"1")
    pair.network.faults.hold("b")
    assert _send(wire, b"2", b"3", b"4") == [True, True, False]
    await asyncio.sleep(60)
    assert pair.b.frames == []
    pair.network.release("b")
    await settle()
    assert pair.b.frames == [(b"1",), (b"2",), (b"3",)]
    assert pair.a.ready == [wire]


@virtual_time
async def test_a_release_of_others_releases_nothing() -> None:
    """What is between two hosts waits for its own release."""
    pair = Pair()
    wire = await pair.connect()
    pair.network.faults.hold("a", "b")
    pair.network.faults.hold("c")
    _send(wire, b"1")
    await asyncio.sleep(5)
    pair.network.release("c")
    await settle()
    assert pair.b.frames == []
    pair.network.release()
    await settle()
    assert pair.b.frames == [(b"1",)]


@virtual_time
async def test_a_reset_loses_what_is_on_its_way_and_tells_the_sender() -> None:
    """The wire mends itself: what is sent after the reset arrives."""
    pair = Pair(limits=TransportLimits(queue_frames_max=2))
    wire = await pair.connect()
    assert _send(wire, b"1", b"2", b"3") == [True, True, False]
    pair.network.reset("a", "b")
    assert pair.a.lost == []
    await settle()
    assert pair.a.lost == [(wire, "connection reset by the simulation")]
    assert pair.a.ready == [wire]
    _send(wire, b"4")
    assert await pair.b.until_frames(1) == [(b"4",)]


@virtual_time
async def test_a_host_that_crashes_is_gone_without_a_word() -> None:
    """Nothing arrives there; those with wires to it hear of a reset; its own node sends into the void."""
    pair = Pair()
    wire = await pair.connect()
    back = pair.receiver.connect(await pair.sender.listen("sim://a"))
    _send(wire, b"lost")
    pair.network.crash("b")
    assert _send(back, b"into the void") == [True]
    await asyncio.sleep(5)
    assert (pair.a.frames, pair.b.frames) == ([], [])
    assert pair.a.lost == [(wire, "connection reset by the simulation")]
    assert pair.b.lost == []
    reborn = Owner()
    await SimulatedTransport(reborn, pair.network, "b").listen("sim://b")
    _send(wire, b"again")
    assert await reborn.until_frames(1) == [(b"again",)]


@virtual_time
async def test_a_silent_crash_tells_nobody() -> None:
    """As when a machine loses power: only silence."""
    pair = Pair()
    wire = await pair.connect()
    pair.network.crash("b", silently=True)
    _send(wire, b"lost")
    await asyncio.sleep(5)
    assert (pair.a.lost, pair.network.faults.lost) == ([], 1)


@virtual_time
async def test_datagrams_do_not_count_for_the_queue() -> None:
    """Neither they nor their copies use up the capacity of the wire, and a full wire takes them."""
    pair = Pair(Quality(delay_s=1.0, duplication=1.0), limits=TransportLimits(queue_frames_max=2))
    wire = await pair.connect()
    assert [wire.send_nowait([body], reliable=False) for body in (b"1", b"2", b"3")] == [True] * 3
    assert _send(wire, b"4", b"5", b"6") == [True, True, False]
    assert wire.send_nowait([b"7"], reliable=False)
    await pair.b.until_frames(10)
    assert sorted(pair.b.frames) == [
        (b"1",),
        (b"1",),
        (b"2",),
        (b"2",),
        (b"3",),
        (b"3",),
        (b"4",),
        (b"5",),
        (b"7",),
        (b"7",),
    ]


@virtual_time
async def test_a_connection_that_loses_too_much_breaks() -> None:
    """What is on its way is lost with it, and the sender is told; the next frame goes over another connection."""
    pair = Pair()
    wire = await pair.connect()
    _send(wire, b"on its way")
    pair.network.faults.set_quality(Quality(loss=1.0))
    _send(wire, b"never through")
    await settle()
    assert pair.a.lost == [(wire, "the connection timed out")]
    pair.network.faults.set_quality(Quality())
    _send(wire, b"after")
    assert await pair.b.until_frames(1) == [(b"after",)]


@virtual_time
async def test_a_lost_datagram_breaks_nothing() -> None:
    """Nobody is told of it, and the connection goes on."""
    pair = Pair(Quality(loss=1.0))
    wire = await pair.connect()
    assert wire.send_nowait([b"lost"], reliable=False)
    await asyncio.sleep(5)
    pair.network.faults.set_quality(Quality())
    _send(wire, b"after")
    assert await pair.b.until_frames(1) == [(b"after",)]
    assert pair.a.lost == []


@virtual_time
async def test_a_host_listens_at_its_own_endpoints() -> None:
    """An endpoint of another host is refused."""
    pair = Pair()
    with pytest.raises(EndpointInvalid, match=r"^'sim://c' is not at this host, which is 'b'$"):
        await pair.receiver.listen("sim://c")


def test_one_seed_is_one_run() -> None:
    """With the same seed the same frames arrive at the same times; with another one they do not."""

    def run(seed: int) -> list[tuple[float, bytes]]:
        heard: list[tuple[float, bytes]] = []

        async def scene() -> None:
            quality = Quality(jitter_s=0.5, loss=0.2, duplication=0.2, reorder=0.2, bandwidth_bytes_s=1_000.0)
            pair = Pair(quality, seed)
            wire = await pair.connect()
            for number in range(100):
                _send(wire, bytes([number]))
                await asyncio.sleep(0.01)
                heard.extend((asyncio.get_running_loop().time(), frame[0]) for frame in pair.b.frames)
                pair.b.frames.clear()

        run_virtual(scene)
        return heard

    assert run(1) == run(1)
    assert run(1) != run(2)
