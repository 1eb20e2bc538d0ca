"""The deadline, with the cases of Pekko's DeadlineFailureDetectorSpec (Apache-2.0): 1 s and a pause of 4 s."""

from math import nan

import pytest

from trouper.actors.cluster.detectors.deadline import Deadline
from trouper.actors.cluster.detectors.protocol import FailureDetector
from trouper.runtime.kernel.errors import InvalidOption


def _heard(*times: float) -> FailureDetector:
    detector = Deadline(interval_s=1.0, pause_s=4.0)
    for at in times:
        detector.heartbeat(at)
    return detector


def test_nothing_is_suspicious_before_the_first_heartbeat() -> None:
    """What was never heard of is not watched."""
    assert _heard().is_available(1e9)
    assert _heard().suspicion(1e9) == 0.0


def test_missed_heartbeats_are_a_failure() -> None:
    """Five seconds of silence are one, and not a moment less."""
    detector = _heard(0.0, 1.0, 1.1)
    assert detector.is_available(1.2)
    assert detector.is_available(6.0)
    assert not detector.is_available(6.1)
    assert not detector.is_available(8.2)


def test_a_node_that_beats_again_is_available_again() -> None:
    """Five minutes are forgotten with one heartbeat, and the next silence is a failure again."""
    detector = _heard(*map(float, range(1000)))
    assert not detector.is_available(1299.0)
    detector.heartbeat(1299.1)
    assert detector.is_available(1300.0)
    detector.heartbeat(1300.1)
    assert not detector.is_available(1307.1)


def test_a_pause_within_the_allowed_one_is_no_failure() -> None:
    """Four seconds are well within five."""
    detector = _heard(0.0, 1.0, 2.0, 3.0)
    assert detector.is_available(7.0)
    assert detector.suspicion(7.0) == pytest.approx(0.8)


@pytest.mark.parametrize(("interval_s", "pause_s"), [(0.0, 1.0), (1.0, -1.0), (nan, 1.0), (1.0, nan)])
def test_settings_out_of_range_are_refused(interval_s: float, pause_s: float) -> None:
    """The message has both values."""
    with pytest.raises(InvalidOption, match="interval_s"):
        Deadline(interval_s, pause_s)
