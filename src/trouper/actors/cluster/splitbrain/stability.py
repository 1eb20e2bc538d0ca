"""How long a view must not change before members are downed (PURE)."""

from __future__ import annotations

from math import log10


def stable_after_s(size: int) -> float:
    """Return how long nothing may change before a decision, in whole seconds, for a cluster of so many members.

    Ten seconds for each power of ten, and at least 7: gossip takes a time that grows with the logarithm of the size.
    The values are those of the table in the documentation of Apache Pekko's split brain resolver: 5 members 7 s,
    10 members 10 s, 20: 13 s, 50: 17 s, 100: 20 s, 1,000: 30 s.
    """
    return max(7.0, float(round(10 * log10(max(1, size)))))


def unstable_after_s(stable_s: float) -> float:
    """Return how much longer than ``stable_s`` changes may go on: three quarters of it, and 4 seconds at least."""
    return max(4.0, 0.75 * stable_s)
