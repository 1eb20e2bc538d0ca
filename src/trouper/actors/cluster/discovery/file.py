"""Discovery by a file of seeds, one endpoint a line."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from .lines import read_seeds
from .port import DiscoveryFailed, DiscoveryLimits


class FileDiscovery:
    """The endpoints in a file.  Implements ``Discovery``.

    The file is read again at each call, so a change takes effect without a restart.  Bad lines do not spoil the good
    ones: ``DiscoveryFailed`` names the numbers of the bad lines and carries the endpoints of the others.
    """

    def __init__(self, path: Path, *, limits: DiscoveryLimits | None = None) -> None:
        self._path = path
        self._limits = limits or DiscoveryLimits()

    async def find(self) -> Sequence[str]:
        """Read the file; raises ``DiscoveryFailed`` when it cannot be read, is too large, or holds a bad line."""
        text = await read_text(self._path, self._limits)
        seeds = read_seeds(text, self._limits.endpoints_max)
        if seeds.problems:
            raise DiscoveryFailed(f"{self.describe()}: {seeds.explain()}", seeds.endpoints)
        return seeds.endpoints

    def describe(self) -> str:
        """Return the path of the file."""
        return f"the file {self._path}"


async def read_text(path: Path, limits: DiscoveryLimits) -> str:
    """Read a text file in a thread, within the limits; raises ``DiscoveryFailed``."""
    try:
        async with asyncio.timeout(limits.timeout_s):
            content = await asyncio.to_thread(_read, path, limits.text_bytes_max)
    except TimeoutError:
        raise DiscoveryFailed(f"the file {path} could not be read within {limits.timeout_s} s") from None
    except OSError as error:
        raise DiscoveryFailed(f"the file {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a path with a null byte
        raise DiscoveryFailed(f"the file {path} cannot be read: {error}") from error
    if len(content) > limits.text_bytes_max:
        raise DiscoveryFailed(f"the file {path} has more than {limits.text_bytes_max} bytes (text_bytes_max)")
    return content.decode("utf-8", "backslashreplace")


def _read(path: Path, bytes_max: int) -> bytes:
    # Opening a pipe without a writer would block the thread for ever; with O_NONBLOCK it does not.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is not a regular file")
        return file.read(bytes_max + 1)
