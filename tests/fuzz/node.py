"""``python -m tests.fuzz.node SECONDS``: a whole node is sent what is made up from random bytes, for so long.

Each row of bytes that the node does not withstand is written to a file, whose name is printed.  What is found becomes a
test of its own, since the bytes mean something else as soon as a message is added.  With further arguments, the names
of such files, these alone are tried.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.fuzz.node_scene import NodeScene

CPU_S_MAX = 0.1
"""CPU seconds for which one frame may hold the loop."""
BYTES = 3_000


def main() -> int:
    """Try files, or random bytes for so many seconds; returns how many rows of bytes failed."""
    logging.disable(logging.CRITICAL)
    seconds, *names = sys.argv[1:]
    if names:
        return sum([_fails(Path(name).read_bytes(), None) for name in names])
    folder = Path(tempfile.mkdtemp(prefix="fuzz-node-"))
    until, rng = time.monotonic() + float(seconds), Random()
    failed = tried = 0
    while time.monotonic() < until:
        failed += _fails(rng.randbytes(BYTES), folder)
        tried += 1
    sys.stdout.write(f"{tried} rows of {BYTES} bytes were tried, {failed} failed\n")
    return failed


def _fails(data: bytes, folder: Path | None) -> bool:
    try:
        NodeScene(CPU_S_MAX).play(data)
    except Exception as error:  # noqa: BLE001  whatever it is, it was found
        where = None if folder is None else folder / f"{len(list(folder.iterdir()))}.bin"
        if where is not None:
            where.write_bytes(data)
        sys.stdout.write(f"{where}: {type(error).__name__}: {error}\n")
        return True
    return False


if __name__ == "__main__":
    sys.exit(min(main(), 1))
