"""The ``Disk`` port: the few things that a journal asks of a file system, and the real one.

Everything here blocks and is called in a thread, except where ``blocks`` says that it need not be.  What is written is
safe once it was fsynced, and a file's name is safe once its folder was; that is all that a caller may believe.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Protocol

from ..kernel.journal import JournalLocked


class AppendFile(Protocol):
    """A file that is open for writing at its end."""

    def append(self, data: bytes) -> None:
        """Write all of ``data``; after an error any part of it may have been written."""

    def fsync(self) -> None:
        """Return once all that was written is on the disk."""

    def close(self) -> None:
        """Let go of the file, without an fsync."""


class DiskLock(Protocol):
    """A lock that ends with ``release`` or with the process."""

    def release(self) -> None:
        """Let others have it."""


class Disk(Protocol):
    """A file system.  Every method may raise ``OSError``."""

    blocks: bool
    """Whether calls may take time, and so belong into a thread."""

    def make_folder(self, path: PurePath) -> None:
        """Make a folder, with those above it; one that is there is fine.  The names are durable on return."""

    def names(self, folder: PurePath) -> Sequence[str]:
        """List a folder, in any order; empty when there is none."""
        ...

    def open_append(self, path: PurePath) -> AppendFile:
        """Open a file to write at its end, made if missing; its name is safe only after ``fsync_folder``."""
        ...

    def read(self, path: PurePath, offset: int, size_bytes: int) -> bytes:
        """Read at most ``size_bytes``; fewer only at the end of the file."""
        ...

    def size_bytes(self, path: PurePath) -> int:
        """How long the file is."""
        ...

    def cut(self, path: PurePath, size_bytes: int) -> None:
        """Shorten a file; durable on return."""

    def rename(self, source: PurePath, target: PurePath) -> None:
        """Give a file another name at once, in place of the file that had it."""

    def remove(self, path: PurePath) -> None:
        """Remove a file."""

    def fsync_folder(self, folder: PurePath) -> None:
        """Return once the names in the folder are on the disk."""

    def lock(self, path: PurePath) -> DiskLock:
        """Take a lock by the name of a file; raises ``JournalLocked`` when somebody has it."""
        ...


class _RealFile:
    """A descriptor; unbuffered, so that what was appended is the system's at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def append(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def fsync(self) -> None:
        if sys.platform == "darwin":
            import fcntl  # noqa: PLC0415  not every system has it

            fcntl.fcntl(self._descriptor, fcntl.F_FULLFSYNC)  # fsync(2) there leaves the data in the drive's cache
        else:
            os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class _RealLock:
    """A locked descriptor; the system frees it when the process ends, in whatever way."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)


class RealDisk:
    """The file system of this machine."""

    blocks = True

    def make_folder(self, path: PurePath) -> None:
        """Make a folder and those above it, each durable."""
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
        """Open or make a file that only its owner may read and write."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        return _RealFile(os.open(path, flags, 0o600))

    def read(self, path: PurePath, offset: int, size_bytes: int) -> bytes:
        """Read a part of a file; the file is open only meanwhile."""
        with Path(path).open("rb") as file:
            file.seek(offset)
            return file.read(size_bytes)

    def size_bytes(self, path: PurePath) -> int:
        """How long the file is."""
        return Path(path).stat().st_size

    def cut(self, path: PurePath, size_bytes: int) -> None:
        """Shorten a file and fsync it."""
        with Path(path).open("r+b") as file:
            file.truncate(size_bytes)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, source: PurePath, target: PurePath) -> None:
        """Rename at once."""
        Path(source).replace(target)

    def remove(self, path: PurePath) -> None:
        """Remove a file."""
        Path(path).unlink()

    def fsync_folder(self, folder: PurePath) -> None:
        """Fsync a folder; Windows has no such thing and needs none."""
        if sys.platform == "win32":
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: PurePath) -> DiskLock:
        """Lock a file and write into it which process has it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock_or_raise(descriptor)
        except OSError as error:
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise JournalLocked(
                f"{path} is held by process {owner}: one journal has one writer; stop that one or choose another folder"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return _RealLock(descriptor)


def _lock_or_raise(descriptor: int) -> None:
    """Lock a descriptor without waiting; raises ``OSError`` when it is locked."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415  only this system has it

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # a place past the text, which stays readable for others
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl  # noqa: PLC0415  not every system has it

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
