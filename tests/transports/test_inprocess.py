import asyncio

from tests.transports.laws import Owner, Scene, TransportLaws
from trouper.runtime.session.transport import Transport, TransportLimits
from trouper.testing import run_virtual, settle, virtual_time
from trouper.transports.inprocess import InProcessTransport


class TestInProcess(TransportLaws):
    bad_endpoints = (*TransportLaws.bad_endpoints, "inprocess://", "inprocess:a")

    def play(self, scene: Scene) -> None:
        run_virtual(scene)

    def make(self, owner: Owner, limits: TransportLimits | None = None) -> Transport:
        return InProcessTransport(owner, limits)

    def endpoint(self, name: str) -> str:
        return f"inprocess://{name}"


@virtual_time
async def test_frames_wait_for_a_listener() -> None:
    """What was taken before anybody listens arrives when somebody does, as far as the queue holds."""
    a, b = Owner(), Owner()
    sender, receiver = InProcessTransport(a, TransportLimits(queue_frames_max=2)), InProcessTransport(b)
    wire = sender.connect("inprocess://b")
    assert [wire.send_nowait([body]) for body in (b"1", b"2", b"3")] == [True, True, False]
    await settle()
    assert a.ready == []
    await receiver.listen("inprocess://b")
    assert await b.until_frames(2) == [(b"1",), (b"2",)]
    assert a.ready == [wire]
    await sender.close()
    await receiver.close()


@virtual_time
async def test_who_has_a_wire_to_a_listener_hears_of_its_end() -> None:
    """When the listener closes, its wires are lost, and work again once somebody listens anew."""
    a, b, c = Owner(), Owner(), Owner()
    sender, receiver, successor = (InProcessTransport(owner) for owner in (a, b, c))
    wire = sender.connect(await receiver.listen("inprocess://b"))
    assert wire.send_nowait([b"lost"])
    await receiver.close()
    await settle()
    assert a.lost == [(wire, "inprocess://b listens no more")]
    assert b.frames == []
    await successor.listen("inprocess://b")
    assert wire.send_nowait([b"kept"])
    assert await c.until_frames(1) == [(b"kept",)]
    await sender.close()
    await successor.close()


@virtual_time
async def test_a_full_wire_has_room_when_its_frames_are_lost() -> None:
    """A queue that was emptied by a loss is reported like any other."""
    a, b = Owner(), Owner()
    sender, receiver = InProcessTransport(a, TransportLimits(queue_bytes_max=10)), InProcessTransport(b)
    wire = sender.connect(await receiver.listen("inprocess://b"))
    assert [wire.send_nowait([bytes(10)]) for _ in range(2)] == [True, False]
    await receiver.close()
    await settle()
    assert a.ready == [wire]
    await sender.close()


@virtual_time
async def test_a_frame_too_large_for_the_receiver_breaks_the_connection() -> None:
    """The sender is told that frames were lost, and why."""
    a, b = Owner(), Owner()
    sender, receiver = InProcessTransport(a), InProcessTransport(b, TransportLimits(frame_bytes_max=5))
    wire = sender.connect(await receiver.listen("inprocess://b"))
    assert wire.send_nowait([b"123456"])
    assert wire.send_nowait([b"1"])
    await settle()
    assert a.lost == [(wire, "inprocess://b takes no frame of 6 bytes")]
    assert b.frames == []
    await sender.close()
    await receiver.close()


def test_endpoints_are_of_one_loop() -> None:
    """The same name in another loop is another endpoint, and nothing is left of a loop that has ended."""

    async def scene() -> str:
        transport = InProcessTransport(Owner())
        return await transport.listen("inprocess://same")

    assert asyncio.run(scene()) == asyncio.run(scene()) == "inprocess://same"
