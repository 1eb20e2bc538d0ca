"""``SimulatedDisk``: a disk in memory that loses, at a crash, what a real disk may lose.

It knows which bytes of each file were fsynced and which were only written, and which changes to names were made durable
by an fsync of the folder.  A crash keeps a random prefix of the other changes to names, in their order, as a
journalling file system does.  Of the bytes of each file that were not fsynced it keeps a random prefix, sometimes with
zeros up to the length that was written; or, in any order, some of the sectors or pages, with zeros for the others.
What was written when an fsync failed is never durable, whatever a later fsync says, as on Linux; another file can have
it.  A crash damages no durable byte; ``damage`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePath
from random import Random

from ..kernel.journal import JournalLocked


class SimulatedPowerLoss(Exception):
    """The simulated machine went down in the middle of this operation; the disk is unusable until ``crash``."""


BLOCK_BYTES = (512, 4096)
"""A sector and a page: what a crash keeps or loses whole."""


class _Inode:
    """One file: ``data`` as programs see it, of which the first ``durable`` bytes survive any crash."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.durable = 0
        self.lost: list[tuple[int, int]] = []
        """The parts that were not durable when an fsync failed; a crash makes zeros of them."""

    def crash(self, rng: Random) -> None:
        """Lose some of what is not durable."""
        written, block_bytes = len(self.data), rng.choice((0, *BLOCK_BYTES))
        if block_bytes:
            self._lose_blocks(rng, block_bytes)
        else:
            del self.data[rng.randint(self.durable, written) :]
            if rng.random() < 0.25:
                self.data += bytes(written - len(self.data))
        for begin, end in self.lost:
            kept = self.data[begin:end]
            self.data[begin:end] = bytes(len(kept))
        self.durable, self.lost = len(self.data), []

    def _lose_blocks(self, rng: Random, block_bytes: int) -> None:
        """Keep some of the blocks that have bytes which are not durable, and perhaps less than the length."""
        for begin in range(self.durable // block_bytes * block_bytes, len(self.data), block_bytes):
            if rng.random() < 0.5:
                first, end = max(begin, self.durable), min(begin + block_bytes, len(self.data))
                self.data[first:end] = bytes(end - first)
        if rng.random() < 0.25:
            del self.data[rng.randint(self.durable, len(self.data)) :]


class _SimulatedFile:
    """An open file; it is stale after a crash."""

    def __init__(self, disk: SimulatedDisk, path: PurePath, inode: _Inode) -> None:
        self._disk, self._path, self._inode = disk, path, inode
        self._opened_at_crash = disk.crashes
        disk.files_open += 1

    def append(self, data: bytes) -> None:
        try:
            crashed = self._begin("append")
        except OSError:
            self._inode.data += data[: len(data) // 2]  # a full disk writes what still fits
            raise
        self._inode.data += data
        if crashed is not None:
            raise crashed

    def fsync(self) -> None:
        try:
            crashed = self._begin("fsync")
        except OSError:
            if self._inode.durable < len(self._inode.data):
                self._inode.lost.append((self._inode.durable, len(self._inode.data)))
            raise
        if crashed is not None:
            raise crashed
        self._inode.durable = len(self._inode.data)

    def close(self) -> None:
        self._disk.files_open -= 1

    def _begin(self, operation: str) -> SimulatedPowerLoss | None:
        if self._opened_at_crash != self._disk.crashes:
            raise OSError(f"{self._path} was opened before the crash")
        return self._disk.operate(operation, self._path)


class _SimulatedLock:
    def __init__(self, disk: SimulatedDisk, path: PurePath) -> None:
        self._disk, self._path = disk, path

    def release(self) -> None:
        self._disk.locks.discard(self._path)


class SimulatedDisk:
    """A ``Disk`` in memory, for tests and simulations.

    crash_at: the number of the operation, from 1, in the middle of which the machine crashes; None does not crash.
    fault: called with the operation and the path before each operation; the operation raises what it raises.
    """

    blocks = False

    def __init__(self, *, crash_at: int | None = None, fault: Callable[[str, PurePath], None] | None = None) -> None:
        self.crash_at = crash_at
        self.fault = fault
        self.operations = 0
        self.crashes = 0
        self.files_open = 0
        self.down = False
        self.locks: set[PurePath] = set()
        self._names: dict[PurePath, _Inode] = {}
        self._durable_names: dict[PurePath, _Inode] = {}
        self._changes: list[tuple[PurePath, PurePath | None, _Inode]] = []
        """Changes to names that are not durable: (name, previous name, file); both names are equal for a removal."""

    def crash(self, rng: Random) -> None:
        """Crash and restart the machine; ``rng`` chooses what the disk has kept."""
        kept = dict(self._durable_names)
        for name, previous_name, inode in self._changes[: rng.randint(0, len(self._changes))]:
            _change(kept, name, previous_name, inode)
        for inode in {id(inode): inode for inode in kept.values()}.values():
            inode.crash(rng)
        self._names, self._durable_names, self._changes = kept, dict(kept), []
        self.locks.clear()
        self.crashes += 1
        self.files_open = 0
        self.crash_at, self.down = None, False

    def damage(self, path: PurePath, offset: int, flip: int) -> None:
        """Flip those bits of one byte of a file that are 1 in ``flip``."""
        self._names[path].data[offset] ^= flip

    def operate(self, operation: str, path: PurePath) -> SimulatedPowerLoss | None:
        """Count an operation; returns the crash to raise in the middle of it, or None."""
        if self.down:
            raise SimulatedPowerLoss(f"{operation} of {path}: the machine is down")
        if self.fault is not None:
            self.fault(operation, path)
        self.operations += 1
        if self.operations != self.crash_at:
            return None
        self.down = True
        return SimulatedPowerLoss(f"the machine went down at operation {self.operations}, {operation} of {path}")

    def make_folder(self, path: PurePath) -> None:
        """Do nothing: every folder exists."""

    def names(self, folder: PurePath) -> Sequence[str]:
        """List a folder: the files in it, and the folders below it that have any."""
        depth = len(folder.parts)
        return sorted({path.parts[depth] for path in self._names if path.parts[:depth] == folder.parts})

    def open_append(self, path: PurePath) -> _SimulatedFile:
        """Open or create a file."""
        inode = self._names.get(path)
        if inode is None:
            crashed = self.operate("create", path)
            inode = _Inode()
            self._record(path, None, inode)
            if crashed is not None:
                raise crashed
        return _SimulatedFile(self, path, inode)

    def read(self, path: PurePath, offset: int, size_bytes: int) -> bytes:
        """Read a part of a file, as written."""
        if self.down:
            raise SimulatedPowerLoss(f"read of {path}: the machine is down")
        return bytes(self._found(path).data[offset : offset + size_bytes])

    def size_bytes(self, path: PurePath) -> int:
        """Return the length of the file, as written."""
        return len(self._found(path).data)

    def cut(self, path: PurePath, size_bytes: int) -> None:
        """Shorten a file, durably; a crash in the middle leaves it unchanged."""
        crashed = self.operate("cut", path)
        if crashed is not None:
            raise crashed
        inode = self._found(path)
        del inode.data[size_bytes:]
        inode.durable = len(inode.data)
        inode.lost = [(begin, min(end, size_bytes)) for begin, end in inode.lost if begin < size_bytes]

    def rename(self, source: PurePath, target: PurePath) -> None:
        """Rename a file."""
        crashed = self.operate("rename", target)
        self._record(target, source, self._found(source))
        if crashed is not None:
            raise crashed

    def remove(self, path: PurePath) -> None:
        """Remove a file."""
        crashed = self.operate("remove", path)
        self._record(path, path, self._found(path))
        if crashed is not None:
            raise crashed

    def fsync_folder(self, folder: PurePath) -> None:
        """Make the changes to names in this folder durable, and, as a log of changes does, all changes before them."""
        crashed = self.operate("fsync_folder", folder)
        if crashed is not None:
            raise crashed
        in_folder = [place for place, change in enumerate(self._changes) if change[0].parent == folder]
        durable = in_folder[-1] + 1 if in_folder else 0
        for name, previous_name, inode in self._changes[:durable]:
            _change(self._durable_names, name, previous_name, inode)
        del self._changes[:durable]

    def lock(self, path: PurePath) -> _SimulatedLock:
        """Take a lock; a crash releases it."""
        if path in self.locks:
            raise JournalLocked(f"{path} is locked already: one journal has one writer")
        self.locks.add(path)
        return _SimulatedLock(self, path)

    def _record(self, name: PurePath, previous_name: PurePath | None, inode: _Inode) -> None:
        _change(self._names, name, previous_name, inode)
        self._changes.append((name, previous_name, inode))

    def _found(self, path: PurePath) -> _Inode:
        if path not in self._names:
            raise FileNotFoundError(f"{path} is not on this simulated disk")
        return self._names[path]


def _change(names: dict[PurePath, _Inode], name: PurePath, previous_name: PurePath | None, inode: _Inode) -> None:
    """Apply one change: a file gets ``name`` and loses ``previous_name``; when both are the same, it is removed."""
    names[name] = inode
    if previous_name is not None:
        del names[previous_name]
