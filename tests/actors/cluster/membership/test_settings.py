"""Settings of the membership: memberlist's presets, and what is refused."""

from math import isinf

import pytest

from trouper.actors.cluster.membership import SwimSettings
from trouper.runtime.kernel.errors import InvalidOption


def test_the_presets_are_those_of_memberlist() -> None:
    """Probe interval and timeout, indirect probes, gossip, multiples and push-pull are the values of config.go."""
    shown = [
        (s.probe_interval_s, s.probe_timeout_s, s.indirect_probes, s.gossip_interval_s, s.gossip_nodes,
         s.gossip_to_dead_s, s.retransmit_mult, s.suspicion_mult, s.suspicion_max_mult, s.sync_interval_s)
        for s in (SwimSettings.lan(), SwimSettings.wan(), SwimSettings.local())
    ]  # fmt: skip
    assert shown == [
        (1.0, 0.5, 3, 0.2, 3, 30.0, 4, 4, 6, 30.0),
        (5.0, 3.0, 3, 0.5, 4, 60.0, 4, 6, 6, 60.0),
        (1.0, 0.2, 1, 0.1, 3, 15.0, 2, 3, 6, 15.0),
    ]


def test_plain_switches_off_lifeguard_and_the_look_at_the_clock() -> None:
    """What the comparison runs is SWIM without additions."""
    plain = SwimSettings.lan().plain()
    assert not plain.lifeguard
    assert isinf(plain.leap_s)


@pytest.mark.parametrize(
    "options",
    [
        {"probe_timeout_s": 1.0},
        {"probe_timeout_s": 0.0},
        {"nack_fraction": 0.0},
        {"indirect_probes": -1},
        {"gossip_nodes": 0},
        {"leave_s": 0.0},
        {"reconnect_s": 30.0},
        {"packet_bytes_max": 600},
        {"sync_bytes_max": 1_000},
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, float]) -> None:
    """The error names the option and the value."""
    with pytest.raises(InvalidOption, match=next(iter(options))):
        SwimSettings(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the options are wrong on purpose
