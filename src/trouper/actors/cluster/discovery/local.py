"""Discovery among the nodes of one user on one host, by small files in a private folder.

A node *announces* itself: the file ``NODE.node`` in ``$XDG_RUNTIME_DIR/trouper/CLUSTER/`` holds its endpoints, one a
line, and stays locked as long as the node lives.  The operating system releases the lock with the process, however it
ends, so a file that can be locked was left by a dead node, and the node that finds it removes it.  Process numbers are
not used, because the system reuses them.

The folder protects the announcements: it must belong to the user and be closed to group and others.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .addresses import gather, read_endpoint, shown
from .lines import read_seeds
from .port import DiscoveryFailed, DiscoveryInvalid, DiscoveryLimits

SUFFIX: Final = ".node"
FILE_BYTES_MAX: Final = 8_192
"""The largest announcement."""
LOCK_TRIES_MAX: Final = 200
LOCK_PAUSE_S: Final = 0.01
_NAME: Final = re.compile(r"[A-Za-z0-9_@+~:=,-][A-Za-z0-9_.@+~:=,-]{0,127}", re.ASCII)


def runtime_folder(cluster: str) -> Path:
    """Return the folder of a cluster's announcements: below ``$XDG_RUNTIME_DIR``, or else in that for temporary files.

    Raises ``DiscoveryInvalid`` when the cluster's name is not valid as the name of a folder.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    above = Path(runtime) / "trouper" if runtime else Path(tempfile.gettempdir()) / f"trouper-{os.getuid()}"
    return above / _checked(cluster, "cluster")


class LocalDiscovery:
    """The nodes that this user runs on this host.  Implements ``Discovery``.

    folder: as ``runtime_folder`` returns it; a missing folder means that there are no nodes.
    """

    def __init__(self, folder: Path, *, limits: DiscoveryLimits | None = None) -> None:
        self._folder = folder
        self._limits = limits or DiscoveryLimits()

    async def find(self) -> Sequence[str]:
        """Read the announcements of living nodes, and remove those of dead ones.

        Raises ``DiscoveryFailed`` when the folder is not private or cannot be read.
        """
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await asyncio.to_thread(_announced, self._folder, self._limits.endpoints_max)
        except TimeoutError:
            raise DiscoveryFailed(f"{self.describe()}: not read within {self._limits.timeout_s} s") from None
        except OSError as error:
            raise DiscoveryFailed(f"{self.describe()}: {error.strerror or error}") from error

    def describe(self) -> str:
        """Return the folder."""
        return f"this user's nodes on this host ({self._folder})"


class LocalAnnouncement:
    """Announces a node while it is entered: ``async with LocalAnnouncement(folder, "ada", endpoints): ...``.

    node: its name.  endpoints: at which it listens; together at most ``FILE_BYTES_MAX`` bytes.
    Entering raises ``DiscoveryFailed`` when the folder is not private, cannot be made, or a living node of this
    cluster has this name; ``DiscoveryInvalid`` when a name or an endpoint cannot be announced.
    """

    def __init__(self, folder: Path, node: str, endpoints: Sequence[str]) -> None:
        self._path = folder / f"{_checked(node, 'node')}{SUFFIX}"
        self._text = "".join(f"{read_endpoint(endpoint)}\n" for endpoint in endpoints).encode()
        if len(self._text) > FILE_BYTES_MAX:
            raise DiscoveryInvalid(f"the endpoints of node {node} take {len(self._text)} bytes, over {FILE_BYTES_MAX}")
        self._file: int | None = None

    async def __aenter__(self) -> Self:
        try:
            _make_private(self._path.parent)
            for _ in range(LOCK_TRIES_MAX):
                self._file = _locked(self._path)
                if self._file is not None:
                    os.ftruncate(self._file, 0)
                    os.pwrite(self._file, self._text, 0)
                    return self
                await asyncio.sleep(LOCK_PAUSE_S)  # a searching node holds the lock for an instant only
        except OSError as error:
            raise DiscoveryFailed(f"cannot announce this node in {self._path}: {error.strerror or error}") from error
        raise DiscoveryFailed(f"{self._path} is locked by a living node of this name: use another name or cluster")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)  # before the lock is released: later it could be another node's file
            os.close(self._file)
            self._file = None


def _checked(name: str, whose: str) -> str:
    if not _NAME.fullmatch(name):
        raise DiscoveryInvalid(
            f"the {whose} name {shown(name)} is not valid as a file name: use 1 to 128 of A-Z a-z 0-9 _.@+~:=,-"
        )
    return name


def _make_private(folder: Path) -> None:
    """Make a folder and the missing ones above it, closed to others; raises ``DiscoveryFailed`` if not private."""
    for missing in (*reversed([above for above in folder.parents if not above.exists()]), folder):
        missing.mkdir(mode=0o700, exist_ok=True)
    _check_private(folder.parent)  # its owner could replace this folder by another one
    _check_private(folder)


def _check_private(folder: Path) -> None:
    """Raise ``DiscoveryFailed`` when a path is not a folder, or is a folder that other users can use."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise DiscoveryFailed(f"{folder} is not a folder; remove it")
    if found.st_uid != os.getuid():
        raise DiscoveryFailed(f"the folder {folder} belongs to user {found.st_uid}, not to {os.getuid()}: remove it")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise DiscoveryFailed(f"the folder {folder} is open to others (mode {mode:o}): chmod 700 {folder}")


def _locked(path: Path) -> int | None:
    """Make and lock a file; return None when another process has locked it, or has removed it meanwhile."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    if _take(file, fcntl.LOCK_EX) and _is_at(file, path):
        return file
    os.close(file)
    return None


def _take(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: int, path: Path) -> bool:
    """Return whether the open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except FileNotFoundError:
        return False


def _announced(folder: Path, endpoints_max: int) -> tuple[str, ...]:
    try:
        _check_private(folder)
    except FileNotFoundError:
        return ()
    paths = sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)
    return gather((endpoint for path in paths for endpoint in _read(path, endpoints_max)), endpoints_max)


def _read(path: Path, endpoints_max: int) -> Sequence[str]:
    """Return the endpoints of a living node; for a dead one remove the file and return none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ()  # removed meanwhile, or a link, which no node makes
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return ()
        if _take(file, fcntl.LOCK_SH):
            if _is_at(file, path):
                path.unlink(missing_ok=True)
            return ()
        text = os.pread(file, FILE_BYTES_MAX, 0).decode("utf-8", "replace")
        return read_seeds(text, endpoints_max).endpoints
    finally:
        os.close(file)
