import pytest

from trouper.runtime.net.bulk import buffer_pool
from trouper.runtime.net.bulk.buffer_pool import GRID_BYTES, BufferPool


def test_memory_is_used_again_once_no_view_is_left() -> None:
    """Not before: a view of a view keeps it."""
    own = BufferPool()
    first = own.allocate(GRID_BYTES)
    first[:10] = b"x" * 10
    part = first[:10].toreadonly()
    del first
    assert own.free_bytes == 0
    assert bytes(own.allocate(GRID_BYTES)[:10]) == bytes(10)
    del part
    assert own.free_bytes == 2 * GRID_BYTES
    assert len(own.allocate(GRID_BYTES + 1)) == GRID_BYTES + 1


def test_a_small_buffer_takes_no_memory_of_the_system() -> None:
    """A peer that sends many of a few bytes each would have a mapping for every one."""
    own = BufferPool()
    assert bytes(own.allocate(10)) == bytes(10)
    assert own.free_bytes == 0


def test_what_is_kept_free_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest goes back to the system."""
    monkeypatch.setattr(buffer_pool, "FREE_BYTES_MAX", 2 * GRID_BYTES)
    own = BufferPool()
    views = [own.allocate(GRID_BYTES) for _ in range(5)]
    views.clear()
    assert own.free_bytes == 2 * GRID_BYTES
