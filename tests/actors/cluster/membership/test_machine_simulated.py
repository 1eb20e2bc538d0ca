"""The cases of the cluster's table at a small size: the same bars, in seconds."""

import pytest

from benchmarks.clustering.cases import QUICK


@pytest.mark.parametrize("case", QUICK)
def test_a_case_meets_its_bar(case: str) -> None:
    """What ``python -m benchmarks.cluster_sim --quick`` prints holds; all of it is in virtual time."""
    outcome = QUICK[case](1)
    assert outcome.holds, f"{outcome.bar}: {outcome.figures}"


def test_a_seed_gives_the_same_figures_again() -> None:
    """Nothing but the seed decides."""
    assert QUICK["crash"](7).figures == QUICK["crash"](7).figures != QUICK["crash"](8).figures
