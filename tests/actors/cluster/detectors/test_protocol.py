"""What holds for every failure detector."""

from collections.abc import Callable

import pytest

from trouper.actors.cluster.detectors.deadline import Deadline
from trouper.actors.cluster.detectors.phi import PhiAccrual
from trouper.actors.cluster.detectors.protocol import FailureDetector


@pytest.mark.parametrize("make", [PhiAccrual, Deadline])
def test_a_detector_of_heartbeats_finds_a_crash_and_a_return(make: Callable[[], FailureDetector]) -> None:
    """With the defaults a node that beats every second is available, a minute later not, and after a heartbeat again.

    Suspicion grows through the silence.
    """
    detector = make()
    assert detector.is_available(0.0)
    for second in range(100):
        detector.heartbeat(float(second))
        assert detector.is_available(second + 1.0)
    levels = [detector.suspicion(99.0 + silence_s) for silence_s in range(60)]
    assert levels == sorted(levels)
    assert not detector.is_available(159.0)
    detector.heartbeat(160.0)
    assert detector.is_available(161.0)
