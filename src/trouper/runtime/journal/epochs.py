"""Writer epochs: the last claim of each stream, so that a writer that has been replaced is refused.

They are kept in memory: after a restart of the journal every writer of before it is refused until it claims again.
"""

from __future__ import annotations

import os

from ..kernel.journal import StaleWriter


class WriterEpochs:
    """The epochs of the streams of one open journal; each is larger than those before it, and unlike other runs'."""

    def __init__(self) -> None:
        self._last = int.from_bytes(os.urandom(5), "big") << 20
        self._current: dict[str, int] = {}

    def claim(self, stream: str) -> int:
        """Return a new epoch of a stream; those before it are stale from now on."""
        self._last += 1
        self._current[stream] = self._last
        return self._last

    def is_stale(self, stream: str, epoch: int | None) -> StaleWriter | None:
        """Return the error for an epoch that is not that of the last claim; None is not checked."""
        if epoch is None or self._current.get(stream) == epoch:
            return None
        return StaleWriter(
            f"stream {stream!r} has been claimed by another writer, or its journal was opened again, since epoch "
            f"{epoch}: recover from the stream, and claim it again, if this writer is to go on"
        )

    def check(self, stream: str, epoch: int | None) -> None:
        """Raise ``StaleWriter`` unless the epoch is that of the last claim; None is not checked."""
        stale = self.is_stale(stream, epoch)
        if stale is not None:
            raise stale
