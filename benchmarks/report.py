"""How figures are shown: a table for the terminal, a section of markdown, JSON with every sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from . import bars, summary
from .bars import Row
from .machine import Machine
from .peers import TITLES
from .samples import Pair
from .summary import Line, Spread

BEGIN, END = "<!-- {}: written by `python -m benchmarks --write-docs` -->", "<!-- end of {} -->"


class Run(msgspec.Struct, frozen=True):
    """Everything that one run measured, as it is kept in JSON; ``failed`` says why pairs are missing."""

    machine: Machine
    rounds: int
    scale: float
    workloads: dict[str, list[Pair]]
    failed: list[str]


def lines(run: Run, section: str | None = None) -> list[Line]:
    """Summarise all rows that this run has figures for; of one section of the page, None for all."""
    rows = [row for row in bars.ROWS if section is None or bars.WORKLOADS[row.work].section == section]
    made = [summary.line(row, run.workloads.get(row.work, [])) for row in rows]
    return [each for each in made if each is not None]


def sections(run: Run) -> list[str]:
    """Return the sections of the page that this run has figures for."""
    return list(dict.fromkeys(bars.WORKLOADS[each.row.work].section for each in lines(run)))


def table(run: Run) -> str:
    """Return the table for a terminal: ours, the ratio to the named peer with its range, the bar, met or not."""
    cells = [["work", "unit", "ours", "ratio to", "median (min-max)", "bar", "met"]]
    cells += [_summary_cells(each) for each in lines(run)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def markdown(run: Run, section: str) -> str:
    """Return a section of docs/benchmarks.md: the machine, the bars, then every peer."""
    rows = lines(run, section)
    workloads = {each.row.work for each in rows}
    steady = summary.calibration([pair for work in sorted(workloads) for pair in run.workloads[work]])
    machine = run.machine
    versions = ", ".join(f"{name} {version or 'not installed'}" for name, version in machine.versions.items())
    parts = [
        f"Taken on {machine.date}: {machine.processor}, {machine.cores} cores, {machine.system}, {machine.python}, "
        f"{versions}. {run.rounds} rounds" + (f", sizes times {run.scale:g}" if run.scale != 1 else "") + ". "
        f"The calibration loop took {_number(steady.median)} ms in the median ({_number(steady.low)} to "
        f"{_number(steady.high)} ms over the whole run), which says how steady the machine was."
        + (f" {len(run.failed)} pairs are missing, because a process failed." if run.failed else ""),
        "",
        *_markdown_table([["work", "unit", "ours", "ratio to", "median (min-max)", "bar", "met"]]
                         + [_summary_cells(each) for each in rows]),
        "",
        "Medians of every peer, and in brackets the ratio to it (above 1 is in our favour):",
        "",
        *_markdown_table(_peer_cells(rows)),
    ]  # fmt: skip
    return "\n".join(parts)


def write_section(path: Path, section: str, text: str) -> None:
    """Put the text between the two marks of a section; raises ``ValueError`` where the marks are missing."""
    page = path.read_text(encoding="utf-8")
    begin, end = BEGIN.format(section), END.format(section)
    if begin not in page or end not in page:
        raise ValueError(f"{path} has no place for figures: it wants the lines {begin!r} and {end!r}")
    head, rest = page.split(begin, 1)
    tail = rest.split(end, 1)[1]
    path.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", encoding="utf-8")


def _summary_cells(each: Line) -> list[str]:
    row, ratio = each.row, each.ratios.get(each.named)
    return [
        row.title + (f" ({each.left_out} disturbed samples left out)" if each.left_out else ""),
        row.unit,
        _number(each.ours.median) if each.ours else "-",
        TITLES[each.named] if ratio else "-",
        f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})" if ratio else "-",
        _bar(row),
        _verdict(each, ratio),
    ]


def _bar(row: Row) -> str:
    if row.ratio_min is not None:
        return f">= {row.ratio_min:g}x" + (f", moonshot {row.moonshot:g}x" if row.moonshot else "")
    if row.figure_max is not None:
        return f"<= {row.figure_max:g} {row.unit}"
    return f">= {row.figure_min:g} {row.unit}" if row.figure_min is not None else "-"


def _verdict(each: Line, ratio: Spread | None) -> str:
    if each.met is None:
        return "-"
    if each.row.ratio_min is None or ratio is None:
        return "yes" if each.met else "no"
    return f"{'yes' if each.met else 'no'}, {ratio.median / each.row.ratio_min:.2f} of it"


def _peer_cells(rows: Sequence[Line]) -> list[list[str]]:
    peers = [peer for peer in TITLES if any(peer in each.peers for each in rows)]
    cells = [["work", "unit", "Trouper", *(TITLES[peer] for peer in peers)]]
    for each in rows:
        shown = [_with_ratio(each.peers.get(peer), each.ratios.get(peer)) for peer in peers]
        cells.append([each.row.title, each.row.unit, _number(each.ours.median) if each.ours else "-", *shown])
    return cells


def _with_ratio(theirs: Spread | None, ratio: Spread | None) -> str:
    if theirs is None:
        return "-"
    return _number(theirs.median) + (f" ({_number(ratio.median)}x)" if ratio else "")


def _markdown_table(cells: Sequence[Sequence[str]]) -> list[str]:
    head, *body = [f"| {' | '.join(row)} |" for row in cells]
    return [head, "|" + "---|" * len(cells[0]), *body]


def _number(value: float) -> str:
    """Return three digits that count, and no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
