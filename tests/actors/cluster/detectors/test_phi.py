"""Phi, with the values of Pekko's AccrualFailureDetectorSpec (Apache-2.0), there in milliseconds."""

from itertools import accumulate, pairwise
from math import erfc, inf, isfinite, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trouper.actors.cluster.detectors.phi import Intervals, PhiAccrual, PhiSettings, phi
from trouper.runtime.kernel.errors import InvalidOption

DISTRIBUTION = {0: 0.5, 6: 0.7257, 15: 0.9332, 20: 0.97725, 25: 0.99379, 35: 0.99977, 40: 0.99997}
REALISTIC = {0: 0.0, 500: 0.1, 1000: 0.3, 1200: 1.6, 1400: 4.7, 1600: 10.8, 1700: 15.3}


def _times(*intervals_ms: int) -> list[float]:
    return [at_ms / 1000 for at_ms in accumulate(intervals_ms)]


def _detector(times: list[float], threshold: float = 8.0, samples_max: int = 1_000, pause_s: float = 0.0) -> PhiAccrual:
    """A detector that has heard a heartbeat at each of these times; no pause is allowed unless it is said."""
    detector = PhiAccrual(PhiSettings(threshold=threshold, samples_max=samples_max, pause_s=pause_s))
    for at in times:
        detector.heartbeat(at)
    return detector


def _chance(found: float) -> float:
    return float(1.0 - 10**-found)


def test_the_distribution_is_near_enough_to_the_normal_one() -> None:
    """The values of the specification hold, and phi grows with the silence."""
    for silence, chance in DISTRIBUTION.items():
        assert _chance(phi(silence, 0, 10)) == pytest.approx(chance, abs=0.001)
    assert _chance(phi(22, 20.0, 3)) == pytest.approx(0.7475, abs=0.001)
    assert all(phi(x, 0, 10) < phi(y, 0, 10) for x, y in pairwise(range(41)))


@given(st.floats(-3, 6))
def test_the_chance_is_within_its_known_error_of_the_normal_one(y: float) -> None:
    """The approximation is never farther off than 0.00014, so phi 8 is crossed where the distribution says."""
    assert 10 ** -phi(y, 0.0, 1.0) == pytest.approx(erfc(y / sqrt(2)) / 2, abs=0.00015)


def test_outliers_have_a_phi() -> None:
    """Far out on either side the value of the specification is kept, and nothing overflows."""
    assert phi(10, 0, 1) == pytest.approx(38.0, abs=1.0)
    assert phi(-25, 0, 1) == pytest.approx(0.0, abs=1e-12)
    assert isfinite(phi(1e9, 0.0, 0.1))
    assert phi(-1e9, 0.0, 0.1) == 0.0


def test_realistic_silences_have_realistic_values() -> None:
    """With a habit of 1 s and a deviation of 0.1 s; a larger deviation is a lower phi."""
    for silence_ms, expected in REALISTIC.items():
        assert phi(silence_ms, 1000.0, 100.0) == pytest.approx(expected, abs=0.1)
    assert phi(1100, 1000.0, 500.0) < phi(1100, 1000.0, 100.0)


def test_nothing_is_suspicious_before_the_first_heartbeat() -> None:
    """What was never heard of is not watched."""
    detector = _detector([])
    assert (detector.suspicion(0.0), detector.suspicion(1e6)) == (0.0, 0.0)
    assert detector.is_available(1e6)


def test_one_heartbeat_is_judged_by_a_guess() -> None:
    """The first interval is expected to be a second, give or take."""
    detector = _detector([0.0])
    assert detector.suspicion(1.0) == pytest.approx(0.3, abs=0.2)
    assert detector.suspicion(2.0) == pytest.approx(4.5, abs=0.3)
    assert detector.suspicion(3.0) > 15.0


def test_the_first_interval_counts() -> None:
    """From the second heartbeat on phi is above 0 while there is silence."""
    detector = _detector([0.0])
    assert detector.suspicion(0.1) > 0.0
    detector.heartbeat(0.2)
    assert detector.suspicion(0.3) > 0.0


def test_missed_heartbeats_are_a_failure() -> None:
    """Seven seconds after a heartbeat that came every second it is none any more."""
    detector = _detector(_times(0, 1000, 100), threshold=3)
    assert detector.is_available(1.2)
    assert not detector.is_available(8.2)


def test_a_node_that_beats_again_is_available_again() -> None:
    """The long pause is no habit: the next one is found as soon."""
    detector = _detector(_times(0, *[1000] * 999), pause_s=3.0)
    now = 999.0 + 300.0
    assert not detector.is_available(now)
    detector.heartbeat(now + 0.1)
    assert detector.is_available(now + 1.0)
    detector.heartbeat(now + 1.1)
    assert not detector.is_available(now + 8.1)
    detector.heartbeat(now + 8.2)
    assert detector.is_available(now + 9.1)
    detector.heartbeat(now + 9.2)
    assert detector.is_available(now + 10.1)


def test_a_pause_within_the_allowed_one_is_no_failure() -> None:
    """Four seconds are within 3 s beside a habit of 1 s; five after shorter intervals are not."""
    detector = _detector(_times(0, 1000, 1000, 1000), pause_s=3.0)
    assert detector.is_available(7.0)
    detector.heartbeat(8.0)
    assert detector.is_available(9.0)
    strict = _detector(_times(0, 1000, 1000, 1000, 1000, 1000, 1000), pause_s=3.0)
    assert not strict.is_available(11.0)


def test_regular_heartbeats_are_lost_after_four_and_a_half_seconds() -> None:
    """With the defaults and a heartbeat a second phi crosses 8 after 4.52 s, give or take 0.05 s."""
    detector = PhiAccrual()
    for second in range(2_000):
        detector.heartbeat(float(second))
    assert detector.is_available(1_999 + 4.52 - 0.05)
    assert not detector.is_available(1_999 + 4.52 + 0.05)


def test_only_the_newest_intervals_are_the_habit() -> None:
    """After as many long intervals as are kept, the silence of one is as suspicious as that of a short one before."""
    detector = _detector(_times(0, 100, 100, 100), samples_max=3)
    short = detector.suspicion(0.4)
    for at in (1.0, 1.5, 2.0, 2.5):
        detector.heartbeat(at)
    assert detector.suspicion(3.0) == pytest.approx(short, abs=0.001)


@pytest.mark.parametrize(
    ("kept", "added", "mean", "variance"),
    [
        (20, [100, 200, 125, 340, 130], 179.0, 7584.0),
        (600, [1000], 1000.0, 0.0),
        (3, [100, 110, 90], 100.0, 66.6666667),
        (3, [100, 110, 90, 140], 113.333333, 422.222222),
        (3, [100, 110, 90, 140, 80], 103.333333, 688.88888889),
    ],
)
def test_mean_and_variance(kept: int, added: list[float], mean: float, variance: float) -> None:
    """The values of the specification hold, also where old intervals have gone."""
    intervals = Intervals(kept)
    for each in added:
        intervals.add(each)
    assert intervals.mean_s == pytest.approx(mean, abs=0.00001)
    assert intervals.variance == pytest.approx(variance, abs=0.00001)


@given(st.integers(1, 7), st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_running_figures_are_those_of_what_is_kept(kept: int, added: list[float]) -> None:
    """However many have come and gone, mean and variance are those of the newest."""
    intervals = Intervals(kept)
    for each in added:
        intervals.add(each)
    newest = added[-kept:]
    mean = sum(newest) / len(newest)
    assert intervals.mean_s == pytest.approx(mean, abs=1e-6)
    variance = sum((each - mean) ** 2 for each in newest) / len(newest)
    assert intervals.variance == pytest.approx(variance, abs=1e-6)


@given(st.lists(st.floats(0.001, 20), max_size=30), st.floats(0, 60), st.floats(0, 60))
def test_suspicion_never_falls_in_silence(pauses_s: list[float], one_s: float, more_s: float) -> None:
    """Whatever the habit, a longer silence is as suspicious or more."""
    times = list(accumulate(pauses_s))
    detector = _detector(times)
    last = times[-1] if times else 0.0
    assert 0.0 <= detector.suspicion(last + one_s) <= detector.suspicion(last + one_s + more_s)


@pytest.mark.parametrize("name", ["threshold", "samples_max", "deviation_s_min", "pause_s", "first_interval_s"])
def test_settings_out_of_range_are_refused(name: str) -> None:
    """The message names the setting and the value."""
    with pytest.raises(InvalidOption, match=f"{name}=-1"):
        replace(PhiSettings(), **{name: -1})
    with pytest.raises(InvalidOption, match=f"{name}=inf"):
        replace(PhiSettings(), **{name: inf})
