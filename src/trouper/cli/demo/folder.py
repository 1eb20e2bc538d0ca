"""The files that the demo counts: finding them, reading one, and the reasons to skip one."""

from __future__ import annotations

import io
import os
import stat
import sysconfig
import tokenize
from pathlib import Path

import msgspec

from .counting import count_identifiers

FILE_BYTES_MAX = 16 * 1024 * 1024
"""A larger file is skipped: it would be read as one text."""
BINARY_PROBE_BYTES = 8_192
"""A zero byte among this many first ones makes a file binary."""


class FileCount(msgspec.Struct, frozen=True):
    """The result for one file.  skipped: the reason why it was not counted; None when it was."""

    counts: dict[str, int]
    size_bytes: int
    skipped: str | None = None


class _Skip(Exception):
    """A file is skipped; the text is the reason."""


def standard_library() -> Path:
    """Return the folder of the standard library of the running Python."""
    return Path(sysconfig.get_path("stdlib"))


def find_files(folder: Path | None) -> list[Path]:
    """Return the files to count, in order of their names; None is the ``.py`` files of the standard library.

    Links to folders are not followed.  A folder that cannot be listed is skipped.
    """
    root = standard_library() if folder is None else folder
    found: list[Path] = []
    for place, folders, names in os.walk(root):
        if folder is None:
            folders[:] = [name for name in folders if name not in ("site-packages", "dist-packages", "__pycache__")]
        found += [Path(place, name) for name in names if folder is not None or name.endswith(".py")]
    return sorted(found)


def count_file(path: Path) -> FileCount:
    """Count one file; one that is unreadable, no text or too large is skipped with a reason."""
    try:
        data, is_python = _read(path), path.suffix == ".py"
        return FileCount(count_identifiers(_decode(data, is_python=is_python), is_python=is_python), len(data))
    except _Skip as skip:
        return FileCount({}, 0, str(skip))


def _read(path: Path) -> bytes:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise _Skip("not a regular file")
        if found.st_size > FILE_BYTES_MAX:
            raise _Skip(f"larger than {FILE_BYTES_MAX // 1024**2} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise _Skip(f"unreadable ({error.strerror})") from error
    if b"\0" in data[:BINARY_PROBE_BYTES]:
        raise _Skip("binary")
    return data


def _decode(data: bytes, *, is_python: bool) -> str:
    """Decode UTF-8, or what a Python file declares in its first lines."""
    try:
        encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0] if is_python else "utf-8-sig"
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _Skip(f"not text in {error.encoding}") from error
    except (SyntaxError, LookupError) as error:
        raise _Skip("declares an unknown encoding") from error
