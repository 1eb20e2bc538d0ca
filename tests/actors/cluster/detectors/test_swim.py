"""The suspicion of the membership, seen as a detector."""

from trouper.actors.cluster.detectors.protocol import FailureDetector
from trouper.actors.cluster.detectors.swim import Suspicion


def test_it_shows_what_the_membership_thinks() -> None:
    """Suspected members are available, those that are declared dead are not, and heartbeats change nothing."""
    detector: FailureDetector = Suspicion(lambda now: now / 10)
    assert (detector.suspicion(3.0), detector.is_available(3.0)) == (0.3, True)
    assert (detector.suspicion(10.0), detector.is_available(10.0)) == (1.0, False)
    detector.heartbeat(10.0)
    assert not detector.is_available(10.0)


def test_the_scale_ends_at_nothing_and_at_death() -> None:
    """A level out of range is shown as the end of the range."""
    assert Suspicion(lambda _: -3.0).suspicion(0.0) == 0.0
    assert Suspicion(lambda _: 7.0).suspicion(0.0) == 1.0
