"""``decide(view, strategy)``: who goes down when members are out of reach (PURE).

Each side of a cut decides alone, from what it knows, and gives orders to all members that it can reach; a strategy is
good when at most one side keeps anybody.  Members that are connected in a roundabout way only are downed, and the
strategy then judges the rest as if they had not been seen to complain of each other.  The rules are those of Apache
Pekko's split brain resolver (``cluster.sbr``, Apache-2.0).
"""

from __future__ import annotations

import msgspec

from .strategies import Kind, Strategy, Verdict, judge
from .view import PartitionView


class Decision(msgspec.Struct, frozen=True):
    """Who goes down.

    down: names, of both sides; this node's own side goes down when they are in it.  reason: one sentence for people.
    lease_delay_s: None when the decision holds by itself; else it holds if a lease is got, to be asked for after so
    many seconds.  down_without_lease: who goes down instead when the lease is refused.
    """

    kind: Kind
    down: frozenset[str]
    reason: str
    lease_delay_s: float | None = None
    down_without_lease: frozenset[str] = frozenset()


def decide(view: PartitionView, strategy: Strategy) -> Decision:
    """Return who goes down.  The same for everybody who knows the same; asks nothing and raises nothing."""
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
    """The strategy judges the others once more, without what those in question say of each other."""
    down, reason = view.indirectly_connected, verdict.reason
    if view.unreachable - view.indirectly_connected:
        rest = _without_their_quarrels(view)
        second = judge(rest, strategy)
        if second.kind == "down_indirectly_connected":
            reason = f"{reason}; without what these say, {second.reason}; that is no clean cut, so all go down"
            return Decision("down_all", view.downable, reason)
        down, reason = down | _simply(rest, second.kind), f"{reason}; and of the others, {second.reason}"
    without_lease = view.indirectly_connected | (view.downable - view.unreachable)
    return _decision(view, Verdict(verdict.kind, reason, verdict.lease_delay_s), down, without_lease)


def _without_their_quarrels(view: PartitionView) -> PartitionView:
    """Leave out what indirectly connected members say of each other, and all that is about members on their way out."""
    both = {observer for observer, _ in view.pairs} & view.unreachable
    seen = {name for pair in view.pairs if pair[1] in view.seen_by for name in pair}
    return view.without(
        frozenset(
            pair
            for pair in view.pairs
            if not view.downable.issuperset(pair) or both.issuperset(pair) or seen.issuperset(pair)
        )
    )


def _decision(view: PartitionView, verdict: Verdict, down: frozenset[str], without_lease: frozenset[str]) -> Decision:
    down &= view.downable
    if verdict.lease_delay_s is None:
        return Decision(verdict.kind, down, verdict.reason)
    return Decision(verdict.kind, down, verdict.reason, verdict.lease_delay_s, without_lease & view.downable)
