import random

from hypothesis import given
from hypothesis import strategies as st

from trouper.testing import Fault, Plan, Risks
from trouper.testing.faults import KINDS, FaultKind, shrink


@given(st.sets(st.integers(0, 30), max_size=5), st.integers(0, 31))
def test_shrinking_finds_exactly_the_faults_that_are_needed(needed: set[int], count: int) -> None:
    """When a run fails exactly if certain faults are in it, shrinking leaves those, and asks no more than it may."""
    needed = {place for place in needed if place < count}
    asked: list[tuple[int, ...]] = []

    def fails(places: tuple[int, ...]) -> bool:
        asked.append(places)
        return needed <= set(places)

    assert shrink(count, fails) == tuple(sorted(needed))
    assert len(asked) <= 200


@given(st.integers(0, 40), st.integers(0, 20), st.randoms(use_true_random=False))
def test_shrinking_keeps_what_fails(count: int, runs_max: int, chance: random.Random) -> None:
    """Whatever makes a run fail, what is left has failed (or is everything), and the limit of runs is held."""
    verdicts: dict[tuple[int, ...], bool] = {tuple(range(count)): True}
    asked = 0

    def fails(places: tuple[int, ...]) -> bool:
        nonlocal asked
        asked += 1
        return verdicts.setdefault(places, chance.random() < 0.5)

    kept = shrink(count, fails, runs_max)
    assert verdicts[kept]
    assert asked <= runs_max


@given(st.integers(0, 2**32), st.integers(0, 8), st.sampled_from(KINDS))
def test_a_plan_is_drawn_within_its_risks(seed: int, faults_max: int, kind: FaultKind) -> None:
    """A seed always draws the same plan: so many faults, of these kinds, in this time, in order."""
    risks = Risks(kinds=(kind,), faults_max=faults_max, within_s=7.0, for_s_max=2.0, flood_max=9)
    plan = risks.draw(random.Random(seed))
    assert plan == risks.draw(random.Random(seed))
    assert len(plan.faults) <= faults_max
    assert list(plan.faults) == sorted(plan.faults, key=lambda fault: fault.at_s)
    for fault in plan.faults:
        assert (fault.kind, 0 <= fault.at_s <= 7.0, 0 <= fault.for_s <= 2.0) == (kind, True, True)
        assert (0 <= fault.pick < 1, 1 <= fault.count <= 9) == (True, True)


def test_a_plan_says_what_will_happen() -> None:
    """A plan reads as a list of what goes wrong, each fault under the number by which it is replayed."""
    plan = Plan(
        (Fault(1.5, "pause", 0.25, for_s=2.0), Fault(2.0, "flood", 0.5, count=10), Fault(3.0, "leap", for_s=4.0))
    )
    assert str(plan) == (
        "[0] at 1.5 s pause the actor at 25% of the list for 2 s; [1] at 2 s flood the actor at 50% of the list "
        "with 10 messages; [2] at 3 s leap for 4 s"
    )
    assert str(plan.only([2])) == "[0] at 3 s leap for 4 s"
    assert str(Plan()) == "no faults"
