import asyncio
import os

import pytest

from tests.runtime.net.stage import Add, Anything
from tests.runtime.stage import play
from trouper import Message, WireError
from trouper.runtime.net.bulk.out_of_band import BulkResources, OutOfBandBuffers
from trouper.runtime.net.bulk.segments import host
from trouper.runtime.net.control import (
    AcceptSharedMemory,
    DropBuffers,
    LendSegment,
    OfferSharedMemory,
    RetireSegments,
    SegmentInfo,
)
from trouper.runtime.session.budget import Budget, PeerLimits
from trouper.runtime.session.bulk_chunks import BulkSettings

SETTINGS = BulkSettings(bulk_bytes_min=10, bulk_bytes_max=100, buffers_max=3)
PROBE = OfferSharedMemory("nowhere", 1, SegmentInfo(1, 1, 1))


async def buffers_at(
    *listen: str, settings: BulkSettings = SETTINGS
) -> tuple[BulkResources, OutOfBandBuffers, list[Message[object]]]:
    """One peer's side of a node that listens there, and what it says."""
    said: list[Message[object]] = []
    bulk = BulkResources(settings, lambda: 1, listen)
    account = Budget(PeerLimits()).account("k", "ada", shared=True)
    return bulk, OutOfBandBuffers(bulk, said.append, asyncio.get_running_loop(), account), said


def test_only_what_has_large_buffers_is_packed() -> None:
    """The payload keeps the value that was sent, for a dead letter."""

    async def main() -> None:
        _, out_of_band, _ = await buffers_at("inprocess://a")
        for value in (None, 7, "x" * 50, Add(1), Anything(b"x" * 9), [1, 2]):
            assert out_of_band.pack(value) is None
        value = Anything([b"x" * 10, b"y" * 20])
        payload = out_of_band.pack(value)
        assert payload is not None
        assert (payload.value, payload.buffer_bytes, len(payload.buffers)) == (value, 30, 2)

    play(main)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([b"x" * 10] * 4, "Anything has 4 large buffers, buffers_max=3"),
        ([b"x" * 51] * 2, "Anything has 102 bytes in large buffers, bulk_bytes_max=100: send it in parts"),
    ],
)
def test_what_is_too_much_is_refused_by_name(value: object, why: str) -> None:
    """The error names the limit."""

    async def main() -> None:
        _, out_of_band, _ = await buffers_at("inprocess://a")
        with pytest.raises(WireError) as caught:
            out_of_band.pack(Anything(value))
        assert str(caught.value) == why

    play(main)


def test_within_one_process_nothing_is_shared() -> None:
    """What a peer says of memory is refused then; its offer is passed over, for it may not know."""

    async def main() -> None:
        for listen, settings in (("inprocess://a", SETTINGS), ("ipc:///a", BulkSettings(shared_bytes_max=0))):
            _, out_of_band, said = await buffers_at(listen, settings=settings)
            assert out_of_band.shared_memory is None
            out_of_band.handle(PROBE)
            for message in (AcceptSharedMemory(), LendSegment(1, PROBE.probe, 1), RetireSegments([1])):
                with pytest.raises(WireError, match=rf"^a {type(message).__name__} came, and no memory is shared$"):
                    out_of_band.handle(message)
            assert said == []
            out_of_band.close()

    play(main)


@pytest.mark.skipif(not host(), reason="this system has no memfd_create")
def test_a_buffer_in_shared_memory_is_taken_like_others() -> None:
    """Until a message takes it, or the peer says that none will."""

    async def main() -> None:
        bulk, out_of_band, said = await buffers_at("ipc:///a")
        lent = bulk.pool.allocate(4)
        assert lent is not None
        lent.memory[:4] = b"abcd"
        out_of_band.handle(OfferSharedMemory(bulk.host, os.getpid(), lent.segment))
        assert said == [AcceptSharedMemory()]
        out_of_band.handle(LendSegment(1, lent.segment, 4))
        out_of_band.handle(LendSegment(2, lent.segment, 3))
        assert out_of_band.assembly.allocated_bytes == 2 * SETTINGS.bulk_bytes_min
        out_of_band.handle(DropBuffers([2, 9]))
        assert {number: bytes(view) for number, view in out_of_band.take([1, 2]).items()} == {1: b"abcd"}
        out_of_band.handle(LendSegment(3, lent.segment, 4))
        out_of_band.close()
        assert (out_of_band.assembly.allocated_bytes, bulk.shared_memories) == (0, set())
        bulk.close()

    play(main)
