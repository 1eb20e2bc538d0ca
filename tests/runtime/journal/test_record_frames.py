"""Frames are read as they were written, a torn end is told from damage, and damage is never read as data."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.runtime.journal.record_frames import END_MARK, HEADER_BYTES, RecordFrame, RecordFrameReader, encode_frame
from trouper.runtime.kernel.journal import JournalCorrupt

FRAMES = [
    RecordFrame(1, 1, b"\x01"),
    RecordFrame(2, 3, b"\x00\x00\x00"),
    RecordFrame(5, 1, b""),
    RecordFrame(6, 2, b"last\x00\x00"),
]
FILE = b"".join(encode_frame(frame) for frame in FRAMES)
ENDS = [sum(HEADER_BYTES + len(frame.payload) + 1 for frame in FRAMES[:count]) for count in range(len(FRAMES) + 1)]


def _read(data: bytes, *, piece_bytes: int = 1 << 20, torn_allowed: bool = True) -> tuple[list[RecordFrame], int, bool]:
    """Read a file in pieces; returns its frames without offsets, where the last one ends, and whether it is torn."""
    reader = RecordFrameReader("a.log", 1_000)
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
    data = b"".join(encode_frame(frame) for frame in frames)
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
    reader = RecordFrameReader("a.log", 1_000)
    got: list[bytes] = []
    with pytest.raises(JournalCorrupt):
        got.extend(frame.payload for frame in reader.feed(bytes(broken)))
    assert got == [frame.payload for frame in FRAMES[:2]]
    assert reader.end == ENDS[2]


def test_a_torn_end_is_damage_where_the_stream_goes_on_in_another_file() -> None:
    """A file that another one follows must be whole."""
    with pytest.raises(
        JournalCorrupt,
        match=r"^a\.log is damaged at offset 0: found the file ends 20 bytes into a frame, expected a whole frame, "
        r"as the stream goes on in a later file; restore the file from a copy, or cut it to 0 bytes",
    ):
        _read(FILE[:20], torn_allowed=False)
    with pytest.raises(JournalCorrupt, match="found a header with checksum 0x00000000"):
        _read(bytes(40), torn_allowed=False)


def test_a_frame_above_the_limit_is_refused_before_it_is_gathered() -> None:
    """A header that claims too much is an error at once, naming both numbers."""
    data = encode_frame(RecordFrame(1, 1, bytes(1_001)))
    reader = RecordFrameReader("a.log", 1_000)
    assert list(reader.feed(data[: HEADER_BYTES - 1])) == []
    limit = re.escape("found a frame of 1001 bytes, expected at most 1000, the limit")
    with pytest.raises(JournalCorrupt, match=limit):
        list(reader.feed(data[HEADER_BYTES - 1 : HEADER_BYTES]))


def test_another_format_is_named() -> None:
    """A file of a later format, which checks but has another mark, says which mark was expected."""
    from zlib import crc32

    fields = b"\xa8" + encode_frame(RecordFrame(1, 0, b""))[1:21]
    with pytest.raises(JournalCorrupt, match="found the mark 0xa8, expected 0xa7, the format that this version reads"):
        _read(fields + crc32(fields).to_bytes(4, "big") + bytes((END_MARK,)))
