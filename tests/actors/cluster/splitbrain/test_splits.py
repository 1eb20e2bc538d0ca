"""Thousands of random cuts: whatever the strategy, never do two sides survive."""

import os

import pytest

from benchmarks.splitbrain_sim import MOVERS, STRATEGIES, Movers, cut
from trouper.testing.seeds import SOAK_FACTOR

CUTS = 1_000 * (SOAK_FACTOR if os.environ.get("TROUPER_SOAK") == "1" else 1)


@pytest.mark.parametrize("movers", MOVERS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_sides_never_survive(strategy: str, movers: Movers) -> None:
    """At most one side keeps any member, whichever node moves members on at that moment; most cuts leave one."""
    survivors = {seed: cut(seed, strategy, movers).survivors for seed in range(CUTS)}
    assert {seed: sides for seed, sides in survivors.items() if len(sides) > 1} == {}
    share = sum(bool(sides) for sides in survivors.values()) / CUTS
    least = {"keep_majority": 0.5, "keep_oldest": 0.5, "lease_majority": 0.9, "static_quorum": 0.1, "down_all": 0.0}
    assert share >= least[strategy]
