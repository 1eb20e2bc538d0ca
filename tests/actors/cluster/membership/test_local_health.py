"""The local health score: memberlist's table, and what the process itself tells."""

from trouper.actors.cluster.membership import ProcessHealth, SwimSettings
from trouper.actors.cluster.membership.local_health import LocalHealth

AWARENESS = [
    (0, 0), (-1, 0), (-10, 0), (1, 1), (-1, 0), (10, 7), (-1, 6), (-1, 5), (-1, 4), (-1, 3), (-1, 2), (-1, 1), (-1, 0),
    (-1, 0),
]  # fmt: skip
"""Awareness_test.go, TestAwareness: a change, and the score after it."""


def test_the_score_moves_as_in_memberlist() -> None:
    """From 0 to 7, and times grow with score + 1."""
    health = LocalHealth(SwimSettings())
    for delta, score in AWARENESS:
        health.probed(delta)
        assert (health.score, health.scale(1.0)) == (score, score + 1)


def test_a_late_loop_raises_the_score_before_any_probe_has_failed() -> None:
    """One point for each quarter second of lag or pause, and for each mailbox full of messages."""
    for measured, score in [
        (ProcessHealth(loop_lag_s=0.2), 0),
        (ProcessHealth(loop_lag_s=0.6), 2),
        (ProcessHealth(gc_pause_s=0.3), 1),
        (ProcessHealth(mailbox_depth=25_000), 2),
        (ProcessHealth(loop_lag_s=3600), 7),
    ]:
        health = LocalHealth(SwimSettings())
        health.report(measured, 0.0)
        assert health.score == score


def test_the_measured_part_decays_by_one_in_each_probe_interval() -> None:
    """One point for each probe interval; what probes have shown stays."""
    health = LocalHealth(SwimSettings())
    health.probed(1)
    health.report(ProcessHealth(loop_lag_s=0.75), 10.0)
    seen: list[int] = []
    for now in (10.5, 11.0, 12.0, 13.0, 99.0):
        health.decay(now)
        seen.append(health.score)
    assert seen == [4, 3, 2, 1, 1]


def test_without_lifeguard_a_node_trusts_itself() -> None:
    """The score is 0 whatever happens."""
    health = LocalHealth(SwimSettings().plain())
    health.probed(5)
    health.report(ProcessHealth(loop_lag_s=9), 0.0)
    assert health.score == 0
