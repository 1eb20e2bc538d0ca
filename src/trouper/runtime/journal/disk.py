"""The ``Disk`` port: the operations that a journal needs of a file system, and ``RealDisk``.

All of them block and are called in a thread, unless ``blocks`` is False.  What is written is durable once it was
fsynced, and a file's name is durable once its folder was; a caller may rely on nothing else.
"""

from __future__ import annotations

import errno
import os
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Protocol

from ..kernel.journal import JournalLocked
from ..kernel.logs import get_log

_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY})
"""How a file system says that it has no such operation."""

log = get_log("trouper.journal")


class AppendFile(Protocol):
    """A file that is open for writing at its end."""

    def append(self, data: bytes) -> None:
        """Write all of ``data``; after an error any part of it may have been written."""

    def fsync(self) -> None:
        """Return once all that was written is on the disk."""

    def close(self) -> None:
        """Close the file, without an fsync."""


class DiskLock(Protocol):
    """A lock that is held until ``release`` or the end of the process."""

    def release(self) -> None:
        """Unlock."""


class Disk(Protocol):
    """A file system.  Every method may raise ``OSError``."""

    blocks: bool
    """Whether calls may block, and so must run in a thread."""

    def make_folder(self, path: PurePath) -> None:
        """Create a folder, with those above it, unless it exists.  The names are durable on return."""

    def names(self, folder: PurePath) -> Sequence[str]:
        """List a folder, in any order; empty when it does not exist."""
        ...

    def open_append(self, path: PurePath) -> AppendFile:
        """Open a file to write at its end, created if missing; its name is durable only after ``fsync_folder``."""
        ...

    def read(self, path: PurePath, offset: int, size_bytes: int) -> bytes:
        """Read at most ``size_bytes``; fewer only at the end of the file."""
        ...

    def size_bytes(self, path: PurePath) -> int:
        """Return the length of the file."""
        ...

    def cut(self, path: PurePath, size_bytes: int) -> None:
        """Shorten a file; durable on return."""

    def rename(self, source: PurePath, target: PurePath) -> None:
        """Rename a file atomically, replacing a file of the new name."""

    def remove(self, path: PurePath) -> None:
        """Remove a file."""

    def fsync_folder(self, folder: PurePath) -> None:
        """Return once the names in the folder are on the disk."""

    def lock(self, path: PurePath) -> DiskLock:
        """Take a lock by the name of a file; raises ``JournalLocked`` when it is taken."""
        ...


class _RealFile:
    """A file descriptor; unbuffered, so that the operating system has at once what was appended."""

    def __init__(self, descriptor: int, path: PurePath, disk: RealDisk) -> None:
        self._descriptor, self._path, self._disk = descriptor, path, disk

    def append(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def fsync(self) -> None:
        try:
            _fsync(self._descriptor)
        except OSError as error:
            self._disk.without_ability(error, "fsync of a file", self._path, "what was written may be lost in a crash")

    def close(self) -> None:
        os.close(self._descriptor)


class _RealLock:
    """A locked file descriptor; the operating system unlocks it when the process ends, in any way.

    A forked child gives its copy up: it is not the journal's process, and would keep the lock beyond the parent's end.
    """

    def __init__(self, descriptor: int, *, locked: bool) -> None:
        self._descriptor, self._locked = descriptor, locked
        self._process_id = os.getpid()
        _held.add(self)

    def release(self) -> None:
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        _held.discard(self)
        if self._locked and self._process_id == os.getpid() and sys.platform != "win32":
            import fcntl  # noqa: PLC0415  missing on other systems

            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # also where a child that was started otherwise has a copy
        os.close(descriptor)


_held: weakref.WeakSet[_RealLock] = weakref.WeakSet()


def _release_in_child() -> None:
    for lock in list(_held):
        with suppress(OSError):
            lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)


def _fsync(descriptor: int) -> None:
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415  missing on other systems

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync(2) of macOS leaves the data in the drive's cache
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        else:
            return
    os.fsync(descriptor)


class RealDisk:
    """The file system of this machine.

    An operation that the file system does not have (a lock, an fsync of a folder) is done without, after one warning.
    """

    blocks = True

    def __init__(self) -> None:
        self._missing: set[str] = set()
        """The operations that the file system does not have and that were warned of."""

    def without_ability(self, error: OSError, operation: str, path: PurePath, consequence: str) -> None:
        """Warn once that the file system has no such operation; raises any other error."""
        if error.errno not in _UNSUPPORTED:
            raise error
        if operation not in self._missing:
            self._missing.add(operation)
            log.warning("the file system of %s has no %s (%s): %s", path, operation, error, consequence)

    def make_folder(self, path: PurePath) -> None:
        """Create a folder and those above it, each durably."""
        missing: list[Path] = []
        folder = Path(path)
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self.fsync_folder(folder.parent)

    def names(self, folder: PurePath) -> Sequence[str]:
        """List a folder."""
        return os.listdir(folder) if Path(folder).is_dir() else ()  # noqa: PTH208  names are wanted, not paths

    def open_append(self, path: PurePath) -> AppendFile:
        """Open or create a file that only its owner may read and write."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        return _RealFile(os.open(path, flags, 0o600), path, self)

    def read(self, path: PurePath, offset: int, size_bytes: int) -> bytes:
        """Read a part of a file, opened for this read only."""
        with Path(path).open("rb") as file:
            file.seek(offset)
            return file.read(size_bytes)

    def size_bytes(self, path: PurePath) -> int:
        """Return the length of the file."""
        return Path(path).stat().st_size

    def cut(self, path: PurePath, size_bytes: int) -> None:
        """Shorten a file and fsync it."""
        with Path(path).open("r+b") as file:
            file.truncate(size_bytes)
            file.flush()
            try:
                _fsync(file.fileno())
            except OSError as error:
                self.without_ability(error, "fsync of a file", path, "what was written may be lost in a crash")

    def rename(self, source: PurePath, target: PurePath) -> None:
        """Rename atomically."""
        Path(source).replace(target)

    def remove(self, path: PurePath) -> None:
        """Remove a file."""
        Path(path).unlink()

    def fsync_folder(self, folder: PurePath) -> None:
        """Fsync a folder; does nothing on Windows, which cannot."""
        if sys.platform == "win32":
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            self.without_ability(error, "fsync of a folder", folder, "a new file may be lost in a crash")
        finally:
            os.close(descriptor)

    def lock(self, path: PurePath) -> DiskLock:
        """Lock a file and write the number of this process into it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock_or_raise(descriptor)
        except OSError as error:
            if error.errno in _UNSUPPORTED | {errno.ENOLCK}:
                self._warn_without_lock(path, error)
                return _RealLock(descriptor, locked=False)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                os.close(descriptor)
                raise
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            who = f"process {owner}, this one" if owner == str(os.getpid()) else f"process {owner}"
            raise JournalLocked(
                f"{path} is locked by {who}: one journal has one writer; stop it, wait until it is closed, or choose "
                "another folder"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return _RealLock(descriptor, locked=True)

    def _warn_without_lock(self, path: PurePath, error: OSError) -> None:
        if "lock" not in self._missing:
            self._missing.add("lock")
            log.warning(
                "the file system of %s has no locks (%s): take care that one process alone opens this journal",
                path,
                error,
            )


def _lock_or_raise(descriptor: int) -> None:
    """Lock a descriptor without waiting; raises ``OSError`` when it is locked."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415  missing on other systems

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # past the text, which other processes can still read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl  # noqa: PLC0415  missing on other systems

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
