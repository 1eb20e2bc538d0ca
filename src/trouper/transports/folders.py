"""Folders that only their user may change: of keys, and of sockets."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def make_private(folder: Path) -> None:
    """Make a folder, and the missing ones above it, closed to others whatever the umask is."""
    for missing in (*reversed([above for above in folder.parents if not above.exists()]), folder):
        missing.mkdir(mode=0o700, exist_ok=True)


def why_replaceable(folder: Path) -> str | None:
    """Return why another user could put another folder in the place of this one, in one clause; None for no reason.

    The folders above it, and symbolic links on the way, have to belong to this user or to root; a folder that others
    may write to has to have the sticky bit, as the one for temporary files has.  Raises ``OSError``.
    """
    for path in (*reversed(folder.absolute().parents), folder.absolute()):
        found = path.lstat()
        if found.st_uid not in (os.getuid(), 0):
            what = "is a link of" if stat.S_ISLNK(found.st_mode) else "belongs to"
            return f"{path} {what} user {found.st_uid}"
        if stat.S_ISLNK(found.st_mode):
            if (why := why_replaceable(path.parent / path.readlink())) is not None:
                return why
        elif path != folder.absolute() and found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
            return f"others can change {path} (mode {stat.S_IMODE(found.st_mode):o})"
    return None
