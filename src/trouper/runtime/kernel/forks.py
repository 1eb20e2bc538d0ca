"""Descriptors that a forked child must not keep: a port would stay taken, and no peer would see the parent's end.

Programs that are started with ``exec`` inherit none of them anyway.  A child that goes on as a copy of the process, as
those of ``os.fork`` and of the start method ``fork`` of ``multiprocessing`` do, has the null device in their places.
"""

from __future__ import annotations

import os
from contextlib import suppress


def close_in_children(descriptor: int) -> None:
    """Have forked children give up a descriptor, as long as it is open for what it is open for now."""
    with suppress(OSError):  # it has been closed meanwhile
        _private[descriptor] = _identity(descriptor)


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _close() -> None:
    """In a forked child: a number that the process uses for something else since is left alone."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor, identity in _private.items():
        with suppress(OSError):
            if _identity(descriptor) == identity:
                os.dup2(null, descriptor, inheritable=False)
    _private.clear()
    os.close(null)


_private: dict[int, tuple[int, int]] = {}  # of the process, as its descriptors are
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close)
