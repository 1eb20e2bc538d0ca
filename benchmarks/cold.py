"""Cold starts: how long a command takes in a fresh process."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Sequence


def milliseconds(command: Sequence[str], repeats: int) -> float:
    """Run a command to its end ``repeats`` times, after once to warm the disk, and return the median in ms."""
    times_ms: list[float] = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times_ms.append((time.perf_counter() - started) * 1000)
    return statistics.median(times_ms[1:])


def milliseconds_until_printed(command: Sequence[str], repeats: int) -> float:
    """As ``milliseconds``, but up to the moment that the command prints, as ``time.monotonic_ns()`` of this machine."""
    times_ms: list[float] = []
    for _ in range(repeats + 1):
        started_ns = time.monotonic_ns()
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        times_ms.append((int(printed.split()[-1]) - started_ns) / 1e6)
    return statistics.median(times_ms[1:])
