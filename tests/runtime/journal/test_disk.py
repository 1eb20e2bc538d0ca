"""``RealDisk`` does to files what the port says."""

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_neither_keeps_the_lock_nor_releases_it(tmp_path: Path) -> None:
    """The parent's lock is the parent's: the end of a child changes nothing, and a living child holds nothing."""
    disk, path = RealDisk(), tmp_path / "lock"
    lock = disk.lock(path)
    (ended, ending), (may_end, end) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        lock.release()
        os.write(ending, b"x")
        os.read(may_end, 1)
        os._exit(0)
    try:
        assert os.read(ended, 1) == b"x"
        with pytest.raises(JournalLocked, match=rf"locked by process {os.getpid()}, this one: "):
            disk.lock(path)
        lock.release()
        disk.lock(path).release()
    finally:
        os.write(end, b"x")
        os.waitpid(child, 0)
        for descriptor in (ended, ending, may_end, end):
            os.close(descriptor)


def _refuse(number: int) -> Callable[..., None]:
    def refuse(descriptor: int, *rest: object) -> None:
        raise OSError(number, f"{os.strerror(number)} ({descriptor} {rest})")

    return refuse


def test_a_file_system_without_locks_or_fsyncs_works_with_one_warning_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning names the operation and what follows from its lack; the work goes on."""
    monkeypatch.setattr(fcntl, "flock", _refuse(errno.ENOLCK))
    monkeypatch.setattr(os, "fsync", _refuse(errno.EINVAL))
    disk = RealDisk()
    for _ in "12":
        disk.lock(tmp_path / "lock").release()
        file = disk.open_append(tmp_path / "x")
        file.append(b"12")
        file.fsync()
        file.close()
        disk.fsync_folder(tmp_path)
        disk.cut(tmp_path / "x", 1)
    assert disk.read(tmp_path / "x", 0, 9) == b"1"
    assert [record.getMessage().partition(" has no ")[2].partition(" (")[0] for record in caplog.records] == [
        "locks", "fsync of a file", "fsync of a folder",
    ]  # fmt: skip


def test_an_error_of_the_disk_is_no_lack_of_an_ability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input or output error is raised, from an fsync and from a lock."""
    monkeypatch.setattr(os, "fsync", _refuse(errno.EIO))
    disk = RealDisk()
    with pytest.raises(OSError, match="Input/output error"):
        disk.open_append(tmp_path / "x").fsync()
    with pytest.raises(OSError, match="Input/output error"):
        disk.fsync_folder(tmp_path)
    monkeypatch.setattr(fcntl, "flock", _refuse(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        disk.lock(tmp_path / "lock")
