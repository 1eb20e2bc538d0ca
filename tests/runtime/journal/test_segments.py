"""The files of one stream: where it ends, what a failed write leaves, and what is said about damage."""

import logging
import re
from pathlib import PurePath

import msgspec
import pytest

from trouper.runtime.journal import JournalCorrupt, SimulatedDisk, WrongSequence
from trouper.runtime.journal.record_frames import RecordFrame, encode_frame
from trouper.runtime.journal.segments import Append, Limits, StreamFiles

FOLDER = PurePath("stream")
LIMITS = Limits(
    record_bytes_max=100,
    append_bytes_max=1_000,
    snapshot_bytes_max=1_000,
    segment_bytes=90,
    read_bytes=16,
    snapshots_kept=2,
)


def _files(disk: SimulatedDisk) -> StreamFiles:
    files = StreamFiles(disk, FOLDER, "s", LIMITS)
    files.open()
    return files


def _append(files: StreamFiles, *records: bytes, fsync: bool = True) -> int:
    (outcome,) = files.commit([Append(records, None)], fsync=fsync)
    assert isinstance(outcome, int)
    return outcome


def _read(files: StreamFiles, from_sequence: int = 0) -> list[bytes]:
    reader = files.reader(from_sequence)
    got: list[bytes] = []
    while records := reader.next_records():
        got += (record.payload for record in records)
    return got


def test_one_commit_settles_each_of_its_appends() -> None:
    """An append that expects another end is refused, those around it are written, with one write and one fsync."""
    disk = SimulatedDisk()
    files = _files(disk)
    outcomes = files.commit([Append([b"a"], 0), Append([b"b"], 7), Append([], 1), Append([b"c", b"d"], 1)], fsync=True)
    assert [outcome if isinstance(outcome, int) else type(outcome) for outcome in outcomes] == [1, WrongSequence, 1, 3]
    assert disk.operations == 4  # create, fsync of the folder, append, fsync
    assert _read(files) == [b"a", b"c", b"d"]


def test_a_full_segment_is_followed_by_another() -> None:
    """Segments are named by their first record, and reading goes through all of them, also from the middle of one."""
    disk = SimulatedDisk()
    files = _files(disk)
    records = [b"%02d" % number * 10 for number in range(9)]
    for record in records:
        _append(files, record)
    assert disk.names(FOLDER) == [f"{first:020d}.log" for first in (1, 3, 5, 7, 9)]
    assert _read(_files(disk)) == records
    assert _read(files, 6) == records[5:]


def test_a_torn_end_is_cut_with_a_warning_and_the_stream_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """What is left of an append that was never acknowledged goes; the next append takes its number."""
    disk = SimulatedDisk()
    _append(_files(disk), b"whole")
    path = FOLDER / f"{1:020d}.log"
    size = disk.size_bytes(path)
    disk.open_append(path).append(encode_frame(RecordFrame(2, 1, b"\xa1x"))[:-1])
    with caplog.at_level(logging.WARNING):
        files = _files(disk)
    (warning,) = caplog.messages
    assert warning.startswith(f"stream s: {path} ends in the middle of an append that was not acknowledged; ")
    assert warning.endswith(f"; cut from {size + 27} to {size} bytes")
    assert disk.size_bytes(path) == size
    assert _append(files, b"next") == 2
    assert _read(_files(disk)) == [b"whole", b"next"]


@pytest.mark.parametrize("operation", ["append", "fsync"])
def test_what_a_failed_append_left_is_cut_before_the_next_one(operation: str) -> None:
    """None of a failed append is read, now or after a new opening, and the next append is not behind it."""
    disk = SimulatedDisk()
    files = _files(disk)
    _append(files, b"one")

    def full(what: str, path: PurePath) -> None:
        if what == operation:
            raise OSError(28, f"no space left for {path}")

    disk.fault = full
    with pytest.raises(OSError, match="no space left"):
        _append(files, b"lost")
    assert _read(files) == [b"one"]
    assert files.last_sequence == 1
    disk.fault = None
    assert _append(files, b"two") == 2
    assert _read(files) == _read(_files(disk)) == [b"one", b"two"]


def test_a_failed_append_stays_in_the_way_until_the_disk_can_cut() -> None:
    """While the leftovers cannot be cut away, every append fails; nothing is written behind them."""
    disk = SimulatedDisk()
    files = _files(disk)
    _append(files, b"one")
    refused: set[str] = {"append", "cut"}

    def fault(operation: str, path: PurePath) -> None:
        if operation in refused:
            raise OSError(5, f"{operation} of {path}")

    disk.fault = fault
    for expected in ("append of", "cut of", "cut of"):
        with pytest.raises(OSError, match=expected):
            _append(files, b"lost")
    refused.clear()
    assert _append(files, b"two") == 2
    assert _read(_files(disk)) == [b"one", b"two"]


def test_a_segment_that_cannot_be_made_fails_the_append_alone() -> None:
    """The stream stays as it was, and the next append makes the segment."""
    disk = SimulatedDisk()
    files = _files(disk)
    for record in (b"a" * 60, b"b" * 60):
        _append(files, record)

    def fault(operation: str, path: PurePath) -> None:
        if operation == "fsync_folder":
            raise OSError(5, str(path))

    disk.fault = fault
    with pytest.raises(OSError, match="stream"):
        _append(files, b"c")
    disk.fault = None
    assert _append(files, b"c") == 3
    assert _read(_files(disk)) == [b"a" * 60, b"b" * 60, b"c"]


@pytest.mark.parametrize(
    ("payload", "count", "problem"),
    [
        (msgspec.msgpack.encode(7), 1, "record 3 is int, expected bytes"),
        (msgspec.msgpack.encode(b"x"), 2, "the frame of sequence 3 has 1 records, expected 2"),
        (b"\xc4\x09abc", 1, "the frame of sequence 3 has 0 records, expected 1"),
        (msgspec.msgpack.encode(b"x" * 101), 1, "frame at offset 0: its payload is not a list of records: 101 exceeds"),
        (b"\xc1", 1, "frame at offset 0: its payload is not a list of records"),
    ],
    ids=["not_bytes", "too_few", "incomplete", "too_large", "not_msgpack"],
)  # fmt: skip
def test_a_payload_that_is_no_list_of_records_is_damage(payload: bytes, count: int, problem: str) -> None:
    """Whatever checks as a frame and still is not what a journal writes is named, under limits, never guessed at."""
    disk = SimulatedDisk()
    disk.open_append(FOLDER / f"{3:020d}.log").append(encode_frame(RecordFrame(3, count, payload)))
    with pytest.raises(JournalCorrupt, match=re.escape(problem)):
        _read(_files(disk))


def test_a_missing_file_and_a_missing_record_are_damage() -> None:
    """A hole in the sequence is named, between two files and within one."""
    disk = SimulatedDisk()
    files = _files(disk)
    for letter in "abc":
        _append(files, letter.encode() * 70)
    disk.remove(files.path_of(2))
    with pytest.raises(JournalCorrupt, match=r"ends with sequence 1 and the next file of the stream begins with 3"):
        _read(_files(disk))
    disk.open_append(files.path_of(3)).append(encode_frame(RecordFrame(5, 1, b"")))
    with pytest.raises(JournalCorrupt, match=r"found 1 records from sequence 5, expected sequence 4"):
        _files(disk)


def test_a_segment_torn_although_another_follows_is_damage() -> None:
    """Only the last file may be torn."""
    disk = SimulatedDisk()
    files = _files(disk)
    for letter in "ab":
        _append(files, letter.encode() * 70)
    disk.cut(files.path_of(1), 50)
    with pytest.raises(JournalCorrupt, match=r"found the file ends 50 bytes into a frame, expected a whole frame"):
        _read(_files(disk))


def test_leftovers_of_a_snapshot_are_removed() -> None:
    """A file that was being written beside its place when the process ended goes at the next opening."""
    disk = SimulatedDisk()
    disk.open_append(FOLDER / "x.snapshot.tmp").append(b"half")
    _files(disk)
    assert disk.names(FOLDER) == []


def test_closing_makes_what_was_written_durable_and_frees_the_handle() -> None:
    """An append without an fsync is safe once the files are closed."""
    disk = SimulatedDisk()
    files = _files(disk)
    _append(files, b"x", fsync=False)
    assert (files.dirty, disk.files_open) == (True, 1)
    files.close()
    assert (files.dirty, disk.files_open) == (False, 0)
