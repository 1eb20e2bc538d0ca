"""The private folder of the sockets of a node and its workers.

The node removes it when it shuts down, and a worker removes it when its node has ended.  When the node and all workers
are killed at once, the next ``SocketFolder`` removes it: a folder in use has a file that its node keeps locked.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "trouper-workers-"
LOCK = "in-use"
BASE_BYTES_MAX = (107 if sys.platform == "linux" else 103) - len("/trouper-workers-12345678/worker-128")
"""The longest path, in bytes, in which the folder is made; the first number is the limit of the path of a socket."""


class SocketFolder:
    """A new folder that only this user can enter (0700).

    It is in ``$XDG_RUNTIME_DIR``, else in the folder of temporary files, else in ``/tmp`` where those paths are too
    long for a socket.
    """

    def __init__(self) -> None:
        base = _base()
        sweep(base)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def endpoint(self, node: str) -> str:
        """Return the endpoint at which a node listens."""
        return f"ipc://{self.path / node}"

    @property
    def exists(self) -> bool:
        """Whether nobody has removed the folder; a new one of the same name is not it."""
        try:
            return os.path.samestat(os.stat(self.path / LOCK), os.fstat(self._lock))  # noqa: PTH116  two of a kind
        except OSError:
            return False

    def touch(self) -> None:
        """Set the times of the folder and of what is in it to now; nothing happens when it was removed."""
        with suppress(OSError):
            for path in (self.path, *self.path.iterdir()):
                os.utime(path)

    def remove(self) -> None:
        """Remove the folder and its contents."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep(base: Path) -> None:
    """Remove the folders below ``base`` that are not in use."""
    for path in base.glob(f"{PREFIX}*"):
        try:
            if path.lstat().st_uid != os.getuid() or path.is_symlink():
                continue
            lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue  # another user's folder, or one that is being created or removed
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def _base() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(runtime) if runtime and os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
    if len(os.fsencode(base.absolute())) <= BASE_BYTES_MAX or not os.access("/tmp", os.W_OK):  # noqa: S108  see below
        return base.absolute()
    return Path("/tmp")  # noqa: S108  the folder that is made in it is private, and has an unpredictable name
