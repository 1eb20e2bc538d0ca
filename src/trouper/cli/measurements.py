"""Measurements of the workloads: lateness of timers, memory of the process, percentiles."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

Figures = dict[str, float]  # figures of one sample by name, with units; ``value`` is the one of the table


async def timer_lateness_ms(duration_s: float) -> list[float]:
    """Sleep 1 ms over and over for ``duration_s`` and return how late each wake-up came, in ms."""
    late_ms: list[float] = []
    end = time.perf_counter() + duration_s
    while (started := time.perf_counter()) < end:
        await asyncio.sleep(0.001)
        late_ms.append((time.perf_counter() - started) * 1000 - 1)
    return late_ms


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def resident_bytes() -> float:
    """Return the resident memory of this process in bytes; nan where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return float("nan")
    return float(pages) * os.sysconf("SC_PAGE_SIZE")
