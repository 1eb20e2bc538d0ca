"""One sample: one work by one peer, in this process, on one core, between two runs of the calibration loop.

``python -m benchmarks.one WORK PEER [--size N] [--core N]`` prints it as JSON; so a single figure can be looked at, or
profiled, by itself: ``python -m cProfile -m benchmarks.one tell trouper``.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time

import msgspec

from . import bars
from .peers import MODULES, workloads_of
from .samples import Sample


def take(work: str, peer: str, size: int, core: int | None) -> Sample:
    """Do one work once and return the figures."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    run = workloads_of(peer)[work]
    before_s = calibrate()
    started, cpu_started = time.perf_counter(), _cpu_s()
    figures = run(size)
    cpu_share = (_cpu_s() - cpu_started) / (time.perf_counter() - started)
    return Sample(work, peer, size, core, figures, before_s, calibrate(), cpu_share)


def calibrate() -> float:
    """Run a fixed loop of plain Python and return its seconds."""
    started = time.perf_counter()
    total = 0
    for number in range(1_000_000):
        total += number & 7
    assert total == 3_500_000
    return time.perf_counter() - started


def _cpu_s() -> float:
    """Return the CPU seconds of this process and of its ended children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main() -> None:
    """Read the command line, take the sample, print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one", description=__doc__)
    parser.add_argument("work", choices=bars.WORKLOADS)
    parser.add_argument("peer", choices=MODULES)
    parser.add_argument("--size", type=int, help="how much of it; left out: the size of the table")
    parser.add_argument("--core", type=int, help="the core to stay on; left out: any")
    given = parser.parse_args()
    size = given.size or bars.WORKLOADS[given.work].sizes[given.peer]
    sys.stdout.write(msgspec.json.encode(take(given.work, given.peer, size, given.core)).decode() + "\n")


if __name__ == "__main__":
    main()
