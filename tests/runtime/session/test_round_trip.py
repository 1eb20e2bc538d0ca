import pytest

from trouper.runtime.session.round_trip import RoundTripEstimate
from trouper.runtime.session.settings import SessionSettings

SETTINGS = SessionSettings()


def test_until_anything_is_known_the_settings_hold() -> None:
    """Without a sample the pauses are those of the settings."""
    trip = RoundTripEstimate(SETTINGS)
    assert (trip.timeout_s, trip.probe_s) == (SETTINGS.resend_again_s, SETTINGS.probe_after_s)


def test_the_estimate_follows_the_samples() -> None:
    """The first sample counts for three, steady ones bring the time-out down to them, and a slow one up again."""
    trip = RoundTripEstimate(SETTINGS)
    trip.sample(0.1)
    assert trip.timeout_s == pytest.approx(0.3)
    for _ in range(50):
        trip.sample(0.1)
    assert trip.timeout_s == pytest.approx(0.1, rel=0.01)
    assert trip.probe_s == pytest.approx(0.24, rel=0.01)
    trip.sample(0.5)
    assert trip.timeout_s > 0.5


def test_the_estimate_stays_between_its_limits() -> None:
    """An answer at once does not make for no pause at all, and one after a minute not for a minute."""
    trip = RoundTripEstimate(SETTINGS)
    trip.sample(0.0)
    assert trip.timeout_s == SETTINGS.resend_least_s
    trip.sample(60.0)
    assert (trip.timeout_s, trip.probe_s) == (SETTINGS.ping_after_s, SETTINGS.probe_after_s)
