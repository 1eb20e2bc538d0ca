"""``decide(view, strategy)``: which members go down when some are unreachable (PURE).

Each side of a partition decides alone, from its own view, and orders the members that it can reach; a strategy is safe
when at most one side keeps members.  Members that are only indirectly connected are downed, and the strategy then
judges the rest without the observations between those members.  The rules are those of Apache Pekko's split brain
resolver (``cluster.sbr``, Apache-2.0).
"""

from __future__ import annotations

import msgspec

from .strategies import Kind, Strategy, Verdict, judge
from .view import PartitionView


class Decision(msgspec.Struct, frozen=True):
    """Which members go down.

    kind: the verdict of the strategy.  down: the names of the members that go down, on both sides.
    reason: one sentence for people.
    lease_delay_s: None when the decision needs no lease; otherwise it holds only if the lease is acquired, which is to
    be asked for after so many seconds.  down_without_lease: the names that go down instead when the lease is refused.
    """

    kind: Kind
    down: frozenset[str]
    reason: str
    lease_delay_s: float | None = None
    down_without_lease: frozenset[str] = frozenset()


def decide(view: PartitionView, strategy: Strategy) -> Decision:
    """Return which members go down; equal views give equal decisions."""
    verdict = judge(view, strategy)
    if verdict.kind == "down_indirectly_connected":
        return _down_indirectly_connected(view, strategy, verdict)
    return _decision(view, verdict, _simply(view, verdict.kind), view.downable - view.unreachable)


def _simply(view: PartitionView, kind: Kind) -> frozenset[str]:
    if kind == "down_unreachable":
        return view.downable & view.unreachable
    if kind == "down_reachable":
        return view.downable - view.unreachable
    return view.downable


def _down_indirectly_connected(view: PartitionView, strategy: Strategy, verdict: Verdict) -> Decision:
    """Down the indirectly connected members, and let the strategy judge the others without their observations."""
    down, reason = view.indirectly_connected, verdict.reason
    if view.unreachable - view.indirectly_connected:
        rest = _without_mutual_observations(view)
        second = judge(rest, strategy)
        if second.kind == "down_indirectly_connected":
            reason = f"{reason}; without their observations, {second.reason}; so all go down"
            return Decision("down_all", view.downable, reason)
        down, reason = down | _simply(rest, second.kind), f"{reason}; and of the others, {second.reason}"
    without_lease = view.indirectly_connected | (view.downable - view.unreachable)
    return _decision(view, Verdict(verdict.kind, reason, verdict.lease_delay_s), down, without_lease)


def _without_mutual_observations(view: PartitionView) -> PartitionView:
    """Remove the observations between indirectly connected members, and those about members that are exiting."""
    both = {observer for observer, _ in view.pairs} & view.unreachable
    return view.without(
        frozenset(pair for pair in view.pairs if not view.downable.issuperset(pair) or both.issuperset(pair))
    )


def _decision(view: PartitionView, verdict: Verdict, down: frozenset[str], without_lease: frozenset[str]) -> Decision:
    down &= view.downable
    if verdict.lease_delay_s is None:
        return Decision(verdict.kind, down, verdict.reason)
    return Decision(verdict.kind, down, verdict.reason, verdict.lease_delay_s, without_lease & view.downable)
