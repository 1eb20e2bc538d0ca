"""Five strategies to choose the side of a partition that stays, and the verdict of each (PURE).

Names, settings and defaults are those of Apache Pekko's split brain resolver (``cluster.sbr``, Apache-2.0), which
docs/internals/split-brain.md describes.  ``role``: only members with this role count; None for all.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from ....lowlevel import check_count, check_number
from .view import PartitionView, age

Kind = Literal["down_unreachable", "down_reachable", "down_all", "down_indirectly_connected"]


class KeepMajority(msgspec.Struct, frozen=True, tag="keep_majority"):
    """Keep the side with more members; of two equal sides the one that has the lowest name."""

    role: str | None = None


class StaticQuorum(msgspec.Struct, frozen=True, tag="static_quorum"):
    """Keep a side of at least ``size`` members; above 2 * ``size`` - 1 members in all every member is downed.

    Raises ``InvalidOption`` for a size below 1.
    """

    size: int
    role: str | None = None

    def __post_init__(self) -> None:
        check_count("size", self.size)


class KeepOldest(msgspec.Struct, frozen=True, tag="keep_oldest"):
    """Keep the side of the oldest member.

    down_if_alone: whether the oldest member goes down when it is alone on its side against two or more.
    """

    down_if_alone: bool = True
    role: str | None = None


class LeaseMajority(msgspec.Struct, frozen=True, tag="lease_majority"):
    """Keep the side that acquires a lease outside of the cluster.

    minority_delay_s: how long the smaller side waits before it asks, so that the larger one asks first.
    release_after_s: how long the lease is kept after the last downed member was removed.
    Raises ``InvalidOption`` for negative times.
    """

    role: str | None = None
    minority_delay_s: float = 2.0
    release_after_s: float = 40.0

    def __post_init__(self) -> None:
        check_number("minority_delay_s", self.minority_delay_s, zero=True)
        check_number("release_after_s", self.release_after_s, zero=True)


class DownAll(msgspec.Struct, frozen=True, tag="down_all"):
    """Down all members; for clusters that a supervisor outside of them restarts."""


Strategy: TypeAlias = KeepMajority | StaticQuorum | KeepOldest | LeaseMajority | DownAll


class Verdict(msgspec.Struct, frozen=True):
    """The verdict of a strategy.

    kind: which kind of members goes down.  reason: one sentence.  lease_delay_s: a lease is needed, and is to be asked
    for after so many seconds; None for no lease.
    """

    kind: Kind
    reason: str
    lease_delay_s: float | None = None


def judge(view: PartitionView, strategy: Strategy) -> Verdict:
    """Return the verdict of a strategy for a view."""
    match strategy:
        case DownAll():
            return Verdict("down_all", "the strategy is to down all")
        case StaticQuorum():
            return _static_quorum(view, strategy)
        case _ if view.indirectly_connected:
            lease_delay_s = 0.0 if isinstance(strategy, LeaseMajority) else None
            return Verdict("down_indirectly_connected", _indirect(view), lease_delay_s)
        case KeepMajority():
            return _keep_majority(view, strategy.role)
        case KeepOldest():
            return _keep_oldest(view, strategy)
        case LeaseMajority():
            minority = _in_minority(view, strategy.role)
            delay_s = strategy.minority_delay_s if minority else 0.0
            return Verdict("down_unreachable", f"this is the {'smaller' if minority else 'larger'} side", delay_s)


def _indirect(view: PartitionView) -> str:
    return f"unreachable for some members and connected through others: {', '.join(sorted(view.indirectly_connected))}"


def _static_quorum(view: PartitionView, strategy: StaticQuorum) -> Verdict:
    members = view.counted(strategy.role)
    reachable = sum(member.name not in view.unreachable for member in members)
    most = 2 * strategy.size - 1
    if len(members) > most:
        return Verdict("down_all", f"{len(members)} members are more than a quorum of {strategy.size} allows, {most}")
    if view.indirectly_connected:
        return Verdict("down_indirectly_connected", _indirect(view))
    if reachable >= strategy.size:
        return Verdict("down_unreachable", f"{reachable} reachable members are a quorum of {strategy.size}")
    return Verdict("down_reachable", f"{reachable} reachable members are less than a quorum of {strategy.size}")


def _keep_majority(view: PartitionView, role: str | None) -> Verdict:
    first = _majority(view, role, changing=False)
    if first.kind != "down_unreachable":
        return first
    second = _majority(view, role, changing=True)
    return first if second.kind == first.kind else _unsure(second)


def _majority(view: PartitionView, role: str | None, changing: bool) -> Verdict:
    """Count both sides.  changing: count as few members as possible on this side, as many as possible on the other.

    One rule is not Pekko's: in a tie the lowest of those that may count on the other side must be on this side too.
    Each member promotes itself here, so without the rule a member that has just come up there wins a tie for that side,
    and another one for this side.
    """
    members = view.counted(role, without_leaving=changing)
    if not members:
        return Verdict("down_all", f"no member counts with role {role}" if role else "no member counts")
    as_many = view.counted(role, with_joining=changing)
    here = sum(member.name not in view.unreachable for member in members)
    there = sum(member.name in view.unreachable for member in as_many)
    if here == there:
        lowest = members[0].name
        if changing:
            lowest = next((m.name for m in (members[0], as_many[0]) if m.name in view.unreachable), lowest)
        kind: Kind = "down_reachable" if lowest in view.unreachable else "down_unreachable"
        return Verdict(
            kind,
            f"{here} reachable and {there} unreachable members; the lowest name is {lowest}",
        )
    if here > there:
        return Verdict("down_unreachable", f"{here} reachable members against {there}")
    return Verdict("down_reachable", f"only {here} reachable members against {there}")


def _keep_oldest(view: PartitionView, strategy: KeepOldest) -> Verdict:
    first = _oldest(view, strategy, changing=False)
    if first.kind != "down_unreachable":
        return first
    second = _oldest(view, strategy, changing=True)
    return first if second.kind == first.kind else _unsure(second)


def _oldest(view: PartitionView, strategy: KeepOldest, changing: bool) -> Verdict:
    """Find the oldest member.  changing: count leaving members as gone, and joining ones as up."""
    role = strategy.role
    candidates = view.counted(role, without_leaving=changing)
    if not candidates:
        return Verdict("down_all", f"no member counts with role {role}" if role else "no member counts")
    oldest = min(candidates, key=age).name
    members = view.counted(role, with_joining=changing, without_leaving=changing)
    here = sum(member.name not in view.unreachable for member in members)
    there = len(members) - here
    if oldest not in view.unreachable:
        if strategy.down_if_alone and here == 1 and there >= 2:
            return Verdict("down_reachable", f"{oldest} is the oldest and alone against {there}")
        return Verdict("down_unreachable", f"{oldest} is the oldest and reachable")
    if strategy.down_if_alone and there == 1 and here >= 2:
        return Verdict("down_unreachable", f"{oldest} is the oldest and unreachable, but alone against {here}")
    return Verdict("down_reachable", f"{oldest} is the oldest and unreachable")


def _unsure(second: Verdict) -> Verdict:
    return Verdict(
        "down_all", f"members were changing when the partition began; by the other side's view: {second.reason}"
    )


def _in_minority(view: PartitionView, role: str | None) -> bool:
    members = view.counted(role)
    unreachable = sum(member.name in view.unreachable for member in members)
    if members and unreachable * 2 == len(members):
        return members[0].name in view.unreachable
    return unreachable * 2 > len(members)
