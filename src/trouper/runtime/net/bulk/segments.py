"""Shared memory between processes of one user on one host: segments of this process, and mappings of those of others.

A segment is a file without a name (``memfd_create``): no folder shows it, and the system frees it when the last process
that has it open or mapped has ended, however it ended.  So nothing has to be cleaned up.  Another process opens it by
``/proc/PROCESS/fd/DESCRIPTOR``, which the system allows to the same user only, and maps it for reading.

What another process says is not trusted: process and descriptor are numbers, and they must lead to a file without a
name, called after the token that was given, of this user, of the size that was given, with memory for all of it,
and sealed so that it cannot shrink, since reading behind the end of a file ends the process.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...kernel.errors import WireError
from ..control import SegmentInfo

NAME: Final = "trouper-"
"""The name of a segment is this and its token; people see it in ``/proc``, and ``SegmentMapping`` checks it."""
FREE_BYTES_MAX: Final = 268_435_456
"""Bytes of segments that are not in use; they are kept, since memory that was used before is faster."""
SEGMENTS_MAX: Final = 256
"""Segments of one process, each of which takes a descriptor."""
_GRID_BYTES: Final = 1_048_576
_BLOCK_BYTES: Final = 512
"""The unit of ``st_blocks``, on every system."""
_SEAL_FUTURE_WRITE: Final = 0x0010
"""No process maps it for writing from now on (Linux 5.1); the module ``fcntl`` has this from Python 3.13 on."""


def host() -> str:
    """A text that is equal for two processes that can share memory; empty where shared memory is not supported.

    It names the boot of the system, the user, and the namespace of processes.
    """
    if sys.platform != "linux" or not hasattr(os, "memfd_create"):
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{os.getuid()}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


class SharedSegment:
    """A segment of this process, mapped for writing.  memory: all of it."""

    __slots__ = ("_map", "memory", "segment")

    def __init__(self, token: int, size_bytes: int) -> None:
        descriptor = os.memfd_create(f"{NAME}{token:x}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)  # fails here, and not by a signal when it is written to
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            self._map = mmap.mmap(descriptor, size_bytes, mmap.MAP_SHARED | mmap.MAP_POPULATE)
            with suppress(OSError):  # older systems do not have it; readers map it for reading anyway
                fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEAL_FUTURE_WRITE)
        except BaseException:
            os.close(descriptor)
            raise
        self.memory = memoryview(self._map)
        self.segment = SegmentInfo(token, descriptor, size_bytes)

    def close(self) -> None:
        """Close it; processes that have mapped it keep their mappings."""
        os.close(self.segment.descriptor)
        self.memory.release()
        self._map.close()


class SegmentPool:
    """The segments of a node, used again when they come back.

    bytes_max: of all of them together, 0 for none.  token: returns a random number that cannot be guessed.
    """

    def __init__(self, bytes_max: int, token: Callable[[], int]) -> None:
        self._bytes_max, self._token = bytes_max, token
        self._free: list[SharedSegment] = []
        self._all: dict[int, SharedSegment] = {}
        self.on_closed: Callable[[int], None] = _ignore
        """Called with the token of each segment that is closed."""
        self.allocated_bytes = 0

    def allocate(self, size_bytes: int) -> SharedSegment | None:
        """Return a segment of so many bytes or more; None when there is no memory for it."""
        fit = [owned for owned in self._free if size_bytes <= owned.segment.size_bytes <= 2 * size_bytes + _GRID_BYTES]
        if fit:
            best = min(fit, key=lambda owned: owned.segment.size_bytes)
            self._free.remove(best)
            return best
        wanted = -(-size_bytes // _GRID_BYTES) * _GRID_BYTES
        while self._free and (self.allocated_bytes + wanted > self._bytes_max or len(self._all) >= SEGMENTS_MAX):
            self.close(self._free.pop(0))
        if self.allocated_bytes + wanted > self._bytes_max or len(self._all) >= SEGMENTS_MAX:
            return None
        try:
            owned = SharedSegment(self._token(), wanted)
        except (OSError, ValueError):
            return None
        self._all[owned.segment.token] = owned
        self.allocated_bytes += wanted
        return owned

    def release(self, owned: SharedSegment) -> None:
        """Take back a segment that no process reads any more."""
        if owned.segment.token in self._all:
            self._free.append(owned)
        while sum(free.segment.size_bytes for free in self._free) > FREE_BYTES_MAX:
            self.close(self._free.pop(0))

    def close(self, owned: SharedSegment) -> None:
        """Close a segment for good: it is not needed, or it is not known which processes still read it."""
        if self._all.pop(owned.segment.token, None) is None:
            return
        self.allocated_bytes -= owned.segment.size_bytes
        owned.close()
        self.on_closed(owned.segment.token)

    def close_all(self) -> None:
        """Close all segments: the node ends."""
        self._free.clear()
        for owned in list(self._all.values()):
            self.close(owned)


def _ignore(_: int) -> None: ...


class SegmentMapping:
    """A segment of another process, mapped for reading; raises ``WireError`` when it is none."""

    __slots__ = ("_map", "size_bytes")

    def __init__(self, process: int, segment: SegmentInfo) -> None:
        place = f"/proc/{process:d}/fd/{segment.descriptor:d}"
        try:
            _check_name(place, segment)  # also before it is opened, since opening another kind of file may have effects
            descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise WireError(f"the shared memory {place} cannot be opened: {error}") from error
        try:
            _check(descriptor, segment)
            # A private map that is never written to: ctypes can export it, and a write would not reach the segment.
            self._map = mmap.mmap(descriptor, segment.size_bytes, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        except (OSError, ValueError) as error:
            raise WireError(f"the shared memory {place} cannot be read: {error}") from error
        finally:
            os.close(descriptor)
        self.size_bytes = segment.size_bytes

    def view(self, size_bytes: int, dropped: Callable[[], None]) -> memoryview:
        """Return its first bytes, read-only.  dropped: called, in any thread, when no view is left."""
        return exported(self._map, size_bytes, dropped).toreadonly()


def exported(memory: mmap.mmap, size_bytes: int, dropped: Callable[[], None]) -> memoryview:
    """Return a view of the first bytes of a map; ``dropped`` is called, in any thread, when no view of it is left.

    Views of views, and arrays made of them, keep the object alive that the first view was made of; its end is what is
    waited for.
    """
    exporter = (ctypes.c_ubyte * size_bytes).from_buffer(memory)
    weakref.finalize(exporter, dropped).atexit = False
    return memoryview(exporter).cast("B")


def _check_name(place: str, segment: SegmentInfo) -> None:
    """Check that a descriptor leads to a file without a name, called after the token; raises ``WireError``."""
    name = os.readlink(place)  # noqa: PTH115  a Path would make nothing of such a name
    if name != f"/memfd:{NAME}{segment.token:x} (deleted)":
        raise WireError(f"the segment {segment.token:x} was expected, found was {name}")


def _check(descriptor: int, segment: SegmentInfo) -> None:
    """Check that a descriptor is of the segment that was described; raises ``WireError``."""
    _check_name(f"/proc/self/fd/{descriptor}", segment)
    status, seals = os.fstat(descriptor), fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    if status.st_size != segment.size_bytes or status.st_uid != os.getuid() or not seals & fcntl.F_SEAL_SHRINK:
        found = f"{status.st_size} bytes of user {status.st_uid}, seals {seals:#x}"
        raise WireError(
            f"a segment of {segment.size_bytes} bytes that cannot shrink was expected, found was one of {found}"
        )
    allocated_bytes = status.st_blocks * _BLOCK_BYTES
    if allocated_bytes < segment.size_bytes:  # reading its holes would allocate them, at the reader's cost
        raise WireError(f"a segment of {segment.size_bytes} bytes has memory for {allocated_bytes} of them")
