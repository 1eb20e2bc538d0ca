import asyncio
import os
from collections.abc import Callable, Coroutine
from functools import wraps
from itertools import count

import pytest

from tests.runtime.stage import play
from trouper import Message, WireError
from trouper.runtime.net.bulk.segments import SegmentPool, host
from trouper.runtime.net.bulk.shared_memory import SharedMemory
from trouper.runtime.net.control import (
    AcceptSharedMemory,
    LendSegment,
    OfferSharedMemory,
    RetireSegments,
    ReturnSegments,
    SegmentInfo,
)
from trouper.testing import settle

pytestmark = pytest.mark.skipif(not host(), reason="this system has no memfd_create")
MIB = 1_048_576


class Side:
    """One end, which hears the other a turn later."""

    def __init__(self, where: str = "here", bytes_max: int = 8 * MIB) -> None:
        numbers = count(1)
        self.said: list[Message[object]] = []
        self.other: Side | None = None
        self.pool = SegmentPool(bytes_max, lambda: next(numbers))
        self.shared_memory = SharedMemory(self.pool, where, os.getpid(), self._say, asyncio.get_running_loop())
        self.pool.on_closed = self.shared_memory.on_segment_closed

    def _say(self, message: Message[object]) -> None:
        self.said.append(message)
        if self.other is not None and isinstance(
            message, OfferSharedMemory | AcceptSharedMemory | ReturnSegments | RetireSegments
        ):
            asyncio.get_running_loop().call_soon(self.other.shared_memory.handle, message)


class Pair:
    """Both ends; ``a`` lends to ``b``."""

    def __init__(self) -> None:
        self.a, self.b = Side(), Side()
        self.a.other, self.b.other = self.b, self.a

    def lend(self, data: bytes, number: int = 1) -> tuple[LendSegment, memoryview]:
        """Lend a buffer, and return what the other end sees."""
        owned = self.a.shared_memory.allocate_for(MIB)
        assert owned is not None
        owned.memory[: len(data)] = data
        lend = LendSegment(number, owned.segment, len(data))
        return lend, self.b.shared_memory.map_segment(lend)


def shared(scene: Callable[[Pair], Coroutine[object, object, None]]) -> Callable[[], None]:
    """Make a test of ``async def test_...(pair)``: the two ends, which have agreed to share."""

    @wraps(scene)
    def test() -> None:
        async def main() -> None:
            pair = Pair()
            assert pair.a.shared_memory.allocate_for(MIB) is None, "the first goes over the link, with the offer"
            await settle()
            await scene(pair)
            pair.a.shared_memory.close()
            pair.b.shared_memory.close()
            pair.a.pool.close_all()

        play(main)

    del test.__dict__["__wrapped__"]
    return test


@shared
async def test_a_segment_is_returned_when_no_view_of_it_is_left(pair: Pair) -> None:
    """Segments dropped in one loop iteration are returned together, and used again."""
    (first, one), (second, two) = pair.lend(b"one"), pair.lend(b"two", 2)
    assert (bytes(one), bytes(two), one.readonly) == (b"one", b"two", True)
    assert len({first.segment.token, second.segment.token}) == 2
    part = two[1:]
    del one, two
    await settle()
    assert pair.b.said[-1] == ReturnSegments([first.segment.token])
    del part
    await settle()
    assert pair.b.said[-1] == ReturnSegments([second.segment.token])
    again = pair.a.shared_memory.allocate_for(MIB)
    assert again is not None
    assert again.segment in (first.segment, second.segment)
    assert pair.lend(b"three", 3)[0].segment in (first.segment, second.segment)


@shared
async def test_a_segment_in_use_when_the_peer_is_lost_is_closed_and_never_used_again(pair: Pair) -> None:
    """The peer may still read it, and keeps what it has mapped."""
    lend, view = pair.lend(b"mine")
    pair.a.shared_memory.close()
    pair.b.shared_memory.close()
    assert pair.a.pool.allocated_bytes == 0
    owned = pair.a.pool.allocate(MIB)
    assert owned is not None
    assert owned.segment.token != lend.segment.token
    owned.memory[:4] = b"yours"[:4]
    assert bytes(view) == b"mine"


@shared
async def test_a_segment_that_is_retired_is_unmapped(pair: Pair) -> None:
    """Its mapping ends once no view of it is left."""
    lend, view = pair.lend(b"x")
    pair.a.pool.close(pair.a.shared_memory._in_use[lend.segment.token])  # noqa: SLF001  as the pool does to make room
    assert pair.a.said[-1] == RetireSegments([lend.segment.token])
    await settle()
    assert bytes(view) == b"x"
    with pytest.raises(WireError, match=r"cannot be opened|was expected, found was"):
        pair.b.shared_memory.map_segment(lend)


@pytest.mark.parametrize("breaks", [False, True])
def test_another_host_does_not_accept(breaks: bool) -> None:
    """Nor one where the probe cannot be read; all buffers go over the session then."""

    async def main() -> None:
        a, b = Side("here" if breaks else "there"), Side("here")
        a.other, b.other = b, a
        assert a.shared_memory.allocate_for(MIB) is None
        if breaks:
            a.pool.close_all()
        await settle()
        assert not a.shared_memory.accepted
        assert a.shared_memory.allocate_for(MIB) is None
        assert (len(a.said), len(b.said)) == (1, 0)
        a.pool.close_all()

    play(main)


def test_a_segment_without_an_offer_is_refused() -> None:
    """Nor more than the segment has: the error says so."""

    async def main() -> None:
        with pytest.raises(WireError, match=r"^a segment came before the peer had offered shared memory$"):
            Side().shared_memory.map_segment(LendSegment(1, SegmentInfo(1, 1, MIB), 5))
        pair = Pair()
        pair.a.shared_memory.allocate_for(MIB)
        await settle()
        lend, _ = pair.lend(b"x")
        for size in (0, MIB + 1):
            with pytest.raises(WireError, match=rf"^{size} bytes were named of a segment of {MIB}$"):
                pair.b.shared_memory.map_segment(LendSegment(1, lend.segment, size))
        pair.a.pool.close_all()

    play(main)
