"""The private folder of a node's worker processes, for their sockets; it leaves nothing behind, whoever is killed.

The node removes it when it goes down, a worker removes it when its node is gone, and whoever makes the next one sweeps
those whose node and workers were all killed at once: a folder in use has a file that its node keeps locked.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "trouper-workers-"
LOCK = "in-use"


class SocketFolder:
    """A new folder, closed to all others (0700), in ``$XDG_RUNTIME_DIR`` or else where temporary files are."""

    def __init__(self) -> None:
        base = _base()
        sweep(base)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def endpoint(self, node: str) -> str:
        """Where a node listens."""
        return f"ipc://{self.path / node}"

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep(base: Path) -> None:
    """Remove the folders below ``base`` that nobody uses any more."""
    for path in base.glob(f"{PREFIX}*"):
        try:
            lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # it is another user's, or is being made or removed just now
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def _base() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(runtime) if runtime and os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
