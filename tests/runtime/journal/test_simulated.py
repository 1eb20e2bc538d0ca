"""``SimulatedDisk`` forgets what a disk may forget, and nothing else."""

from pathlib import PurePath
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.runtime.journal import JournalLocked, SimulatedDisk, SimulatedPowerLoss

FOLDER = PurePath("folder")
FILE = FOLDER / "file"


@given(st.binary(max_size=20), st.binary(max_size=20), st.integers(0, 1 << 32))
def test_what_was_fsynced_survives_and_the_rest_as_a_prefix(safe: bytes, risky: bytes, seed: int) -> None:
    """After a crash the file is what was fsynced, then a prefix of the rest, then perhaps zeros."""
    disk = SimulatedDisk()
    file = disk.open_append(FILE)
    file.append(safe)
    file.fsync()
    disk.fsync_folder(FOLDER)
    file.append(risky)
    disk.crash(Random(seed))
    kept = disk.read(FILE, 0, 100)
    assert kept.startswith(safe)
    assert len(kept) <= len(safe + risky)
    tail = kept[len(safe) :]
    assert any(tail == risky[:cut] + bytes(len(tail) - cut) for cut in range(len(tail) + 1))


def test_all_outcomes_occur() -> None:
    """Nothing kept, all kept, some kept, some kept with zeros, a lost sector of any length: each happens."""
    outcomes: set[bytes] = set()
    for seed in range(200):
        disk = SimulatedDisk()
        disk.open_append(FILE).append(b"ab")
        disk.fsync_folder(FOLDER)
        disk.crash(Random(seed))
        outcomes.add(disk.read(FILE, 0, 10))
    assert outcomes == {b"", b"a", b"ab", b"a\x00", b"\x00\x00", b"\x00"}


def test_sectors_and_pages_that_were_not_fsynced_are_lost_in_any_order() -> None:
    """A later part may be kept where an earlier one is zeros; what was fsynced in the first sector stays."""
    kept: set[tuple[bool, ...]] = set()
    for seed in range(300):
        disk = SimulatedDisk()
        file = disk.open_append(FILE)
        file.append(b"d" * 100)
        file.fsync()
        disk.fsync_folder(FOLDER)
        file.append(b"x" * 1_500)
        disk.crash(Random(seed))
        data = disk.read(FILE, 0, 1_600)
        assert data[:100] == b"d" * 100
        if len(data) == 1_600:
            kept.add(tuple(data[place] != 0 for place in (100, 600, 1_100, 1_599)))
    assert {(False, True, False, True), (True, False, True, False), (False, False, False, True)} <= kept


def test_what_was_written_when_an_fsync_failed_is_lost_in_a_crash_whatever_a_later_fsync_says() -> None:
    """As Linux drops the pages and reports the error once."""
    failing: set[str] = {"fsync"}

    def fault(operation: str, path: PurePath) -> None:
        if operation in failing:
            raise OSError(5, str(path))

    disk = SimulatedDisk()
    file = disk.open_append(FILE)
    disk.fsync_folder(FOLDER)
    file.append(b"good")
    file.fsync()
    file.append(b"lost")
    disk.fault = fault
    with pytest.raises(OSError, match="file"):
        file.fsync()
    failing.clear()
    file.append(b"more")
    file.fsync()
    assert disk.read(FILE, 0, 20) == b"goodlostmore"
    disk.crash(Random(0))
    assert disk.read(FILE, 0, 20) == b"good\0\0\0\0more"


def test_a_name_is_safe_only_after_its_folder_was_fsynced() -> None:
    """A crash keeps a prefix of the changes to names: a file may be gone, or have its former name."""
    outcomes: set[tuple[str, ...]] = set()
    for seed in range(50):
        disk = SimulatedDisk()
        disk.open_append(FILE).fsync()
        disk.rename(FILE, FOLDER / "renamed")
        disk.open_append(FOLDER / "other")
        disk.remove(FOLDER / "other")
        disk.crash(Random(seed))
        outcomes.add(tuple(disk.names(FOLDER)))
    assert outcomes == {(), ("file",), ("renamed",), ("other", "renamed")}


def test_a_machine_that_is_down_does_nothing_until_it_has_crashed() -> None:
    """The operation with the chosen number raises, as do all after it; an old handle stays unusable after the crash."""
    disk = SimulatedDisk(crash_at=3)
    file = disk.open_append(FILE)
    file.append(b"x")
    with pytest.raises(SimulatedPowerLoss, match=r"^the machine went down at operation 3, fsync of folder/file$"):
        file.fsync()
    with pytest.raises(SimulatedPowerLoss, match=r"^append of folder/file: the machine is down$"):
        file.append(b"y")
    with pytest.raises(SimulatedPowerLoss, match="the machine is down"):
        disk.read(FILE, 0, 1)
    disk.crash(Random(1))
    with pytest.raises(OSError, match="was opened before the crash"):
        file.append(b"y")
    assert disk.crashes == 1


def test_a_fault_fails_one_operation_and_a_full_disk_takes_a_part() -> None:
    """The fault decides by operation and path; an append that fails has written its first half."""

    def fault(operation: str, path: PurePath) -> None:
        if operation == "append":
            raise OSError(28, f"no space for {path}")

    disk = SimulatedDisk(fault=fault)
    with pytest.raises(OSError, match="no space for folder/file"):
        disk.open_append(FILE).append(b"1234")
    assert disk.read(FILE, 0, 10) == b"12"


def test_locks_and_damage() -> None:
    """A lock is exclusive and released by a crash; damage flips the given bits."""
    disk = SimulatedDisk()
    disk.lock(FILE)
    with pytest.raises(JournalLocked, match=r"^folder/file is locked already"):
        disk.lock(FILE)
    disk.crash(Random(0))
    disk.lock(FILE).release()
    disk.open_append(FILE).append(b"\x0f")
    disk.damage(FILE, 0, 0xFF)
    assert disk.read(FILE, 0, 1) == b"\xf0"
    with pytest.raises(FileNotFoundError, match="is not on this simulated disk"):
        disk.size_bytes(FOLDER / "none")
