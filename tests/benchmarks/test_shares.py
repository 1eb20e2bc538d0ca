"""What one more link costs, from totals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.shares import Stage, per_link


@given(
    base=st.integers(0, 10**9),
    each=st.integers(0, 10**6),
    counts=st.lists(st.integers(1, 50), min_size=1, max_size=10),
)
def test_what_grows_in_a_line_costs_the_same_in_every_part(base: int, each: int, counts: list[int]) -> None:
    """The whole and each part agree, whatever the process had before the first link."""
    stages = [Stage(sum(counts[:number]), base + each * sum(counts[:number])) for number in range(len(counts) + 1)]
    assert per_link(stages) == pytest.approx([each] * (len(counts) + 1))


def test_what_grows_faster_shows_in_the_last_part() -> None:
    """A table that is copied for each link would."""
    assert per_link([Stage(0, 0), Stage(10, 100), Stage(20, 400)]) == [20.0, 10.0, 30.0]
