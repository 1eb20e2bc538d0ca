"""Record frames: the format of records in a file, and how damage is told from an unfinished write (PURE).

A file is a sequence of frames.  One frame is one append, so an append is read whole or not at all:

    offset  bytes  field
    0       1      mark 0xA7, which also is the version of this format
    1       8      sequence of the first record
    9       4      how many records
    13      4      bytes of payload
    17      4      CRC-32 of the payload
    21      4      CRC-32 of the 21 bytes above, so that a damaged length is never believed
    25      n      payload
    25+n    1      end mark 0x5A

Numbers are big-endian.  A write that a crash interrupted leaves a prefix of the data, perhaps followed by zeros (a file
system may lengthen the file before it writes the data).  So the end of a file is *torn* when the file ends inside a
frame, or when a frame fails its check and only zeros follow from some point in it to the end of the file; the end mark
is not zero, so no complete frame looks like that.  Any other frame that fails its check is *corrupt*.

Complexity: each byte is read once, and copied twice; at most one frame is held.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

from ..kernel.journal import JournalCorrupt

MARK, END_MARK = 0xA7, 0x5A
_FIELDS = struct.Struct(">BQIII")
_CHECK = struct.Struct(">I")
HEADER_BYTES = _FIELDS.size + _CHECK.size
FRAME_BYTES_MIN = HEADER_BYTES + 1


@dataclass(frozen=True, slots=True)
class RecordFrame:
    """One append: ``count`` records, numbered from ``sequence``, encoded in ``payload``, at ``offset`` of its file."""

    sequence: int
    count: int
    payload: bytes
    offset: int = 0

    @property
    def last_sequence(self) -> int:
        """The sequence of the last record in the frame."""
        return self.sequence + self.count - 1

    @property
    def end(self) -> int:
        """The offset of the byte after the frame."""
        return self.offset + HEADER_BYTES + len(self.payload) + 1


def encode_frame(frame: RecordFrame) -> bytes:
    """Return the bytes of a frame."""
    fields = _FIELDS.pack(MARK, frame.sequence, frame.count, len(frame.payload), crc32(frame.payload))
    return b"".join((fields, _CHECK.pack(crc32(fields)), frame.payload, bytes((END_MARK,))))


class RecordFrameReader:
    """Parses the bytes of one file, fed in pieces, into frames.

    file: its name, for errors.  payload_bytes_max: a frame that claims more is refused before it is buffered.
    Feed it the pieces in order, then call ``finish`` once.
    """

    def __init__(self, file: str, payload_bytes_max: int) -> None:
        self._file = file
        self._payload_bytes_max = payload_bytes_max
        self._buffer = bytearray()
        self._damage: JournalCorrupt | None = None
        self.end = 0
        """The offset after the last complete frame, where a torn end must be cut."""

    def feed(self, piece: bytes) -> Iterator[RecordFrame]:
        """Yield the frames that are complete now.

        Raises ``JournalCorrupt`` when damage is followed by more than zeros.
        """
        self._buffer += piece
        while self._damage is None:
            frame = self._take()
            if frame is not None:
                yield frame
            elif self._damage is None:
                return
        if any(self._buffer):
            raise self._damage
        self._buffer.clear()

    def finish(self, *, torn_allowed: bool = True) -> bool:
        """Return whether the end of the file is torn; raises ``JournalCorrupt`` when that is not allowed."""
        torn = bool(self._buffer) or self._damage is not None
        if torn and not torn_allowed:
            raise self._damage or self._corrupt(
                f"the file ends {len(self._buffer)} bytes into a frame",
                "a whole frame, as the stream goes on in a later file",
            )
        return torn

    def _take(self) -> RecordFrame | None:
        """Return the next frame when it is complete; record one that fails its checks as damage."""
        buffer = self._buffer
        if len(buffer) < HEADER_BYTES:
            return None
        mark, sequence, count, length, payload_check = _FIELDS.unpack_from(buffer)
        (header_check,) = _CHECK.unpack_from(buffer, _FIELDS.size)
        expected = crc32(buffer[: _FIELDS.size])
        if header_check != expected:
            return self._note(HEADER_BYTES, f"a header with checksum {header_check:#010x}", f"{expected:#010x}")
        if mark != MARK:
            raise self._corrupt(f"the mark {mark:#04x}", f"{MARK:#04x}, the format that this version reads")
        if length > self._payload_bytes_max:
            raise self._corrupt(f"a frame of {length} bytes", f"at most {self._payload_bytes_max}, the limit")
        whole = HEADER_BYTES + length + 1
        if len(buffer) < whole:
            return None
        payload = bytes(buffer[HEADER_BYTES : whole - 1])
        found = crc32(payload)
        if found != payload_check:
            return self._note(whole, f"a payload with checksum {found:#010x}", f"{payload_check:#010x}")
        if buffer[whole - 1] != END_MARK:
            return self._note(whole, f"the end mark {buffer[whole - 1]:#04x}", f"{END_MARK:#04x}")
        del buffer[:whole]
        frame = RecordFrame(sequence, count, payload, self.end)
        self.end += whole
        return frame

    def _note(self, frame_bytes: int, found: str, expected: str) -> RecordFrame | None:
        """Record the damage and keep the bytes from the frame's last one on: only zeros there mean a torn end."""
        self._damage = self._corrupt(found, expected)
        del self._buffer[: frame_bytes - 1]
        return None

    def _corrupt(self, found: str, expected: str) -> JournalCorrupt:
        return JournalCorrupt(
            f"{self._file} is damaged at offset {self.end}: found {found}, expected {expected}; restore the file from "
            f"a copy, or cut it to {self.end} bytes to give up this frame and all after it"
        )
