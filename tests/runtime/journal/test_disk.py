"""``RealDisk`` does to files what the port says."""

import subprocess
import sys
from pathlib import Path

import pytest

from trouper.runtime.journal import JournalLocked, RealDisk

LOCKER = """
import sys
from pathlib import PurePath
from trouper.runtime.journal import RealDisk
lock = RealDisk().lock(PurePath(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_files_are_appended_to_read_cut_renamed_and_removed(tmp_path: Path) -> None:
    """Each operation is seen by the next one, and appending goes on at the end of a file that was cut."""
    disk, folder = RealDisk(), tmp_path / "a" / "b"
    assert disk.names(folder) == ()
    disk.make_folder(folder)
    disk.make_folder(folder)
    file = disk.open_append(folder / "x")
    file.append(b"12345")
    file.fsync()
    disk.cut(folder / "x", 2)
    file.append(b"6")
    file.close()
    disk.fsync_folder(folder)
    assert disk.read(folder / "x", 1, 10) == b"26"
    assert disk.size_bytes(folder / "x") == 3
    disk.rename(folder / "x", folder / "y")
    assert disk.names(folder) == ["y"]
    disk.remove(folder / "y")
    assert disk.names(folder) == []


def test_a_large_append_is_written_whole(tmp_path: Path) -> None:
    """Whatever the system takes at a time, all of it arrives."""
    disk, data = RealDisk(), bytes(range(256)) * 40_000
    file = disk.open_append(tmp_path / "x")
    file.append(data)
    file.close()
    assert disk.read(tmp_path / "x", 0, len(data) + 1) == data


def test_a_lock_keeps_out_the_same_process_and_another_one(tmp_path: Path) -> None:
    """The error names the process that has it, and the lock is free when that process ends, however it ends."""
    disk, path = RealDisk(), tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(JournalLocked, match=rf"^{path} is locked by process {other.pid}: one"):
            disk.lock(path)
        other.kill()
    lock = disk.lock(path)
    with pytest.raises(JournalLocked):
        disk.lock(path)
    lock.release()
    disk.lock(path).release()
