import asyncio
import os

import pytest

from tests.runtime.remote.stage import Add, Anything
from tests.runtime.stage import play
from trouper import Message, WireError
from trouper.runtime.remote.control import Forget, Lend, Retire, Segment, ShareAccept, ShareOffer
from trouper.runtime.remote.parcels import Bulk, Parcels
from trouper.runtime.remote.segments import host
from trouper.runtime.wire.bulk import BulkSettings

SETTINGS = BulkSettings(bulk_bytes_min=10, bulk_bytes_max=100, buffers_max=3)
PROBE = ShareOffer("nowhere", 1, Segment(1, 1, 1))


async def parcels_at(*listen: str, settings: BulkSettings = SETTINGS) -> tuple[Bulk, Parcels, list[Message[object]]]:
    """One peer's side of a node that listens there, and what it says."""
    said: list[Message[object]] = []
    bulk = Bulk(settings, lambda: 1, listen)
    return bulk, Parcels(bulk, said.append, asyncio.get_running_loop()), said


def test_only_what_has_large_buffers_is_packed() -> None:
    """The parcel knows what was sent, for whoever has to say what became of it."""

    async def main() -> None:
        _, parcels, _ = await parcels_at("inprocess://a")
        for value in (None, 7, "x" * 50, Add(1), Anything(b"x" * 9), [1, 2]):
            assert parcels.pack(value) is None
        value = Anything([b"x" * 10, b"y" * 20])
        parcel = parcels.pack(value)
        assert parcel is not None
        assert (parcel.value, parcel.buffer_bytes, len(parcel.buffers)) == (value, 30, 2)

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
        _, parcels, _ = await parcels_at("inprocess://a")
        with pytest.raises(WireError) as caught:
            parcels.pack(Anything(value))
        assert str(caught.value) == why

    play(main)


def test_within_one_process_nothing_is_shared() -> None:
    """What a peer says of memory is refused then; its offer is passed over, for it may not know."""

    async def main() -> None:
        for listen, settings in (("inprocess://a", SETTINGS), ("ipc:///a", BulkSettings(shared_bytes_max=0))):
            _, parcels, said = await parcels_at(listen, settings=settings)
            assert parcels.sharing is None
            parcels.hear(PROBE)
            for message in (ShareAccept(), Lend(1, PROBE.probe, 1), Retire([1])):
                with pytest.raises(WireError, match=rf"^a {type(message).__name__} came, and no memory is shared$"):
                    parcels.hear(message)
            assert said == []
            parcels.end()

    play(main)


@pytest.mark.skipif(not host(), reason="this system has no memfd_create")
def test_what_is_lent_is_a_buffer_like_others() -> None:
    """Until a message takes it, or the peer says that none will."""

    async def main() -> None:
        bulk, parcels, said = await parcels_at("ipc:///a")
        lent = bulk.pool.borrow(4)
        assert lent is not None
        lent.memory[:4] = b"abcd"
        parcels.hear(ShareOffer(bulk.host, os.getpid(), lent.segment))
        assert said == [ShareAccept()]
        parcels.hear(Lend(1, lent.segment, 4))
        parcels.hear(Lend(2, lent.segment, 3))
        assert parcels.assembly.held_bytes == 7
        parcels.hear(Forget([2, 9]))
        assert {number: bytes(view) for number, view in parcels.take([1, 2]).items()} == {1: b"abcd"}
        parcels.hear(Lend(3, lent.segment, 4))
        parcels.end()
        assert (parcels.assembly.held_bytes, bulk.sharings) == (0, set())
        bulk.close()

    play(main)
