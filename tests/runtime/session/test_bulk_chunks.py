from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper import PeerOverLimit, WireError
from trouper.runtime.kernel.errors import InvalidOption
from trouper.runtime.session.budget import Account, Budget, PeerLimits
from trouper.runtime.session.bulk_chunks import HEAD_BYTES, Assembly, BulkSettings, Chunk, chunk_of

SETTINGS = BulkSettings(bulk_bytes_min=1, bulk_bytes_max=1_000, queue_bytes_max=2_000, buffers_max=4)


def assembly(settings: BulkSettings = SETTINGS) -> Assembly:
    """One that has its memory from Python, and room for 2,000 bytes."""
    return Assembly(settings, lambda size_bytes: memoryview(bytearray(size_bytes)), account())


def account() -> Account:
    """Room for 2,000 bytes."""
    return Budget(PeerLimits(assembly_bytes_max=2_000)).account("k", "ada", shared=True)


def chunks_of(number: int, data: bytes, body_bytes_max: int) -> deque[Chunk]:
    """All chunks of a buffer."""
    found: deque[Chunk] = deque()
    offset = 0
    while offset < len(data):
        found.append(chunk_of(number, memoryview(data), offset, body_bytes_max))
        offset += len(found[-1][1])
    return found


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=8), st.integers(1, 60), st.data())
def test_buffers_come_together_again_whatever_their_chunks_are_mixed_with(
    buffers: list[bytes], step: int, data: st.DataObject
) -> None:
    """Chunks of one buffer are in order, as the link keeps them; those of several alternate at will."""
    into = assembly()
    waiting = {number: chunks_of(number, buffer, HEAD_BYTES + step) for number, buffer in enumerate(buffers)}
    while waiting:
        number = data.draw(st.sampled_from(sorted(waiting)))
        chunk = waiting[number].popleft()
        assert len(chunk[0]) + len(chunk[1]) <= HEAD_BYTES + step
        into.take_chunk(chunk)
        if not waiting[number]:
            del waiting[number]
    assert into.allocated_bytes == sum(map(len, buffers))
    taken = into.take(range(len(buffers)))
    assert {number: bytes(view) for number, view in taken.items()} == dict(enumerate(buffers))
    assert all(view.readonly for view in taken.values())
    assert into.allocated_bytes == 0


def test_a_buffer_of_one_chunk_is_not_copied() -> None:
    """It is a view of what came."""
    data = bytes(50)
    into = assembly()
    into.take_chunk(chunk_of(1, memoryview(data), 0, 100))
    assert into.take([1])[1].obj is data


SECOND = chunk_of(1, memoryview(bytes(50)), 16, 40)[0]
"""The head of the second chunk of a buffer."""


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([b"x" * HEAD_BYTES], "a body in the bulk stream has a head of 24 bytes and a part of a buffer"),
        ([b"x" * 23, b"y"], "a body in the bulk stream has a head of 24 bytes and a part of a buffer"),
        ([b"x" * HEAD_BYTES, b""], "a body in the bulk stream has a head of 24 bytes and a part of a buffer"),
        ([*chunk_of(2, memoryview(bytes(50)), 10, 40)], "16 bytes at 10 of buffer 2 of 50 came, expected are 0"),
        ([*chunk_of(1, memoryview(bytes(51)), 16, 40)], "16 bytes at 16 of buffer 1 of 51 came, expected are 16"),
        ([*chunk_of(1, memoryview(bytes(50)), 0, 40)], "16 bytes at 0 of buffer 1 of 50 came, expected are 16"),
        ([SECOND, bytes(40)], "40 bytes at 16 of buffer 1 of 50 came, expected are 16"),
        ([*chunk_of(3, memoryview(bytes(1001)), 0, 40)], "buffer 3 has 1001 bytes, bulk_bytes_max=1000"),
        ([*chunk_of(9, memoryview(bytes(20)), 0, 90)], "buffer 9 came twice"),
    ],
)  # fmt: skip
def test_a_chunk_that_does_not_fit_is_refused(parts: list[bytes], why: str) -> None:
    """Nothing is kept of it, and what was there before stays."""
    into = assembly()
    into.take_chunk(chunk_of(1, memoryview(bytes(50)), 0, 40))
    into.take_chunk(chunk_of(9, memoryview(bytes(20)), 0, 90))
    with pytest.raises(WireError) as caught:
        into.take_chunk(parts)
    assert str(caught.value) == why
    assert into.allocated_bytes == 70


def test_what_one_peer_may_have_on_its_way_is_limited() -> None:
    """A buffer too many is refused once; what follows of it is passed over, and its number may come again later."""
    into = assembly()
    for number in (1, 2):
        into.take_chunk(chunk_of(number, memoryview(bytes(1_000)), 0, 40))
    third = chunks_of(3, bytes(100), 64)
    with pytest.raises(PeerOverLimit, match=r"^100 assembly_bytes more are refused: ada may have 2000, "):
        into.take_chunk(third.popleft())
    for chunk in third:
        into.take_chunk(chunk)
    assert into.take([1, 2, 3]) == {}
    into.take_chunk(chunk_of(3, memoryview(bytes(16)), 0, 64))
    assert bytes(into.take([3])[3]) == bytes(16)


def test_no_memory_is_had_for_what_is_refused() -> None:
    """A length that a frame only claims allocates nothing beyond the limits."""
    asked: list[int] = []

    def allocate(size_bytes: int) -> memoryview:
        asked.append(size_bytes)
        return memoryview(bytearray(size_bytes))

    into = Assembly(SETTINGS, allocate, account())
    with pytest.raises(WireError):
        into.take_chunk([(1).to_bytes(8, "big") + (2**60).to_bytes(8, "big") + bytes(8), b"x"])
    assert asked == []


def test_many_small_buffers_that_nobody_takes_are_refused_at_last() -> None:
    """So that what is kept of each is limited too."""
    into = assembly(BulkSettings(bulk_bytes_min=10, bulk_bytes_max=1_000))
    for number in range(200):
        into.put(number, memoryview(b"x"))
    with pytest.raises(PeerOverLimit, match=r"^10 assembly_bytes more are refused: ada may have 2000, "):
        into.put(200, memoryview(b"x"))
    into.clear()
    assert (into.allocated_bytes, into.take(range(200))) == (0, {})


def test_settings_that_contradict_each_other_are_refused() -> None:
    """The error shows them."""
    with pytest.raises(InvalidOption, match=r"every limit must be 1 or more, and shared_bytes_max 0 or more$"):
        BulkSettings(buffers_max=0)
    with pytest.raises(InvalidOption, match=r"expected bulk_bytes_min <= bulk_bytes_max <= queue_bytes_max"):
        BulkSettings(bulk_bytes_max=10)
