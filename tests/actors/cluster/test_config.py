"""The configuration refuses what makes no sense, where it is written."""

import pytest

from trouper import InvalidOption
from trouper.actors.cluster.config import ClusterConfig, HealthCheck
from trouper.actors.cluster.splitbrain.resolver import SplitBrainSettings
from trouper.actors.cluster.splitbrain.strategies import LeaseMajority


def test_the_health_check_becomes_the_settings_of_the_membership() -> None:
    """Interval, time-out and retries; the rest is memberlist's."""
    settings = ClusterConfig(
        health_check=HealthCheck(interval_s=2.0, timeout_s=1.0, retries=6), nodes=(3, 50)
    ).settings()
    assert (settings.probe_interval_s, settings.probe_timeout_s, settings.suspicion_mult) == (2.0, 1.0, 6)
    assert (settings.members_max, settings.gossip_nodes) == (50, 3)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ClusterConfig(nodes=(3, 2)), r"nodes=\(3, 2\) must be"),
        (lambda: ClusterConfig(nodes=(0, 2)), "nodes=0 must be 1 or more"),
        (lambda: ClusterConfig(sessions_max=3), "sessions_max=3 must be 8 or more"),
        (lambda: ClusterConfig(health_check=HealthCheck(timeout_s=2.0)), r"probe_timeout_s=2.0 must be above 0"),
        (lambda: ClusterConfig(split_brain=SplitBrainSettings(LeaseMajority())), "LeaseMajority needs a lease"),
    ],
)
def test_what_makes_no_sense_is_refused(make: type[ClusterConfig], text: str) -> None:
    """Each error names the option and the value."""
    with pytest.raises(InvalidOption, match=text):
        make()
