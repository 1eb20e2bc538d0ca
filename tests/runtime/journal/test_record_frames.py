"""Frames are read as they were written, a torn end is told from damage, and damage is never read as data."""

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.runtime.journal.record_frames import (
    END_MARK,
    HEADER_BYTES,
    SECTOR_BYTES,
    RecordFrame,
    RecordFrameReader,
    encode_frame,
)
from trouper.runtime.journal.segments import encode_frames
from trouper.runtime.kernel.journal import JournalCorrupt

FRAMES = [
    RecordFrame(1, 1, b"\x01"),
    RecordFrame(2, 3, b"\x00\x00\x00"),
    RecordFrame(5, 1, b""),
    RecordFrame(6, 2, b"last\x00\x00"),
]
FILE = encode_frames(FRAMES, 0, 0)
ENDS = [sum(HEADER_BYTES + len(frame.payload) + 1 for frame in FRAMES[:count]) for count in range(len(FRAMES) + 1)]


def _read(data: bytes, *, piece_bytes: int = 1 << 20, torn_allowed: bool = True) -> tuple[list[RecordFrame], int, bool]:
    """Read a file in pieces; returns its frames without offsets, where the last one ends, and whether it is torn."""
    reader = RecordFrameReader("a.log")
    frames: list[RecordFrame] = []
    for begin in range(0, len(data), piece_bytes):
        frames += reader.feed(data[begin : begin + piece_bytes])
    torn = reader.finish(torn_allowed=torn_allowed)
    return [RecordFrame(frame.sequence, frame.count, frame.payload) for frame in frames], reader.end, torn


@given(
    st.lists(st.tuples(st.integers(1, 2**64 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=200)), max_size=6),
    st.integers(1, 300),
)
def test_frames_come_back_in_whatever_pieces_they_are_read(parts: list[tuple[int, int, bytes]], piece: int) -> None:
    """Any frames, read in pieces of any size, come back equal and in order, and the file is not torn."""
    frames = [RecordFrame(*part) for part in parts]
    data = encode_frames(frames, 0, 0)
    assert _read(data, piece_bytes=piece) == (frames, len(data), False)


@pytest.mark.parametrize("piece_bytes", [1, 7, 1_000])
def test_a_file_cut_at_any_byte_loses_the_frame_that_was_cut_and_no_other(piece_bytes: int) -> None:
    """After a cut at every byte of the file the whole frames before it are read, and the rest is torn, not damage."""
    for cut in range(len(FILE) + 1):
        whole = max(place for place, end in enumerate(ENDS) if end <= cut)
        assert _read(FILE[:cut], piece_bytes=piece_bytes) == (FRAMES[:whole], ENDS[whole], cut != ENDS[whole])


def test_a_cut_with_zeros_after_it_is_torn_in_the_same_way() -> None:
    """Where the file was lengthened before its data came, the zeros that stand for the data change nothing."""
    for cut in range(len(FILE)):
        whole = max(place for place, end in enumerate(ENDS) if end <= cut)
        for zeros in (1, 5, 40, 200):
            assert _read(FILE[:cut] + bytes(zeros)) == (FRAMES[:whole], ENDS[whole], True), (cut, zeros)


@pytest.mark.parametrize("flip", [*(1 << bit for bit in range(8)), 0xFF])
def test_a_flip_at_any_byte_is_damage_with_file_offset_and_expectation(flip: int) -> None:
    """Whichever byte is flipped, reading stops at the frame it is in, with an error that says all of that."""
    for place in range(len(FILE)):
        broken = bytearray(FILE)
        broken[place] ^= flip
        frame = max(index for index, end in enumerate(ENDS) if end <= place)
        with pytest.raises(
            JournalCorrupt, match=rf"^a\.log is damaged at offset {ENDS[frame]}: found .+, expected .+; "
        ):
            _read(bytes(broken), piece_bytes=11)


def test_the_frames_before_the_damage_are_still_given() -> None:
    """What was read before the damaged frame is what was written."""
    broken = bytearray(FILE)
    broken[ENDS[2] + 3] ^= 1
    reader = RecordFrameReader("a.log")
    got: list[bytes] = []
    got.extend(frame.payload for frame in reader.feed(bytes(broken)))
    with pytest.raises(JournalCorrupt):
        reader.finish()
    assert got == [frame.payload for frame in FRAMES[:2]]
    assert reader.end == ENDS[2]


def test_a_torn_end_is_damage_where_the_stream_goes_on_in_another_file() -> None:
    """A file that another one follows must be whole."""
    with pytest.raises(
        JournalCorrupt,
        match=r"^a\.log is damaged at offset 0: found the file ends 20 bytes into a frame, expected a whole frame, as "
        r"it was on the disk before; nothing was changed: make a copy of the journal's folder first, then restore ",
    ):
        _read(FILE[:20], torn_allowed=False)
    with pytest.raises(JournalCorrupt, match="found a header with checksum 0x00000000"):
        _read(bytes(40), torn_allowed=False)


def test_another_format_is_named() -> None:
    """A file of an earlier format, which checks but has another mark, says which mark was expected."""
    fields = b"\xa7" + encode_frame(RecordFrame(1, 0, b""))[1 : HEADER_BYTES - 4]
    with pytest.raises(JournalCorrupt, match="found the mark 0xa7, expected 0xa8, the format that this version reads"):
        _read(fields + crc32(fields).to_bytes(4, "big") + bytes((END_MARK,)))


PAYLOADS = st.lists(
    st.tuples(st.integers(0, 3_000), st.sampled_from([0, 0, 1, 0x5A, 0xA8])).map(
        lambda made: bytes((made[1],)) * made[0]
    ),
    min_size=1,
    max_size=5,
)


def _two_writes(synced: list[bytes], unsynced: list[bytes]) -> tuple[bytes, bytes, list[RecordFrame]]:
    """Return the bytes of one write that was fsynced, of one that was not, and the frames of both."""
    frames = [RecordFrame(number, 1, payload) for number, payload in enumerate([*synced, *unsynced], 1)]
    first = encode_frames(frames[: len(synced)], 0, 0)
    return first, encode_frames(frames[len(synced) :], len(first), len(first)), frames


@given(PAYLOADS, PAYLOADS, st.integers(0, 2**64), st.sampled_from([SECTOR_BYTES, 8 * SECTOR_BYTES]), st.booleans())
def test_a_write_of_which_a_crash_kept_any_sectors_is_torn(
    synced: list[bytes], unsynced: list[bytes], kept: int, block_bytes: int, cut: bool
) -> None:
    """Sectors or pages in any order, payloads of zeros included: what was fsynced is read, the rest is no damage."""
    first, second, frames = _two_writes(synced, unsynced)
    data = bytearray(first + second)
    for number, begin in enumerate(range(len(first) // block_bytes * block_bytes, len(data), block_bytes)):
        if not kept >> number % 64 & 1:
            lost = data[max(begin, len(first)) : begin + block_bytes]
            data[max(begin, len(first)) : begin + block_bytes] = bytes(len(lost))
    if cut:
        del data[len(first) + kept % (len(second) + 1) :]
    read, _, _ = _read(bytes(data))
    assert read[: len(synced)] == frames[: len(synced)]
    assert read == frames[: len(read)]


@given(PAYLOADS, PAYLOADS, st.integers(0, 2**64), st.integers(1, 255))
def test_a_byte_that_changed_is_damage_whatever_was_written_after_it(
    synced: list[bytes], unsynced: list[bytes], place: int, flip: int
) -> None:
    """A flip in what was fsynced before the last write, even if that is torn, is never taken for a torn end."""
    first, second, _ = _two_writes(synced, unsynced)
    data = bytearray(first + second)
    data[place % len(first)] ^= flip
    with pytest.raises(JournalCorrupt):
        _read(bytes(data[: len(first) + HEADER_BYTES]))
    with pytest.raises(JournalCorrupt):
        _read(bytes(data))


@given(PAYLOADS, st.integers(0, 2**64), st.integers(1, 255))
def test_a_byte_that_changed_in_the_last_write_is_damage(payloads: list[bytes], place: int, flip: int) -> None:
    """Also without a later write: no sector is zeros and the file is whole, so it was written and then changed."""
    data = bytearray(encode_frames([RecordFrame(n, 1, payload) for n, payload in enumerate(payloads, 1)], 0, 0))
    data[place % len(data)] ^= flip
    with pytest.raises(JournalCorrupt):
        _read(bytes(data))


def test_a_sector_of_zeros_is_damage_when_something_was_written_after_an_fsync() -> None:
    """The disk lost a sector of what it had said to have: a later frame knows that it was there."""
    first, second, _ = _two_writes([b"x" * 3_000], [b"y"])
    data = bytearray(first + second)
    data[1024:1536] = bytes(512)
    with pytest.raises(JournalCorrupt, match="damaged at offset 0: found a payload with checksum"):
        _read(bytes(data))
    assert _read(bytes(data[: len(first)])) == ([], 0, True)


def test_a_frame_at_another_place_is_not_read() -> None:
    """A frame inside the payload of another one, or moved in the file, does not pass for a frame."""
    inner = encode_frame(RecordFrame(7, 1, b"inner", 0, 99))
    outer = bytearray(encode_frame(RecordFrame(1, 1, inner + bytes(600))))
    outer[HEADER_BYTES + 300 : 900] = bytes(len(outer[HEADER_BYTES + 300 : 900]))
    assert _read(bytes(outer)) == ([], 0, True)
    with pytest.raises(JournalCorrupt):
        _read(FILE[ENDS[1] :])
