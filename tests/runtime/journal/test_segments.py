"""The files of one stream: where it ends, what a failed write leaves, and what is said about damage."""

import logging
import re
from dataclasses import replace
from pathlib import PurePath
from random import Random

import msgspec
import pytest

from trouper.runtime.journal import JournalCorrupt, SimulatedDisk, StaleWriter, WrongSequence
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


ROOMY = replace(LIMITS, segment_bytes=1_000)


def _files(disk: SimulatedDisk, limits: Limits = LIMITS) -> StreamFiles:
    files = StreamFiles(disk, FOLDER, "s", limits)
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
    disk.open_append(path).append(encode_frame(RecordFrame(2, 1, b"\xa1x", size))[:-1])
    with caplog.at_level(logging.WARNING):
        files = _files(disk)
    (warning,) = caplog.messages
    assert warning.startswith(f"stream s: {path} ends in the middle of an append that was not acknowledged; ")
    assert warning.endswith(f"; cut from {size + 36} to {size} bytes")
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
        (b"\xc1", 1, "frame at offset 0: its payload is not a list of records"),
    ],
    ids=["not_bytes", "too_few", "incomplete", "not_msgpack"],
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
    size = disk.size_bytes(files.path_of(3))
    disk.open_append(files.path_of(3)).append(encode_frame(RecordFrame(5, 1, b"", size)))
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


class Faults:
    """Refuses the operations that are named, on files whose names end as said."""

    def __init__(self, *operations: str, suffix: str = "") -> None:
        self.operations, self.suffix = set(operations), suffix

    def __call__(self, operation: str, path: PurePath) -> None:
        """Raise for an operation that is refused."""
        if operation in self.operations and path.name.endswith(self.suffix):
            raise OSError(5, f"{operation} of {path.name}")


@pytest.mark.parametrize("synced", [0, 1, 3])
def test_after_a_failed_fsync_what_was_acknowledged_is_written_to_another_file(
    synced: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The file with the failed fsync is never trusted again: a crash loses nothing after a later good sync."""
    for seed in range(20):
        disk = SimulatedDisk()
        files = _files(disk, ROOMY)
        records = [b"%d" % number * 5 for number in range(5)]
        for record in records[:synced]:
            _append(files, record)
        for record in records[synced:4]:
            _append(files, record, fsync=False)
        disk.fault = faults = Faults("fsync", suffix=".log")
        files.sync()
        assert not files.dirty
        assert f"the records {synced + 1} to 4, acknowledged since the last good one, were written again" in caplog.text
        faults.operations.clear()
        assert _append(files, records[4]) == 5
        assert _read(files) == records
        disk.crash(Random(seed))
        assert _read(_files(disk)) == records
        caplog.clear()


def test_while_nothing_can_be_written_again_every_append_and_sync_fails() -> None:
    """Nothing since the last good fsync counts as written; once the disk works, all of it is."""
    disk = SimulatedDisk()
    files = _files(disk)
    _append(files, b"safe")
    _append(files, b"risky", fsync=False)
    disk.fault = faults = Faults("fsync")
    for _ in "123":
        with pytest.raises(OSError, match="fsync of"):
            files.sync()
        with pytest.raises(OSError, match="fsync of"):
            _append(files, b"refused", fsync=False)
        assert files.dirty
    faults.operations.clear()
    assert _append(files, b"next", fsync=False) == 3
    disk.crash(Random(3))
    assert _read(_files(disk))[:2] == [b"safe", b"risky"]


def test_what_cannot_be_read_back_after_a_failed_fsync_is_given_up_with_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The stream ends where it is whole, so the next append with an expectation is refused, and the log says why."""
    disk = SimulatedDisk()
    files = _files(disk, ROOMY)
    _append(files, b"safe")
    for record in (b"one", b"two", b"three"):
        _append(files, record, fsync=False)
    path = files.path_of(1)
    disk.damage(path, disk.size_bytes(path) - 60, 0xFF)
    disk.fault = faults = Faults("fsync", suffix=".log")
    files.sync()
    faults.operations.clear()
    assert (
        "and the records 3 to 4, which had been acknowledged under this fsync policy, cannot be read back"
        in caplog.text
    )
    assert (files.last_sequence, _read(files)) == (2, [b"safe", b"one"])
    (outcome,) = files.commit([Append([b"x"], 4)], fsync=True)
    assert isinstance(outcome, WrongSequence)
    assert _append(files, b"again") == 3
    assert _read(_files(disk)) == [b"safe", b"one", b"again"]


def test_limits_that_are_made_smaller_make_no_damage() -> None:
    """What was written under larger limits is read: limits are for new records."""
    disk = SimulatedDisk()
    _append(_files(disk), b"x" * 99, b"y" * 99)
    small = replace(LIMITS, record_bytes_max=10, append_bytes_max=10, segment_bytes=10, read_bytes=3)
    files = StreamFiles(disk, FOLDER, "s", small)
    files.open()
    assert _read(files) == [b"x" * 99, b"y" * 99]
    assert _append(files, b"z") == 3


def test_sectors_of_a_torn_append_in_any_order_are_cut_and_what_was_fsynced_stays() -> None:
    """Appends of several sectors, of zeros too; after each crash the fsynced ones are there and the stream goes on."""
    large = replace(LIMITS, record_bytes_max=9_000, append_bytes_max=20_000, segment_bytes=50_000)
    for seed in range(200):
        disk, rng = SimulatedDisk(), Random(seed)
        files = StreamFiles(disk, FOLDER, "s", large)
        files.open()
        records = [bytes((rng.choice((0, 1, 0xA8)),)) * rng.randint(0, 5_000) for _ in range(6)]
        for record in records[:3]:
            _append(files, record)
        for record in records[3:]:
            _append(files, record, fsync=False)
        disk.crash(rng)
        survivor = StreamFiles(disk, FOLDER, "s", large)
        survivor.open()
        read = _read(survivor)
        assert len(read) >= 3
        assert read == records[: len(read)]
        assert _append(survivor, b"next") == len(read) + 1


def _with_fault(files: StreamFiles, disk: SimulatedDisk, cut: int, failing: int) -> bool:
    """Cut a stream while the operation of this number fails; says whether there was one."""
    count = 0

    def fault(operation: str, path: PurePath) -> None:
        nonlocal count
        count += 1
        if count == failing:
            raise OSError(5, f"{operation} of {path}")

    disk.fault = fault
    try:
        files.truncate_after(cut)
    except OSError:
        assert count >= failing
    disk.fault = None
    return count >= failing


@pytest.mark.parametrize("cut", range(12))
def test_a_cut_that_the_disk_refuses_anywhere_is_made_by_the_next_call(cut: int) -> None:
    """The stream is readable in between, and what is dropped never comes back, whatever a crash takes later."""
    for failing in range(1, 100):
        for crash in (False, True):
            disk = SimulatedDisk()
            files = _files(disk)
            records = [b"%02d" % number * 8 for number in range(1, 13)]
            for first in range(0, 12, 3):
                _append(files, *records[first : first + 3])
            failed = _with_fault(files, disk, cut, failing)
            assert cut <= files.last_sequence <= 12
            assert _read(files) == records[: files.last_sequence]
            files.truncate_after(cut)
            assert _append(files, b"new") == cut + 1
            if crash:
                disk.crash(Random(failing))
                files = _files(disk)
            assert _read(files) == [*records[:cut], b"new"]
            if not crash and not failed:
                return


def test_a_segment_that_was_replaced_is_not_read_again_after_a_second_cut() -> None:
    """The first cut leaves the replaced end of a segment in its file; the second one removes what replaced it."""
    disk = SimulatedDisk()
    files = _files(disk, ROOMY)
    _append(files, b"1")
    _append(files, b"2", b"3", b"4")
    files.truncate_after(2)
    assert _append(files, b"new 3") == 3
    files.truncate_after(1)
    assert _read(files) == _read(_files(disk, ROOMY)) == [b"1"]
    assert _append(files, b"new 2") == 2
    disk.crash(Random(1))
    assert _read(_files(disk, ROOMY)) == [b"1", b"new 2"]


def test_a_replaced_writer_s_append_that_waited_is_refused_at_the_commit() -> None:
    """The epoch is checked when the records are written, not only when the append is called."""
    files = _files(SimulatedDisk())
    stale = StaleWriter("claimed by another writer")
    outcomes = files.commit(
        [Append([b"a"], None, 1), Append([b"b"], None, 2), Append([b"c"], None)],
        fsync=True,
        is_stale=lambda epoch: stale if epoch == 1 else None,
    )
    assert outcomes == [stale, 1, 2]
    assert _read(files) == [b"b", b"c"]


def test_a_truncation_whose_fsync_of_the_folder_fails_leaves_a_stream_that_is_read() -> None:
    """The removed file is not looked for, and nothing is written before the folder is durable."""
    disk = SimulatedDisk()
    files = _files(disk)
    for number in range(6):
        _append(files, b"%d" % number * 60)
    refused = {"fsync_folder"}

    def fault(operation: str, path: PurePath) -> None:
        if operation in refused:
            raise OSError(5, f"{operation} of {path}")

    disk.fault = fault
    with pytest.raises(OSError, match="fsync_folder of"):
        files.truncate(3)
    assert _read(files) == [b"%d" % number * 60 for number in range(files.firsts[0] - 1, 6)]
    with pytest.raises(OSError, match="fsync_folder of"):
        _append(files, b"not yet")
    refused.clear()
    assert _append(files, b"now") == 7
    assert _read(_files(disk))[-2:] == [b"5" * 60, b"now"]
