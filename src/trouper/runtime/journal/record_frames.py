"""Record frames: the format of records in a file, and how damage is told from an unfinished write (PURE).

A file is a sequence of frames.  One frame is one append, so an append is read whole or not at all:

    offset  bytes  field
    0       1      mark 0xA8, which also is the version of this format
    1       1      mask: each byte of the payload is stored with these bits flipped
    2       8      sequence of the first record
    10      4      how many records
    14      4      bytes of payload
    18      8      how many bytes of this file were on the disk, by a successful fsync, before this frame was written
    26      4      CRC-32 of the payload as it is stored
    30      4      CRC-32 of the 30 bytes above and the frame's own offset, so that a damaged length is never believed
    34      n      payload
    34+n    1      end mark 0x5A

Numbers are big-endian.  A crash leaves of what was not fsynced some sectors (of 512 bytes) as they were written and the
others as zeros, in any order; the file may be cut anywhere.  The mask is chosen so that no complete frame has a
sector's part that is all zeros.  So bytes that fail a check are an unfinished write (the end is *torn*) when the file
ends inside the frame, when it has a sector's part of zeros, or when only zeros follow; and when no later frame says
that they had been on the disk before.  Anything else is *damage*.

Complexity: each byte is read once, and copied twice; one frame is held, and after damage the rest of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

from ..kernel.journal import JournalCorrupt

MARK, END_MARK = 0xA8, 0x5A
SECTOR_BYTES = 512
"""What a disk writes whole or not at all; pages of memory are a multiple of it."""
_ZEROS_MAX = SECTOR_BYTES // 2
"""A run of as many equal bytes decides the mask: less than a sector, since a header may begin the sector."""
_FIELDS = struct.Struct(">BBQIIQI")
_CHECK = struct.Struct(">I")
HEADER_BYTES = _FIELDS.size + _CHECK.size


@dataclass(frozen=True, slots=True)
class RecordFrame:
    """One append: ``count`` records, numbered from ``sequence``, encoded in ``payload``, at ``offset`` of its file.

    durable_bytes: of the file, when the frame was written.
    """

    sequence: int
    count: int
    payload: bytes
    offset: int = 0
    durable_bytes: int = 0

    @property
    def last_sequence(self) -> int:
        """The sequence of the last record in the frame."""
        return self.sequence + self.count - 1

    @property
    def end(self) -> int:
        """The offset of the byte after the frame."""
        return self.offset + HEADER_BYTES + len(self.payload) + 1


@dataclass(frozen=True, slots=True)
class _Header:
    """The fields of a header whose checksum is right."""

    mask: int
    sequence: int
    count: int
    length: int
    durable_bytes: int
    payload_check: int

    @property
    def frame_bytes(self) -> int:
        return HEADER_BYTES + self.length + 1


def encode_frame(frame: RecordFrame) -> bytes:
    """Return the bytes of a frame."""
    mask = _mask_for(frame.payload)
    stored = _masked(frame.payload, mask)
    fields = _FIELDS.pack(MARK, mask, frame.sequence, frame.count, len(stored), frame.durable_bytes, crc32(stored))
    return b"".join((fields, _CHECK.pack(_header_check(fields, frame.offset)), stored, bytes((END_MARK,))))


def _mask_for(payload: bytes) -> int:
    """Return the smallest mask after which the payload has no long run of zeros; 0 when each of the 256 leaves one."""
    return next((mask for mask in range(256) if bytes((mask,)) * _ZEROS_MAX not in payload), 0)


def _masked(payload: bytes, mask: int) -> bytes:
    return payload if mask == 0 else payload.translate(bytes(byte ^ mask for byte in range(256)))


def _header_check(fields: bytes | bytearray, offset: int) -> int:
    """The checksum of a header; a frame that was copied to another place of a file has another one."""
    return crc32(fields, offset & 0xFFFF_FFFF)


class RecordFrameReader:
    """Parses the bytes of one file, fed in pieces, into frames.

    file: its name, for errors.  begin: the offset of the first byte that is fed.
    Feed it the pieces in order, then call ``finish`` once.
    """

    def __init__(self, file: str, begin: int = 0) -> None:
        self._file = file
        self._buffer = bytearray()
        self._damage: JournalCorrupt | None = None
        self.end = begin
        """The offset after the last complete frame, where a torn end must be cut."""

    def feed(self, piece: bytes) -> Iterator[RecordFrame]:
        """Yield the frames that are complete now; after damage there are none, and ``finish`` says what it is."""
        self._buffer += piece
        while self._damage is None:
            frame = self._take()
            if frame is None:
                return
            yield frame

    def finish(self, *, torn_allowed: bool = True) -> bool:
        """Return whether the end of the file is torn; raises ``JournalCorrupt`` for damage, and where torn is too."""
        if not self._buffer:
            return False
        damage = self._damage or self._corrupt(
            f"the file ends {len(self._buffer)} bytes into a frame",
            "a whole frame, as it was on the disk before",
        )
        if not torn_allowed or not self._is_torn():
            raise damage
        return True

    def _take(self) -> RecordFrame | None:
        """Return the next frame when it is complete; record one that fails its checks as damage."""
        buffer = self._buffer
        if len(buffer) < HEADER_BYTES:
            return None
        header = self._header_at(0)
        if header is None:
            (check,) = _CHECK.unpack_from(buffer, _FIELDS.size)
            expected = _header_check(buffer[: _FIELDS.size], self.end)
            self._note(f"a header with checksum {check:#010x}", f"{expected:#010x}")
            return None
        if buffer[0] != MARK:
            self._note(f"the mark {buffer[0]:#04x}", f"{MARK:#04x}, the format that this version reads")
            return None
        whole = header.frame_bytes
        if len(buffer) < whole:
            return None
        stored = bytes(buffer[HEADER_BYTES : whole - 1])
        found = crc32(stored)
        if found != header.payload_check:
            self._note(f"a payload with checksum {found:#010x}", f"{header.payload_check:#010x}")
            return None
        if buffer[whole - 1] != END_MARK:
            self._note(f"the end mark {buffer[whole - 1]:#04x}", f"{END_MARK:#04x}")
            return None
        del buffer[:whole]
        payload = _masked(stored, header.mask)
        frame = RecordFrame(header.sequence, header.count, payload, self.end, header.durable_bytes)
        self.end += whole
        return frame

    def _header_at(self, place: int) -> _Header | None:
        """Return the header at a place of the buffer, or None when its checksum is wrong."""
        fields = self._buffer[place : place + _FIELDS.size]
        (check,) = _CHECK.unpack_from(self._buffer, place + _FIELDS.size)
        if check != _header_check(fields, self.end + place):
            return None
        return _Header(*_FIELDS.unpack(fields)[1:])

    def _is_torn(self) -> bool:
        """Return whether the bytes from ``end`` on are an unfinished write."""
        buffer = self._buffer
        if len(buffer) < HEADER_BYTES:
            return True
        header = self._header_at(0)
        if header is not None and buffer[0] != MARK:
            return False
        later = list(self._later_headers())
        if any(each.durable_bytes > self.end for _, each in later):
            return False
        if header is not None and header.frame_bytes > len(buffer):
            return True
        checked = HEADER_BYTES if header is None else header.frame_bytes
        if not any(buffer[checked - 1 :]):
            return True
        end = later[0][0] if header is None and later else len(buffer) if header is None else header.frame_bytes
        return any(not any(part) for part in self._sector_parts(end))

    def _later_headers(self) -> Iterator[tuple[int, _Header]]:
        """Yield the headers after the first byte of the buffer whose checksums are right, each with its place."""
        place = self._buffer.find(MARK, 1)
        while 0 <= place <= len(self._buffer) - HEADER_BYTES:
            header = self._header_at(place)
            if header is not None:
                yield place, header
            place = self._buffer.find(MARK, place + 1)

    def _sector_parts(self, end: int) -> Iterator[bytearray]:
        """Yield the buffer up to a place, divided where sectors of the file begin."""
        begin = 0
        while begin < end:
            part_end = min(end, begin + SECTOR_BYTES - (self.end + begin) % SECTOR_BYTES)
            yield self._buffer[begin:part_end]
            begin = part_end

    def _note(self, found: str, expected: str) -> None:
        """Record damage; what follows it is kept, to tell it from an unfinished write."""
        self._damage = self._corrupt(found, expected)

    def _corrupt(self, found: str, expected: str) -> JournalCorrupt:
        return JournalCorrupt(
            f"{self._file} is damaged at offset {self.end}: found {found}, expected {expected}; nothing was changed: "
            "make a copy of the journal's folder first, then restore the file from a backup"
        )
