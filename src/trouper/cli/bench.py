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
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from .. import run as trouper_run
from . import floor
from .gauges import Figures
from .works import WORKS, Work

Samples = dict[str, list[Figures]]  # by "trouper" and "floor"


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
    # A process for each sample: in a used one the memory of what came before would be counted, or used again.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        samples = {name: _samples(processes, name, rounds) for name in names}
    if json_path is not None:
        kept = json.dumps({"python": sys.version, "works": samples}, indent=1)
        Path(json_path).write_text(kept, encoding="utf-8")
    _print_table(samples)


def take(name: str, from_floor: bool, size: int) -> Figures:
    """Do one work once, by Trouper or by the floor."""
    run = floor.WORKS[name] if from_floor else WORKS[name].run
    return trouper_run(partial(run, size))


def _samples(processes: ProcessPoolExecutor, name: str, rounds: int) -> Samples:
    """Take ``rounds`` samples of ours and of the floor, in turn, so that both meet the same weather."""
    taken: Samples = {"trouper": [], "floor": []}
    for _ in range(rounds):
        for by, from_floor in (("trouper", False), ("floor", True)):
            if not from_floor or name in floor.WORKS:
                taken[by].append(processes.submit(take, name, from_floor, WORKS[name].size).result())
    return taken


def _print_table(samples: dict[str, Samples]) -> None:
    """Print medians, with the ratio to the floor; the other figures of a work go under it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="trouper bench: medians; the machine decides the absolute figures")
    table.add_column("work")
    for heading in ("trouper", "floor", "of the floor"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    for name, taken in samples.items():
        work = WORKS[name]
        ours, theirs = taken["trouper"], taken["floor"]
        table.add_row(work.title, _median(ours, "value"), _median(theirs, "value"), _ratio(work, taken), work.unit)
        for key in ours[0]:
            if key != "value":
                table.add_row(f"  {key}", _median(ours, key), _median(theirs, key), "", "", style="dim")
    Console().print(table)
    Console().print(f"event loop: {trouper_run(_loop_name)}; Python {sys.version.split()[0]}", style="dim")


def _ratio(work: Work, taken: Samples) -> str:
    """Show the median of the ratios of neighbours; above 1 would be better than the floor, whatever the unit."""
    pairs = [(ours["value"], floors["value"]) for ours, floors in zip(taken["trouper"], taken["floor"], strict=False)]
    if not pairs:
        return "-"
    return (
        f"{statistics.median(ours / floors if work.higher_is_better else floors / ours for ours, floors in pairs):.2f}x"
    )


def _median(figures: Sequence[Figures], key: str) -> str:
    values = [each[key] for each in figures if key in each]
    return f"{statistics.median(values):,.{_digits(values)}f}" if values else "-"


def _digits(values: list[float]) -> int:
    return 0 if statistics.median(values) >= 1000 else 2


async def _loop_name() -> str:
    return type(asyncio.get_running_loop()).__module__
