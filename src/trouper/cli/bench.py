"""``trouper bench``: the works of this package on this machine, beside the floor.

It needs nothing but the package.  The comparison with other actor systems, and the bars, is ``python -m benchmarks``
in the project's source.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from .. import run as trouper_run
from . import floor
from .gauges import Figures
from .works import WORKS


def bench(works: list[str], rounds: int, json_path: str | None) -> None:
    """Run works alternately with their floors and print a table of medians.

    works: names from ``WORKS``; empty means all.  rounds: samples of each, at least 1.
    json_path: a file that receives every sample; None writes none.
    Raises ``ValueError`` for a name that is no work, and for fewer rounds than 1.
    """
    names = works or list(WORKS)
    unknown = [name for name in names if name not in WORKS]
    if unknown:
        raise ValueError(f"no such work: {', '.join(unknown)}; there are {', '.join(WORKS)}")
    if rounds < 1:
        raise ValueError(f"rounds={rounds} must be at least 1")
    samples = {name: _sample(name, rounds) for name in names}
    if json_path is not None:
        kept = json.dumps({"python": sys.version, "works": samples}, indent=1)
        Path(json_path).write_text(kept, encoding="utf-8")
    _print_table(samples)


def _sample(name: str, rounds: int) -> dict[str, list[Figures]]:
    """Take ``rounds`` samples of ours and of the floor, in turn, so that both meet the same weather."""
    work = WORKS[name]
    floor_run = floor.WORKS.get(name)
    taken: dict[str, list[Figures]] = {"trouper": [], "floor": []}
    for _ in range(rounds):
        taken["trouper"].append(trouper_run(partial(work.run, work.size)))
        if floor_run is not None:
            taken["floor"].append(trouper_run(partial(floor_run, work.size)))
    return taken


def _print_table(samples: dict[str, dict[str, list[Figures]]]) -> None:
    """Print medians; the other figures of a work go under it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="trouper bench (medians; the machine decides the absolute figures)")
    for heading, justify in (("work", "left"), ("trouper", "right"), ("floor", "right"), ("unit", "left")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for name, taken in samples.items():
        work = WORKS[name]
        table.add_row(work.title, _median(taken["trouper"], "value"), _median(taken["floor"], "value"), work.unit)
        for key in taken["trouper"][0]:
            if key != "value":
                table.add_row(f"  {key}", _median(taken["trouper"], key), _median(taken["floor"], key), "", style="dim")
    Console().print(table)
    Console().print(f"event loop: {trouper_run(_loop_name)}; Python {sys.version.split()[0]}", style="dim")


def _median(figures: Sequence[Figures], key: str) -> str:
    values = [each[key] for each in figures if key in each]
    return f"{statistics.median(values):,.{_digits(values)}f}" if values else "-"


def _digits(values: list[float]) -> int:
    return 0 if statistics.median(values) >= 1000 else 2


async def _loop_name() -> str:
    return type(asyncio.get_running_loop()).__module__
