"""One whole count: by actors, or, to compare, by a plain loop."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ... import Node
from .folder import count_file
from .workers import Coordinator, CounterSupervisor, GetProgress, GetTotals, Progress, Totals

PROGRESS_EVERY_S = 0.05
"""Seconds between two questions for the progress."""


@dataclass(frozen=True)
class CountResult:
    """The result of a count.  complete: False when it was cancelled, so that the totals are partial."""

    totals: Totals
    seconds: float
    complete: bool


async def count_with_actors(
    paths: Sequence[Path],
    actors: int,
    *,
    workers: int,
    chaos: bool,
    on_progress: Callable[[Progress], None],
    on_end: Callable[[CountResult], None],
) -> None:
    """Count the files with so many actors, spread over so many worker processes; 0 is this process alone.

    ``on_end`` is called once, also when the count is cancelled halfway.  The coordinator is ``temporary``: a
    restart would lose its sums, so its failure ends the count.
    """
    began = time.perf_counter()
    async with Node("demo", threads=actors, workers=workers) as node:
        coordinator = await node.spawn(
            partial(Coordinator, paths, chaos=chaos, deadly=workers > 0), name="coordinator", restart="temporary"
        )
        await node.spawn(CounterSupervisor, coordinator, actors, name="counters")
        complete = False
        try:
            while (progress := await coordinator.ask(GetProgress())).done < progress.files:
                on_progress(progress)
                await asyncio.sleep(PROGRESS_EVERY_S)
            on_progress(progress)
            complete = True
        finally:
            seconds = time.perf_counter() - began
            on_end(CountResult(await coordinator.ask(GetTotals()), seconds, complete))
            # Before the counters: it would take their ends for failures.
            await coordinator.stop()


def count_in_sequence(paths: Sequence[Path]) -> Totals:
    """Count the same files with a plain loop, without actors and threads."""
    counts: Counter[str] = Counter()
    skipped: dict[str, str] = {}
    size_bytes = 0
    for path in paths:
        result = count_file(path)
        counts.update(result.counts)
        size_bytes += result.size_bytes
        if result.skipped is not None:
            skipped[str(path)] = result.skipped
    return Totals(Progress(len(paths), len(paths), size_bytes, 0, 0), dict(counts), skipped)


def differences(ours: Totals, plain: Totals) -> list[str]:
    """Return the differences between two counts of the same files; empty when they are equal."""
    found = [
        f"{word!r}: {ours.counts.get(word, 0)} by the actors, {plain.counts.get(word, 0)} in sequence"
        for word in sorted(ours.counts.keys() | plain.counts.keys())
        if ours.counts.get(word, 0) != plain.counts.get(word, 0)
    ]
    found += [
        f"{path}: {ours.skipped.get(path, 'counted')} by the actors, {plain.skipped.get(path, 'counted')} in sequence"
        for path in sorted(ours.skipped.keys() | plain.skipped.keys())
        if ours.skipped.get(path) != plain.skipped.get(path)
    ]
    if ours.progress.size_bytes != plain.progress.size_bytes:
        found.append(f"{ours.progress.size_bytes} bytes by the actors, {plain.progress.size_bytes} in sequence")
    return found
