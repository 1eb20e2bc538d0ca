import fcntl
import gc
import os
from itertools import count
from pathlib import Path

import pytest

from trouper import WireError
from trouper.runtime.net.bulk import segments
from trouper.runtime.net.bulk.segments import SegmentMapping, SegmentPool, SharedSegment, host
from trouper.runtime.net.control import SegmentInfo

pytestmark = pytest.mark.skipif(not host(), reason="this system has no memfd_create")
MIB = 1_048_576


def pool(bytes_max: int = 8 * MIB) -> SegmentPool:
    """One whose tokens are 1, 2, 3, ..."""
    numbers = count(1)
    return SegmentPool(bytes_max, lambda: next(numbers))


def lend(from_: SegmentPool, size_bytes: int) -> SharedSegment:
    """Allocate a segment, which must succeed."""
    owned = from_.allocate(size_bytes)
    assert owned is not None
    return owned


def test_a_segment_is_read_as_written_and_reported_free_when_its_last_view_is_gone() -> None:
    """Views of views count; they stay after the segment itself is closed."""
    own, dropped = pool(), list[int]()
    owned = lend(own, 100)
    owned.memory[:3] = b"abc"
    mapping = SegmentMapping(os.getpid(), owned.segment)
    view = mapping.view(3, lambda: dropped.append(1))
    part = view[1:]
    assert (bytes(view), view.readonly) == (b"abc", True)
    own.close_all()
    del mapping, view
    gc.collect()
    assert (bytes(part), dropped) == (b"bc", [])
    del part
    assert dropped == [1]


def test_segments_are_used_again() -> None:
    """One that fits is taken, and none that is much too large."""
    own = pool()
    small, large = lend(own, MIB), lend(own, 4 * MIB)
    own.release(small)
    own.release(large)
    assert lend(own, 1_000) is small
    assert lend(own, 2 * MIB) is large
    own.close_all()


def test_there_is_a_limit_and_what_is_free_makes_way() -> None:
    """Buffers that get none go over the session."""
    own, retired = pool(4 * MIB), list[int]()
    own.on_closed = retired.append
    first = lend(own, 3 * MIB)
    assert own.allocate(2 * MIB) is None
    own.release(first)
    assert lend(own, 4 * MIB).segment.token == 2
    assert (retired, own.allocated_bytes) == ([1], 4 * MIB)
    own.close_all()
    assert (retired, own.allocated_bytes) == ([1, 2], 0)


def test_what_was_closed_cannot_be_given_back() -> None:
    """A peer that returns late does no harm."""
    own = pool()
    owned = lend(own, MIB)
    own.close(owned)
    own.release(owned)
    own.close(owned)
    assert lend(own, MIB) is not owned
    own.close_all()


def test_without_descriptors_or_memory_there_is_no_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffer goes over the session then; no descriptor is left open."""

    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert pool().allocate(MIB) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_only_a_segment_of_that_token_size_and_seal_is_mapped(tmp_path: Path) -> None:
    """Whatever else a peer says that descriptor is: a file, another size, a token that is not its own."""
    own = pool()
    owned = lend(own, MIB)
    known = owned.segment
    with (tmp_path / "memfd:trouper-1").open("wb+") as file:
        file.truncate(MIB)
        unsealed = os.memfd_create("trouper-9", os.MFD_ALLOW_SEALING)
        os.truncate(unsealed, MIB)
        for segment in (
            SegmentInfo(known.token + 1, known.descriptor, known.size_bytes),
            SegmentInfo(known.token, known.descriptor, known.size_bytes * 2),
            SegmentInfo(known.token, file.fileno(), MIB),
            SegmentInfo(9, unsealed, MIB),
        ):
            with pytest.raises(WireError, match=r"^(a|the) segment .* was expected, found was .*(trouper-|1048576)"):
                SegmentMapping(os.getpid(), segment)
        os.close(unsealed)
    with pytest.raises(WireError, match=r"^the shared memory /proc/\d+/fd/9999 cannot be opened: "):
        SegmentMapping(os.getpid(), SegmentInfo(1, 9_999, MIB))
    own.close_all()


def test_a_segment_without_memory_is_not_mapped() -> None:
    """Reading it would take the memory from this process, without any cost to the peer that described it."""
    sparse = os.memfd_create("trouper-9", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(sparse, 900 * MIB)
    fcntl.fcntl(sparse, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    with pytest.raises(WireError, match=rf"^a segment of {900 * MIB} bytes has memory for 0 of them$"):
        SegmentMapping(os.getpid(), SegmentInfo(9, sparse, 900 * MIB))
    assert os.fstat(sparse).st_blocks == 0
    os.close(sparse)


def test_a_segment_cannot_be_made_shorter_nor_written_to_by_others() -> None:
    """Reading behind the end of a file would end the process."""
    own = pool()
    owned = lend(own, MIB)
    descriptor = os.open(f"/proc/self/fd/{owned.segment.descriptor}", os.O_RDWR)
    for harm in (lambda: os.truncate(descriptor, 0), lambda: os.write(descriptor, b"x")):
        with pytest.raises(PermissionError):
            harm()
    os.close(descriptor)
    own.close_all()


def test_no_folder_shows_a_segment() -> None:
    """So there is nothing to sweep after a crash."""
    before = set(os.listdir("/dev/shm"))  # noqa: PTH208  names are enough
    own = pool()
    lend(own, MIB)
    assert set(os.listdir("/dev/shm")) == before  # noqa: PTH208  names are enough
    own.close_all()


def test_a_system_without_segments_shares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host has no name."""
    monkeypatch.delattr("os.memfd_create")
    assert segments.host() == ""
