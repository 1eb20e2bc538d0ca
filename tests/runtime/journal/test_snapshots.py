"""Snapshots: at no moment is there less to load, and a damaged one is skipped."""

import logging
from pathlib import PurePath
from random import Random

import pytest

from trouper.runtime.journal import SimulatedDisk, SimulatedPowerLoss, Snapshot
from trouper.runtime.journal.segments import Append, Limits, StreamFiles
from trouper.runtime.journal.snapshots import load, save, sequences

FOLDER = PurePath("stream")
LIMITS = Limits(100, 1_000, 1_000, 500, 64, 2)


def _files(disk: SimulatedDisk, *, records: int = 0) -> StreamFiles:
    files = StreamFiles(disk, FOLDER, "s", LIMITS)
    files.open()
    if records:
        files.commit([Append([b"r"] * records, None)], fsync=True)
    return files


def _saved(disk: SimulatedDisk) -> StreamFiles:
    """Nine records, and snapshots of three and of six of them."""
    files = _files(disk, records=9)
    save(files, Snapshot(3, b"three"))
    save(files, Snapshot(6, b"six"))
    return files


def test_a_crash_at_any_point_of_a_save_leaves_the_older_or_the_newer_snapshot() -> None:
    """Whichever operation the machine goes down in, what is loaded afterwards is whole, and is one of the two."""
    calm = SimulatedDisk()
    files = _saved(calm)
    before = calm.operations
    save(files, Snapshot(9, b"nine"))
    loaded: set[int] = set()
    for crash_at in range(before + 1, calm.operations + 1):
        for seed in range(20):
            disk = SimulatedDisk(crash_at=crash_at)
            files = _saved(disk)
            with pytest.raises(SimulatedPowerLoss):
                save(files, Snapshot(9, b"nine"))
            disk.crash(Random(seed))
            snapshot = load(_files(disk))
            assert snapshot in (Snapshot(6, b"six"), Snapshot(9, b"nine"))
            loaded.add(snapshot.sequence)
    assert loaded == {6, 9}


def test_a_snapshot_damaged_at_any_byte_is_passed_over_for_the_older_one(caplog: pytest.LogCaptureFixture) -> None:
    """A flip anywhere in the newest file gives the one before it, and a warning that names the file."""
    disk = SimulatedDisk()
    files = _saved(disk)
    newest = FOLDER / f"{6:020d}.snapshot"
    for place in range(disk.size_bytes(newest)):
        disk.damage(newest, place, 0x10)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert load(files) == Snapshot(3, b"three")
        assert caplog.messages[0].startswith(
            f"stream s: a damaged snapshot is skipped for an older one: {newest} is damaged"
        )
        disk.damage(newest, place, 0x10)
    assert load(files) == Snapshot(6, b"six")


def test_a_snapshot_that_was_cut_is_passed_over_and_none_is_none() -> None:
    """When all are damaged there is none, and a recovery reads the records."""
    disk = SimulatedDisk()
    files = _saved(disk)
    for sequence in (3, 6):
        path = FOLDER / f"{sequence:020d}.snapshot"
        disk.cut(path, disk.size_bytes(path) - 1)
    assert load(files) is None


def test_the_last_ones_are_kept() -> None:
    """Saving a third one drops the oldest; the same sequence again takes its place."""
    files = _saved(SimulatedDisk())
    assert save(files, Snapshot(6, b"six again")) == 3
    assert save(files, Snapshot(9, b"nine")) == 6
    assert sequences(files) == [9, 6]


def test_the_records_that_a_snapshot_stands_for_are_made_durable_before_it() -> None:
    """After a crash there is no snapshot of records that are gone, whatever the policy."""
    for seed in range(50):
        disk = SimulatedDisk()
        files = _files(disk)
        files.commit([Append([b"r"] * 4, None)], fsync=False)
        save(files, Snapshot(4, b"four"))
        disk.crash(Random(seed))
        assert _files(disk).last_sequence == 4


def test_a_limit_that_is_made_smaller_leaves_a_larger_snapshot_readable() -> None:
    """The limit is for new snapshots."""
    disk = SimulatedDisk()
    _saved(disk)
    files = StreamFiles(disk, FOLDER, "s", Limits(1, 1, 1, 1, 1, 2))
    files.open()
    assert load(files) == Snapshot(6, b"six")
