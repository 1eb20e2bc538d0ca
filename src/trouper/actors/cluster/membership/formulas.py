"""The formulas of SWIM with Lifeguard, as memberlist has them (PURE).

Sources: Das, Gupta, Motivala: SWIM (DSN 2002); Dadgar, Phillips, Currey: Lifeguard (arXiv 1707.00788), sections IV.A to
IV.C; memberlist's ``suspicionTimeout``, ``remainingSuspicionTime``, ``retransmitLimit`` and ``pushPullScale``.
Times are in seconds; the numbers in the tests are memberlist's.
"""

from __future__ import annotations

from math import ceil, floor, log, log2, log10

SYNC_SCALE_FROM = 32
"""Members up to which whole views are exchanged at the plain interval."""


def suspicion_min_s(multiple: int, members: int, probe_interval_s: float) -> float:
    """Return the least time between suspicion and death: ``multiple`` * max(1, log10 N) * the probe interval.

    The scale is cut to three decimal places, as memberlist does.
    """
    scale = max(1.0, log10(max(1, members)))
    return multiple * floor(scale * 1000) * probe_interval_s / 1000


def confirmations_wanted(multiple: int, members: int) -> int:
    """Return how many further accusers bring a suspicion down to its least time: ``multiple`` - 2, or 0.

    It is 0 where the cluster has fewer members than that besides accuser and accused: nobody could confirm.
    """
    wanted = multiple - 2
    return max(0, wanted) if members - 2 >= wanted else 0


def suspicion_s(confirmations: int, wanted: int, least_s: float, most_s: float) -> float:
    """Return how long a suspicion lasts from its start: most - log(n + 1) / log(k + 1) * (most - least), or least.

    With ``wanted`` 0 it is the least time.
    """
    if wanted < 1:
        return least_s
    fraction = log(confirmations + 1) / log(wanted + 1)
    return max(least_s, floor(1000 * (most_s - fraction * (most_s - least_s))) / 1000)


def retransmit_limit(multiple: int, members: int) -> int:
    """Return how often one node sends one update: ``multiple`` * ceil(log10(N + 1))."""
    return multiple * ceil(log10(members + 1))


def sync_scale(members: int) -> int:
    """Return the factor of the pause between exchanges of views: 1 up to 32 members, then + 1 for each doubling."""
    if members <= SYNC_SCALE_FROM:
        return 1
    return ceil(log2(members) - log2(SYNC_SCALE_FROM)) + 1


def suspicion_level(elapsed_s: float, lasts_s: float) -> float:
    """Return how far a suspicion has come, from 0 (just raised) to 1 (its time is over)."""
    return 1.0 if lasts_s <= 0 else min(1.0, max(0.0, elapsed_s / lasts_s))
