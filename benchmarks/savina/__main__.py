"""``python -m benchmarks.savina [NAME ...]``: run the programs, check their answers, print their times."""

from __future__ import annotations

import argparse
import importlib
import time
from typing import Any

import trouper
from trouper import Node

from . import PROGRAMS


async def timed_s(name: str, scale: float) -> float:
    """Run one program in a node of its own and return its seconds; raises ``AssertionError`` for a wrong answer."""
    program: Any = importlib.import_module(f"{__package__}.{name}")  # Any: the programs have no class in common
    size = max(1, int(program.SIZE * scale))
    async with Node() as node:
        started = time.perf_counter()
        result = await program.run(node, size)
        took_s = time.perf_counter() - started
    program.check(size, result)
    return took_s


def main() -> None:
    """Read the command line and run what it names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.savina", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PROGRAMS)}; none: all")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply all sizes (1)")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(PROGRAMS))
    if unknown:
        parser.error(f"no such program: {', '.join(unknown)}")

    async def perform() -> None:
        for name in given.names or PROGRAMS:
            print(f"{name:24} {1000 * await timed_s(name, given.scale):10.1f} ms", flush=True)

    trouper.run(perform)


if __name__ == "__main__":
    main()
