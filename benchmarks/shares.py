"""What one more of something costs, from totals taken on the way (PURE)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Stage:
    """So many links, and the bytes that the process had then."""

    links: int
    bytes_total: float


def per_link(stages: Sequence[Stage]) -> list[float]:
    """Return the bytes of a link over the whole way, and then over each part of it; of two stages or more."""
    whole = (stages[0], stages[-1])
    return [
        (after.bytes_total - before.bytes_total) / (after.links - before.links)
        for before, after in [whole, *pairwise(stages)]
    ]
