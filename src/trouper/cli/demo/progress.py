"""The output of the demo: a progress bar and a table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

from ...runtime.node.run import run
from .. import INTERRUPTED, TERMINATED
from .folder import find_files, standard_library
from .job import CountResult, count_in_sequence, count_with_actors, differences
from .workers import Progress

DIFFERENCES_SHOWN = 10
WORD_CHARS_MAX = 60
Print = Callable[[str], None]


def show_demo(folder: Path | None, *, actors: int, workers: int, top: int, chaos: bool, verify: bool) -> int:
    """Run the demo and return the exit code: 0, 1 when the counts differ, 2 without files, 130 after Ctrl-C."""
    place = standard_library() if folder is None else folder
    stdout: object = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        cast("io.TextIOWrapper", stdout).reconfigure(errors="backslashreplace")  # a terminal may lack some letters
    try:
        paths = find_files(folder)
        if not paths:
            sys.stderr.write(f"there is no file to count below {place}: give another folder with --input\n")
            return 2
        actors = max(actors, workers)
        spread = f" in {workers} workers" if workers else ""
        print(f"counting identifiers in {len(paths):,} files below {place} with {actors} actors{spread}", flush=True)
        outcome, code = _count(paths, actors, workers, chaos=chaos)
        if outcome is None:
            return code
        _print_table(outcome, top)
        _print_summary(outcome, actors)
        return _verify(paths, outcome) if verify and code == 0 else code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED


def _count(paths: list[Path], actors: int, workers: int, *, chaos: bool) -> tuple[CountResult | None, int]:
    """Count by actors; a signal ends the count in order, with a partial result."""
    ended: list[CountResult] = []
    code = 0
    with _progress(len(paths)) as (show, say), _log_printed(say):
        try:
            count = partial(count_with_actors, paths, actors, workers=workers, chaos=chaos)
            run(partial(count, on_progress=show, on_end=ended.append))
        except KeyboardInterrupt:
            code = INTERRUPTED
        except SystemExit:
            code = TERMINATED
    return (ended[0] if ended else None), code


# --- while it runs ---------------------------------------------------------------------------------------------------


@contextmanager
def _progress(files: int) -> Generator[tuple[Callable[[Progress], None], Print], None, None]:
    """Yield a function that shows the progress, and one that prints a line beside the progress bar."""
    if not sys.stdout.isatty():
        yield (lambda _: None), (lambda line: print(line, file=sys.stderr))
        return
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("files"), TextColumn("{task.fields[rate]}"))
    with Bar(*columns, TimeElapsedColumn()) as bar:
        task = bar.add_task("counting", total=files, rate="")
        began = time.perf_counter()

        def show(progress: Progress) -> None:
            rate = progress.size_bytes / 1e6 / max(time.perf_counter() - began, 1e-9)
            bar.update(task, completed=progress.done, rate=f"{rate:.1f} MB/s, restarts: {progress.restarts}")

        yield show, lambda line: bar.console.print(escape(line), style="yellow", highlight=False)


@contextmanager
def _log_printed(say: Print) -> Generator[None, None, None]:
    """Print the log of the runtime: of each report the first and the last line."""

    class LinePrinter(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            first, *more = record.getMessage().strip().splitlines()
            say(f"{first}: {more[-1].removeprefix('  | ')}" if more else first)

    teller, log = LinePrinter(), logging.getLogger("trouper")
    log.addHandler(teller)
    propagate, log.propagate = log.propagate, False
    try:
        yield
    finally:
        log.propagate = propagate
        log.removeHandler(teller)


# --- at the end ------------------------------------------------------------------------------------------------------


def _print_table(outcome: CountResult, top: int) -> None:
    """Print the most frequent identifiers; equally frequent ones in alphabetical order."""
    counts = outcome.totals.counts
    words = sorted(counts, key=lambda word: (-counts[word], word))[:top]
    if not words:
        return
    rows = [
        (f"{counts[word]:,}", word if len(word) <= WORD_CHARS_MAX else f"{word[:WORD_CHARS_MAX]}...") for word in words
    ]
    if not sys.stdout.isatty():
        for count, word in [("count", "identifier"), *rows]:
            print(f"{count:>12}  {word}")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="the most frequent identifiers" + ("" if outcome.complete else ", so far"))
    table.add_column("count", justify="right")
    table.add_column("identifier", style="cyan")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _print_summary(outcome: CountResult, actors: int) -> None:
    totals, progress = outcome.totals, outcome.totals.progress
    megabytes, seconds = progress.size_bytes / 1e6, max(outcome.seconds, 1e-9)
    if not outcome.complete:
        print(f"interrupted after {progress.done:,} of {progress.files:,} files: the counts are partial")
    print(
        f"{progress.done:,} files, {megabytes:.1f} MB in {seconds:.2f} s: "
        f"{progress.done / seconds:,.0f} files/s, {megabytes / seconds:.1f} MB/s"
    )
    print(
        f"{sum(totals.counts.values()):,} identifiers, {len(totals.counts):,} different; actors: {actors}, "
        f"restarts: {progress.restarts}, files handed out again: {progress.reissued}"
    )
    reasons = Counter(totals.skipped.values())
    for reason, number in sorted(reasons.items()):
        example = next(path for path, why in totals.skipped.items() if why == reason)
        print(f"skipped {number:,}: {reason}, for example {example!r}")


def _verify(paths: list[Path], outcome: CountResult) -> int:
    """Count again without actors; returns the exit code, 1 when the counts differ."""
    began = time.perf_counter()
    found = differences(outcome.totals, count_in_sequence(paths))
    seconds = time.perf_counter() - began
    if not found:
        print(f"verified: equal to a plain sequential count, which took {seconds:.2f} s")
        return 0
    print(f"the counts differ from a plain sequential count in {len(found):,} places:")
    for line in found[:DIFFERENCES_SHOWN]:
        print(f"  {line}")
    return 1
