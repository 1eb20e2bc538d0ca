"""What the samples say: medians, ratios of adjacent pairs, and whether a bar is met (PURE).

A ratio above 1 is in our favour whatever the unit: ours over theirs for a rate, theirs over ours for a time or a size.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .bars import Row
from .samples import Pair, Sample


@dataclass(frozen=True)
class Spread:
    """A median with the lowest and the highest value seen, and how many there were."""

    median: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Line:
    """One row of the table with its figures.

    ours: None where only a peer was measured.  peers: by name.  ratios: to each peer that was measured beside ours.
    named: the peer that the bar is held against: of those that the row allows, the one to which the ratio is lowest.
    met: None where there is no bar, or nothing to hold against it.  left_out: how many samples were disturbed.
    """

    row: Row
    ours: Spread | None
    peers: Mapping[str, Spread]
    ratios: Mapping[str, Spread]
    named: str
    met: bool | None
    left_out: int


def spread(values: Sequence[float]) -> Spread:
    """Summarise at least one value."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def line(row: Row, pairs: Iterable[Pair]) -> Line | None:
    """Summarise one row; None when no sample has its figure."""
    ours: list[float] = []
    theirs: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    left_out = 0
    for pair in pairs:
        left_out += sum(each is not None and _is_disturbed(each, row) for each in (pair.ours, pair.peer))
        own = _figure(pair.ours, row)
        other = _figure(pair.peer, row)
        if own is not None:
            ours.append(own)
        if other is not None and pair.peer is not None:
            theirs.setdefault(pair.peer.peer, []).append(other)
            if own is not None:
                ratio = _in_our_favour(own, other, row.higher_is_better)
                ratios.setdefault(pair.peer.peer, []).append(ratio)
    if not ours and not theirs:
        return None
    spreads = {peer: spread(values) for peer, values in ratios.items()}
    own_spread = spread(ours) if ours else None
    peers = {peer: spread(values) for peer, values in theirs.items()}
    return Line(row, own_spread, peers, spreads, named(row, spreads), met(row, own_spread, spreads), left_out)


def named(row: Row, ratios: Mapping[str, Spread]) -> str:
    """Return the peer that counts: of ``ratio_to`` and ``or_to`` the one that does best beside us."""
    measured = [peer for peer in (row.ratio_to, *row.or_to) if peer in ratios]
    return min(measured, key=lambda peer: ratios[peer].median, default=row.ratio_to)


def met(row: Row, ours: Spread | None, ratios: Mapping[str, Spread]) -> bool | None:
    """Say whether the median meets the bar of the row."""
    if ours is None:
        return None
    if row.ratio_min is not None:
        against = ratios.get(named(row, ratios))
        return None if against is None else against.median >= row.ratio_min
    if row.figure_max is not None:
        return ours.median <= row.figure_max
    if row.figure_min is not None:
        return ours.median >= row.figure_min
    return None


def calibration(pairs: Iterable[Pair]) -> Spread:
    """Summarise how long the fixed loop took over a whole run, in ms: how steady the machine was."""
    samples = [each for pair in pairs for each in (pair.peer, pair.ours) if each is not None]
    return spread(
        [1000 * time_s for each in samples for time_s in (each.calibration_before_s, each.calibration_after_s)]
    )


def _figure(sample: Sample | None, row: Row) -> float | None:
    if sample is None or row.figure not in sample.figures or _is_disturbed(sample, row):
        return None
    return sample.figures[row.figure] / row.scale


def _is_disturbed(sample: Sample, row: Row) -> bool:
    """Return whether the process lost too much of its core to others; the baseline sleeps on purpose and has not."""
    return sample.peer != "baseline" and sample.cpu_share < row.cpu_share_min


def _in_our_favour(ours: float, theirs: float, higher_is_better: bool) -> float:
    above, below = (ours, theirs) if higher_is_better else (theirs, ours)
    return above / below if below else float("inf")
