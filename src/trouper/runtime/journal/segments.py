"""One stream of a file journal: its segments, its end, and the repair of a file that a crash cut short.

Everything here blocks and is for one thread at a time; ``file.py`` ensures both.  A stream is a folder with segment
files, each named by the sequence of its first record; only the last one is written to.  A segment that is full is
fsynced before the next one is made, whatever the policy, so a crash can tear the last segment only.

Laws of this file:
1. ``size_bytes`` is the length of the last segment up to which every append was acknowledged; nothing after it is read.
2. Bytes that a failed append may have left after it are cut away before the next append, which fails when they cannot.
3. After an fsync that failed, the operating system may call pages clean that never reached the disk, so nothing since
   the last good fsync counts as written, and no later fsync of that file is believed: what was acknowledged is read
   back, checked, and written to another file, or it is not acknowledged any more and an error says so.
4. A segment ends where the next one begins: what the file has after that was replaced and is not read.
5. Records that ``truncate_after`` has dropped never come back: the newest segments go first, each durably, after the
   one before it has been cut to its end by law 4; nothing is written while a change of names may not be durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import PurePath
from typing import Protocol

import msgspec

from ..kernel.errors import CallerError
from ..kernel.journal import JournalCorrupt, Record, RecordsGone, StaleWriter, WrongSequence
from ..kernel.logs import get_log
from .disk import AppendFile, Disk
from .record_frames import RecordFrame, RecordFrameReader, encode_frame

RECORD_OVERHEAD_BYTES = 5
"""The most bytes that msgpack adds to a record."""
SEGMENT_SUFFIX = ".log"
TEMPORARY_SUFFIX = ".tmp"

log = get_log("trouper.journal")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a file journal; all but ``snapshots_kept`` in bytes."""

    record_bytes_max: int
    append_bytes_max: int
    snapshot_bytes_max: int
    segment_bytes: int
    read_bytes: int
    snapshots_kept: int


@dataclass(frozen=True, slots=True)
class Append:
    """The arguments of one append."""

    records: Sequence[bytes]
    expected_sequence: int | None
    epoch: int | None = None


IsStale = Callable[[int | None], StaleWriter | None]
"""Returns the error for a writer epoch that has been replaced, None for the present one."""


class _Unpacker(Protocol):
    """The used part of ``msgpack.Unpacker``, which has no type hints."""

    def feed(self, data: bytes) -> None: ...
    def tell(self) -> int: ...
    def __iter__(self) -> Iterator[object]: ...


class StreamFiles:
    """The files of one stream.  ``open`` comes first; ``close`` closes the one file handle.

    disk: the file system.  folder: of the stream.  name: of the stream, for errors.
    """

    def __init__(self, disk: Disk, folder: PurePath, name: str, limits: Limits) -> None:
        self.disk, self.folder, self.name, self.limits = disk, folder, name, limits
        self.firsts: list[int] = []
        """The first sequence of each segment, ascending."""
        self.last_sequence = 0
        self.size_bytes = 0
        self.durable_bytes = 0
        """The length of the last segment up to which a successful fsync has made it durable."""
        self._durable_sequence = 0
        self._uncertain = False
        """Whether a failed append may have left bytes after ``size_bytes``."""
        self._distrusted = False
        """Whether an fsync of the last segment has failed, so that nothing more may be written to it."""
        self._names_uncertain = False
        """Whether a file was removed or renamed without a successful fsync of the folder since."""
        self._handle: AppendFile | None = None
        self.truncations = 0
        """How often records at the end were removed: what a reader of before reads may be others."""

    @property
    def dirty(self) -> bool:
        """Whether an acknowledged append is not fsynced yet."""
        return self.durable_bytes < self.size_bytes

    def path_of(self, first: int) -> PurePath:
        """Return the path of the segment whose first record has this sequence."""
        return self.folder / f"{first:020d}{SEGMENT_SUFFIX}"

    def open(self) -> None:
        """Find the end of the stream, and cut a torn end; raises ``JournalCorrupt``."""
        names = self.disk.names(self.folder)
        for name in names:
            if name.endswith(TEMPORARY_SUFFIX):
                self.disk.remove(self.folder / name)
        self.firsts = sorted(int(name.removesuffix(SEGMENT_SUFFIX)) for name in names if name.endswith(SEGMENT_SUFFIX))
        self.last_sequence = self.size_bytes = self.durable_bytes = self._durable_sequence = 0
        self._uncertain = self._distrusted = self._names_uncertain = False
        if self.firsts:
            self._find_end(self.firsts[-1])

    def _find_end(self, first: int) -> None:
        path = self.path_of(first)
        reader = RecordFrameReader(str(path))
        offset, last = 0, first - 1
        while piece := self.disk.read(path, offset, self.limits.read_bytes):
            offset += len(piece)
            for frame in reader.feed(piece):
                check_sequence(path, frame, last)
                last = frame.last_sequence
        if reader.finish():
            log.warning(
                "stream %s: %s ends in the middle of an append that was not acknowledged; cut from %d to %d bytes",
                self.name, path, offset, reader.end,
            )  # fmt: skip
            self.disk.cut(path, reader.end)
        self.last_sequence, self.size_bytes = last, reader.end
        self._durable_sequence = first - 1  # the process that wrote it may have ended before it was fsynced

    def commit(
        self, appends: Iterable[Append], *, fsync: bool, is_stale: IsStale = lambda _epoch: None
    ) -> list[int | CallerError]:
        """Write appends in one write, fsync them once, and return for each its last sequence, or its error.

        is_stale: is asked for the epoch of each append; a writer may have been replaced while its append waited.
        Raises ``OSError`` when the disk fails; then none of them is acknowledged.
        """
        outcomes: list[int | CallerError] = []
        frames: list[RecordFrame] = []
        last = self.last_sequence
        for append in appends:
            stale = is_stale(append.epoch)
            if stale is not None:
                outcomes.append(stale)
                continue
            if append.expected_sequence not in (None, last):
                outcomes.append(wrong_sequence(self.name, append.expected_sequence, last))
                continue
            if append.records:
                frames.append(RecordFrame(last + 1, len(append.records), pack(append.records)))
                last += len(append.records)
            outcomes.append(last)
        if frames:
            self._write(frames, last, fsync=fsync)
        return outcomes

    def _write(self, frames: Iterable[RecordFrame], last: int, *, fsync: bool) -> None:
        self._repair()
        if not self.firsts or self._distrusted or self.size_bytes >= self.limits.segment_bytes:
            self._begin_segment()
        data = encode_frames(frames, self.size_bytes, self.durable_bytes)
        self._uncertain = True
        try:
            handle = self._open_handle()
            handle.append(data)
            if fsync:
                self._fsync(handle)
        except OSError:
            with suppress(OSError):  # the next append tries again
                self._repair()
            raise
        self._uncertain = False
        self.size_bytes += len(data)
        self.last_sequence = last
        if fsync:
            self.durable_bytes, self._durable_sequence = self.size_bytes, last

    def _fsync(self, handle: AppendFile) -> None:
        try:
            handle.fsync()
        except OSError:
            self._distrusted = True
            raise

    def _begin_segment(self) -> None:
        self.close()
        self.disk.make_folder(self.folder)
        first = self.last_sequence + 1
        if first not in self.firsts:
            self._handle = self.disk.open_append(self.path_of(first))
            self.disk.fsync_folder(self.folder)
            self.firsts.append(first)
        self.size_bytes = self.durable_bytes = 0
        self._distrusted = False

    def _repair(self) -> None:
        """Cut away what a failed change may have left; when the disk fails again, so does the next append."""
        self._fsync_names()
        if self._uncertain:
            self._drop_handle()
            self.disk.cut(self.path_of(self.firsts[-1]), self.size_bytes)
            self._uncertain = False
        if self._distrusted:
            self._replace_distrusted()

    def _replace_distrusted(self) -> None:
        """Write what was acknowledged since the last good fsync to another file, durably.

        The file with the failed fsync keeps what was durable; when that is nothing, it is replaced or removed.
        """
        self._drop_handle()
        path, first = self.path_of(self.firsts[-1]), self._durable_sequence + 1
        frames = self._acknowledged_frames(path)
        if frames:
            self._replace_segment(first, frames)
            self._distrusted = False
            log.warning(
                "stream %s: an fsync of %s failed; the records %d to %d, acknowledged since the last good one, were "
                "written again to %s", self.name, path, first, self.last_sequence, self.path_of(first),
            )  # fmt: skip
        elif self.durable_bytes == 0:  # the next segment would have its name
            self.disk.remove(path)
            self.disk.fsync_folder(self.folder)
            self.firsts.pop()
            self.size_bytes = 0
            self._distrusted = False

    def _replace_segment(self, first: int, frames: Sequence[RecordFrame]) -> None:
        """Write frames to the segment of this first sequence, which becomes the last one, durably and at one moment.

        A file of this name is replaced; in the one before it, what comes from ``first`` on is not read any more.
        """
        data, path = encode_frames(frames, 0, 0), self.path_of(first)
        temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        if temporary.name in self.disk.names(self.folder):
            self.disk.remove(temporary)
        file = self.disk.open_append(temporary)
        try:
            file.append(data)
            file.fsync()
        finally:
            file.close()
        self.disk.rename(temporary, path)
        self._names_uncertain = True
        if self.firsts[-1] != first:
            self.firsts.append(first)
        self._set_end(frames[-1].last_sequence, len(data))
        self._fsync_names()

    def _set_end(self, last_sequence: int, size_bytes: int) -> None:
        """Note the end of the stream, which is durable."""
        self.last_sequence = self._durable_sequence = last_sequence
        self.size_bytes = self.durable_bytes = size_bytes

    def _fsync_names(self) -> None:
        if self._names_uncertain:
            self.disk.fsync_folder(self.folder)
            self._names_uncertain = False

    def _acknowledged_frames(self, path: PurePath) -> list[RecordFrame]:
        """Read back what was acknowledged and is not durable; what fails its checks is given up, with an error."""
        frames: list[RecordFrame] = []
        if not self.dirty:
            return frames
        reader = RecordFrameReader(str(path), self.durable_bytes)
        data = self.disk.read(path, self.durable_bytes, self.size_bytes - self.durable_bytes)
        frames += reader.feed(data)
        found = frames[-1].last_sequence if frames else self._durable_sequence
        if found != self.last_sequence:
            log.error(
                "stream %s: an fsync of %s failed, and the records %d to %d, which had been acknowledged under this "
                "fsync policy, cannot be read back: the stream ends with %d", self.name, path, found + 1,
                self.last_sequence, found,
            )  # fmt: skip
            self.last_sequence = found
            self.size_bytes = reader.end
        return frames

    def _open_handle(self) -> AppendFile:
        if self._handle is None:
            self._handle = self.disk.open_append(self.path_of(self.firsts[-1]))
        return self._handle

    def sync(self) -> None:
        """Make everything that was acknowledged durable."""
        if not self.dirty or not self.firsts:
            return
        self._repair()
        if self.dirty:
            try:
                self._fsync(self._open_handle())
            except OSError:
                self._repair()
                return
            self.durable_bytes, self._durable_sequence = self.size_bytes, self.last_sequence

    def close(self) -> None:
        """Make everything durable and close the handle."""
        try:
            self.sync()
        finally:
            self._drop_handle()

    def _drop_handle(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def truncate(self, up_to_sequence: int) -> None:
        """Remove the segments all of whose records are at or before a sequence; the last one stays, with its end."""
        while len(self.firsts) > 1 and self.firsts[1] <= up_to_sequence + 1:
            self.disk.remove(self.path_of(self.firsts[0]))
            del self.firsts[0]
            self._names_uncertain = True
            self._fsync_names()  # one by one, so that a crash leaves no gap

    def truncate_after(self, sequence: int) -> None:
        """Remove the records after a sequence; raises ``RecordsGone``, ``WrongSequence``."""
        check_kept(self.name, sequence, self.firsts[0] if self.firsts else 1)
        self.sync()
        self._repair()
        if sequence >= self.last_sequence:
            return
        self._drop_handle()
        self.truncations += 1
        while self.firsts[-1] > sequence + 1:
            self._remove_last_segment()
        if sequence < self.last_sequence:
            self._cut_last_segment(sequence)

    def _remove_last_segment(self) -> None:
        """Remove the last of several segments; the one before it may have a replaced end, which is cut off first."""
        before, first = self.firsts[-2:]
        path = self.path_of(before)
        end = next((frame.end for frame in self._frames_of(path) if frame.last_sequence == first - 1), None)
        if end is None:
            raise file_missing(path, before - 1, first)
        if self.disk.size_bytes(path) > end:
            self.disk.cut(path, end)
        self.disk.remove(self.path_of(first))
        del self.firsts[-1]
        self._distrusted = False
        self._names_uncertain = True
        self._set_end(first - 1, end)
        self._fsync_names()

    def _cut_last_segment(self, sequence: int) -> None:
        """Cut the last segment after a record, which may be in the middle of an append."""
        path = self.path_of(self.firsts[-1])
        frame = next((frame for frame in self._frames_of(path) if frame.last_sequence > sequence), None)
        if frame is None:
            raise file_missing(path, sequence, self.last_sequence)
        if frame.sequence <= sequence:
            kept = [record.payload for record in records_of(path, frame) if record.sequence <= sequence]
            self._replace_segment(frame.sequence, [RecordFrame(frame.sequence, len(kept), pack(kept))])
            return
        self._set_end(sequence, frame.offset)
        self._uncertain = True  # when the cut fails, the next change of the stream tries it again
        self.disk.cut(path, frame.offset)
        self._uncertain = False

    def _frames_of(self, path: PurePath) -> Iterator[RecordFrame]:
        """Yield the frames of a whole segment; raises ``JournalCorrupt``."""
        reader, offset = RecordFrameReader(str(path)), 0
        while piece := self.disk.read(path, offset, self.limits.read_bytes):
            offset += len(piece)
            yield from reader.feed(piece)
        reader.finish()

    def reader(self, from_sequence: int) -> RecordReader:
        """Return a reader of what is acknowledged now; raises ``RecordsGone``."""
        first_kept = self.firsts[0] if self.firsts else 1
        if 0 < from_sequence < first_kept:
            raise records_gone(self.name, from_sequence, first_kept)
        begin = max(from_sequence, first_kept)
        later = [first for first in self.firsts if first > begin]
        firsts = self.firsts[len(self.firsts) - len(later) - 1 :]
        return RecordReader(self, firsts, begin, self.size_bytes)


class RecordReader:
    """Reads the records of a stream, a bounded number of bytes at a time.

    It holds no file handle between two reads.
    """

    def __init__(self, files: StreamFiles, firsts: Sequence[int], begin: int, end_bytes: int) -> None:
        self.files, self._firsts, self._begin, self._end_bytes = files, list(firsts), begin, end_bytes
        self._truncations = files.truncations
        self._offset = 0
        self._last = self._firsts[0] - 1 if self._firsts else 0
        self._frames: RecordFrameReader | None = None

    def next_records(self) -> list[Record]:
        """Return the next records; an empty list is the end.  Raises ``JournalCorrupt``, ``OSError``."""
        records: list[Record] = []
        while self._firsts and not records:
            records = self._read_piece()
        return records

    def _read_piece(self) -> list[Record]:
        limits, path = self.files.limits, self.files.path_of(self._firsts[0])
        next_first = self._firsts[1] if len(self._firsts) > 1 else None
        if self._frames is None:
            self._frames = RecordFrameReader(str(path))
        wanted = limits.read_bytes if next_first else min(limits.read_bytes, self._end_bytes - self._offset)
        piece = self.files.disk.read(path, self._offset, wanted)
        if self.files.truncations != self._truncations:
            raise RecordsGone(f"stream {self.files.name!r} was truncated while it was read: read it again")
        self._offset += len(piece)
        records: list[Record] = []
        for frame in self._frames.feed(piece):
            if frame.sequence == next_first:
                break
            check_sequence(path, frame, self._last)
            self._last = frame.last_sequence
            if self._last >= self._begin:
                records += (record for record in records_of(path, frame) if record.sequence >= self._begin)
        if self._last + 1 == next_first or not piece:
            self._end_of_file(path, next_first)
        return records

    def _end_of_file(self, path: PurePath, next_first: int | None) -> None:
        """Go on with the next file, when this one has all records before it."""
        if self._last + 1 != next_first:
            assert self._frames is not None  # made when the first piece of the file was read
            self._frames.finish(torn_allowed=False)
            if next_first is not None:
                raise file_missing(path, self._last, next_first)
        self._frames, self._offset = None, 0
        del self._firsts[0]


def encode_frames(frames: Iterable[RecordFrame], offset: int, durable_bytes: int) -> bytes:
    """Return frames as bytes for this offset of a file of which so many bytes are durable."""
    encoded: list[bytes] = []
    for frame in frames:
        encoded.append(encode_frame(replace(frame, offset=offset, durable_bytes=durable_bytes)))
        offset += len(encoded[-1])
    return b"".join(encoded)


def pack(records: Iterable[bytes]) -> bytes:
    """Return the payload of a frame."""
    return b"".join(msgspec.msgpack.encode(bytes(record)) for record in records)


def records_of(path: PurePath, frame: RecordFrame) -> list[Record]:
    """Decode the records of a frame, which may be longer than the limits for new records are now.

    Raises ``JournalCorrupt`` for anything but ``count`` byte strings.
    """
    msgpack = import_module("msgpack")  # loaded on first use, not by `import trouper`
    payload_bytes = max(1, len(frame.payload))
    unpacker: _Unpacker = msgpack.Unpacker(max_buffer_size=payload_bytes, max_bin_len=payload_bytes)
    try:
        unpacker.feed(frame.payload)
        values = list(unpacker)
    except (ValueError, msgpack.UnpackException) as error:
        raise JournalCorrupt(
            f"{path}, frame at offset {frame.offset}: its payload is not a list of records: {error}"
        ) from error
    if len(values) != frame.count or unpacker.tell() != len(frame.payload):
        raise JournalCorrupt(
            f"{path}: the frame of sequence {frame.sequence} has {len(values)} records, expected {frame.count}"
        )
    records: list[Record] = []
    for place, value in enumerate(values):
        if not isinstance(value, bytes):
            raise JournalCorrupt(f"{path}: record {frame.sequence + place} is {type(value).__name__}, expected bytes")
        records.append(Record(frame.sequence + place, value))
    return records


def check_sequence(path: PurePath, frame: RecordFrame, last: int) -> None:
    """Raise ``JournalCorrupt`` unless a frame begins with the sequence after ``last``."""
    if frame.sequence != last + 1 or frame.count < 1:
        raise JournalCorrupt(
            f"{path}: found {frame.count} records from sequence {frame.sequence}, expected sequence {last + 1}; "
            "restore the file from a backup"
        )


def file_missing(path: PurePath, last: int, next_first: int) -> JournalCorrupt:
    """Return the error for a segment that ends before the next one begins."""
    return JournalCorrupt(
        f"{path} ends with sequence {last} and the next file of the stream begins with {next_first}, expected "
        f"{last + 1}: a file is missing; restore it from a backup"
    )


def wrong_sequence(stream: str, expected: int | None, last: int) -> WrongSequence:
    """Return the error for an append, or a snapshot, that expects another last sequence."""
    return WrongSequence(
        f"stream {stream!r} ends with sequence {last}, not {expected}: it has another writer, or was not read to "
        "its end; give each writer a stream of its own"
    )


def check_kept(stream: str, sequence: int, first_kept: int) -> None:
    """Raise ``RecordsGone`` when a stream cannot end with a sequence, since it begins later.

    Raises ``WrongSequence`` for a sequence below 0.
    """
    if sequence < 0:
        raise WrongSequence(
            f"stream {stream!r} cannot be truncated after {sequence}: give the sequence of a record, or 0"
        )
    if sequence < first_kept - 1:
        raise RecordsGone(
            f"stream {stream!r} cannot be truncated after {sequence}: it was truncated before and begins with sequence "
            f"{first_kept}; choose {first_kept - 1} or more"
        )


def records_gone(stream: str, wanted: int, first_kept: int) -> RecordsGone:
    """Return the error for a read of records that were truncated."""
    return RecordsGone(
        f"stream {stream!r} was truncated: it begins with sequence {first_kept}, and {wanted} was asked for; "
        "load a snapshot first, or read from 0 for what is left"
    )
