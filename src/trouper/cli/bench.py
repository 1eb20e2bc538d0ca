"""``trouper bench``: the workloads of this package on this machine, beside a baseline.

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
from . import baseline
from .measurements import Figures
from .workloads import WORKLOADS, Workload

Samples = dict[str, list[Figures]]  # by "trouper" and "baseline"


def bench(workloads: list[str], rounds: int, json_path: str | None) -> None:
    """Run workloads alternately with their baselines and print a table of medians.

    workloads: names from ``WORKLOADS``; empty means all.  rounds: samples of each, at least 1.
    json_path: a file that receives every sample; None writes none.
    Raises ``ValueError`` for a name that is no work, and for fewer rounds than 1.
    """
    names = workloads or list(WORKLOADS)
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        raise ValueError(f"no such workload: {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    if rounds < 1:
        raise ValueError(f"rounds={rounds} must be at least 1")
    # A process for each sample: in a used one the memory of what came before would be counted, or used again.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        samples = {name: _samples(processes, name, rounds) for name in names}
    if json_path is not None:
        kept = json.dumps({"python": sys.version, "workloads": samples}, indent=1)
        Path(json_path).write_text(kept, encoding="utf-8")
    _print_table(samples)


def take(name: str, from_baseline: bool, size: int) -> Figures:
    """Do one work once, by Trouper or by the baseline."""
    run = baseline.WORKLOADS[name] if from_baseline else WORKLOADS[name].run
    return trouper_run(partial(run, size))


def _samples(processes: ProcessPoolExecutor, name: str, rounds: int) -> Samples:
    """Take ``rounds`` samples of ours and of the baseline, in turn, so that both meet the same load of the machine."""
    taken: Samples = {"trouper": [], "baseline": []}
    for _ in range(rounds):
        for by, from_baseline in (("trouper", False), ("baseline", True)):
            if not from_baseline or name in baseline.WORKLOADS:
                taken[by].append(processes.submit(take, name, from_baseline, WORKLOADS[name].size).result())
    return taken


def _print_table(samples: dict[str, Samples]) -> None:
    """Print medians, with the ratio to the baseline; the other figures of a work go under it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="trouper bench: medians; the machine decides the absolute figures")
    table.add_column("workload")
    for heading in ("trouper", "baseline", "of the baseline"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    for name, taken in samples.items():
        work = WORKLOADS[name]
        ours, theirs = taken["trouper"], taken["baseline"]
        table.add_row(work.title, _median(ours, "value"), _median(theirs, "value"), _ratio(work, taken), work.unit)
        for key in ours[0]:
            if key != "value":
                table.add_row(f"  {key}", _median(ours, key), _median(theirs, key), "", "", style="dim")
    Console().print(table)
    Console().print(f"event loop: {trouper_run(_loop_name)}; Python {sys.version.split()[0]}", style="dim")


def _ratio(work: Workload, taken: Samples) -> str:
    """Return the median of the ratios of adjacent samples; above 1 is better than the baseline, whatever the unit."""
    pairs = [
        (ours["value"], baselines["value"])
        for ours, baselines in zip(taken["trouper"], taken["baseline"], strict=False)
    ]
    if not pairs:
        return "-"
    ratios = [ours / theirs if work.higher_is_better else theirs / ours for ours, theirs in pairs]
    return f"{statistics.median(ratios):.2f}x"


def _median(figures: Sequence[Figures], key: str) -> str:
    values = [each[key] for each in figures if key in each]
    return f"{statistics.median(values):,.{_digits(values)}f}" if values else "-"


def _digits(values: list[float]) -> int:
    return 0 if statistics.median(values) >= 1000 else 2


async def _loop_name() -> str:
    return type(asyncio.get_running_loop()).__module__
