"""Suspicions: how long they last, who may shorten them, and what a leap of the clock does."""

from math import inf

from trouper.actors.cluster.membership import SwimSettings
from trouper.actors.cluster.membership.suspicions import Suspicions


def test_confirmations_shorten_and_each_accuser_counts_once() -> None:
    """N = 1,000: from 72 s by way of 34.1 s to 12 s with two more accusers, and not further; from the ping on."""
    suspicions = Suspicions(SwimSettings())
    suspicions.begin("a", 1_000, "x", 1.0)
    assert suspicions.level("a", 36.0) == 0.5
    assert not suspicions.confirm("a", "x")
    assert suspicions.confirm("a", "y")
    assert 34.1 < 10 / suspicions.level("a", 10.0) < 34.2
    assert not suspicions.confirm("a", "y")
    assert suspicions.confirm("a", "z")
    assert suspicions.wake_at == 12.0
    assert not suspicions.confirm("a", "w")
    assert suspicions.level("a", 6.0) == 0.5
    assert suspicions.expired(11.9) == []
    assert suspicions.expired(12.0) == ["a"]
    assert len(suspicions) == 0


def test_a_suspicion_that_has_ended_does_not_expire() -> None:
    """And one that was begun anew has its whole time again."""
    suspicions = Suspicions(SwimSettings())
    suspicions.begin("a", 3, "x", 0.0)
    suspicions.end("a")
    assert suspicions.wake_at == inf
    suspicions.begin("a", 3, "x", 3.0)
    assert suspicions.expired(4.5) == []
    assert suspicions.expired(7.0) == ["a"]
    assert suspicions.confirm("a", "y") is False


def test_after_a_leap_everybody_has_time_again() -> None:
    """The accusers stay: what was confirmed is confirmed."""
    suspicions = Suspicions(SwimSettings())
    suspicions.begin("a", 1_000, "x", 0.0)
    suspicions.confirm("a", "y")
    suspicions.confirm("a", "z")
    suspicions.restart(3600.0)
    assert suspicions.expired(3611.0) == []
    assert suspicions.expired(3612.0) == ["a"]


def test_without_lifeguard_the_least_time_is_the_only_one() -> None:
    """Plain SWIM: one fixed time, no confirmations."""
    suspicions = Suspicions(SwimSettings().plain())
    suspicions.begin("a", 1_000, "x", 0.0)
    assert suspicions.wake_at == 12.0
    assert not suspicions.confirm("a", "y")


def test_the_silence_before_an_accusation_counts_for_a_quarter_of_the_least_time_at_most() -> None:
    """One probe interval where that is less: after an accusation at 10 s, death at 13 s among five, not before."""
    for members, settings, at in (
        (5, SwimSettings(suspicion_max_mult=1), 13.0),
        (1_000, SwimSettings(suspicion_max_mult=1), 21.0),
        (5, SwimSettings(suspicion_mult=2, suspicion_max_mult=1), 11.5),
        (5, SwimSettings(suspicion_mult=1, suspicion_max_mult=1), 10.75),
    ):
        suspicions = Suspicions(settings)
        suspicions.begin("a", members, "x", 10.0)
        assert suspicions.wake_at == at


def test_a_suspicion_that_nobody_confirms_is_told_of_after_its_least_time() -> None:
    """Once, so that the suspect can be asked again; not when it was confirmed, and not when it has ended."""
    suspicions = Suspicions(SwimSettings())
    for name in "abc":
        suspicions.begin(name, 1_000, "x", 1.0)
    for by in "yz":
        suspicions.confirm("b", by)
    suspicions.end("c")
    assert suspicions.wake_at == 12.0
    assert suspicions.expired(11.9) == suspicions.unconfirmed == []
    assert suspicions.expired(12.0) == ["b"]
    assert suspicions.unconfirmed == ["a"]
    suspicions.unconfirmed.clear()
    assert suspicions.expired(72.0) == ["a"]
    assert suspicions.unconfirmed == []
