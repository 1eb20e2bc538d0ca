"""How to choose the side that goes on: five strategies as data, and what each of them says (PURE).

Names, settings and defaults are those of Apache Pekko's split brain resolver (``cluster.sbr``, Apache-2.0), which
docs/internals/split-brain.md describes and tests/data/cluster/splitbrain.txt holds as a table.  ``role``: count only
members that have it; None for all.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from ....runtime.kernel.errors import InvalidOption
from .view import PartitionView, age

Kind = Literal["down_unreachable", "down_reachable", "down_all", "down_indirectly_connected"]


class KeepMajority(msgspec.Struct, frozen=True, tag="keep_majority"):
    """Keep the side with more members; of two equal sides the one with the lowest name."""

    role: str | None = None


class StaticQuorum(msgspec.Struct, frozen=True, tag="static_quorum"):
    """Keep a side of at least ``size`` members; more than 2 * ``size`` - 1 members in all are all downed."""

    size: int
    role: str | None = None

    def __post_init__(self) -> None:
        """Refuse a quorum of nobody."""
        if self.size < 1:
            raise InvalidOption(f"StaticQuorum(size={self.size}): a quorum is 1 member or more")


class KeepOldest(msgspec.Struct, frozen=True, tag="keep_oldest"):
    """Keep the side of the oldest member; with ``down_if_alone`` not when it stands alone against two or more."""

    down_if_alone: bool = True
    role: str | None = None


class LeaseMajority(msgspec.Struct, frozen=True, tag="lease_majority"):
    """Keep the side that gets a lease, which is somewhere outside of the cluster or in its consensus.

    minority_delay_s: how long the smaller side waits before it asks, so that the larger one is first.
    release_after_s: how long the lease is kept after the last member that was downed is removed.
    """

    role: str | None = None
    minority_delay_s: float = 2.0
    release_after_s: float = 40.0

    def __post_init__(self) -> None:
        """Refuse times before now."""
        if self.minority_delay_s < 0 or self.release_after_s < 0:
            raise InvalidOption(
                f"LeaseMajority(minority_delay_s={self.minority_delay_s}, release_after_s={self.release_after_s}):"
                f" both are seconds, 0 or more"
            )


class DownAll(msgspec.Struct, frozen=True, tag="down_all"):
    """Keep nobody; for clusters that something outside starts again."""


Strategy: TypeAlias = KeepMajority | StaticQuorum | KeepOldest | LeaseMajority | DownAll


class Verdict(msgspec.Struct, frozen=True):
    """Which kind of members go down, and why in words; ``lease_delay_s``: a lease is needed, asked for after this."""

    kind: Kind
    reason: str
    lease_delay_s: float | None = None


def judge(view: PartitionView, strategy: Strategy) -> Verdict:
    """Return what ``strategy`` says to ``view``; raises nothing."""
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
    return f"out of reach for some and in touch through others: {', '.join(sorted(view.indirectly_connected))}"


def _static_quorum(view: PartitionView, strategy: StaticQuorum) -> Verdict:
    members = view.counted(strategy.role)
    reachable = sum(member.name not in view.unreachable for member in members)
    most = 2 * strategy.size - 1
    if len(members) > most:
        return Verdict("down_all", f"{len(members)} members are more than a quorum of {strategy.size} allows, {most}")
    if view.indirectly_connected:
        return Verdict("down_indirectly_connected", _indirect(view))
    if reachable >= strategy.size:
        return Verdict("down_unreachable", f"{reachable} in reach are a quorum of {strategy.size}")
    return Verdict("down_reachable", f"{reachable} in reach are less than a quorum of {strategy.size}")


def _keep_majority(view: PartitionView, role: str | None) -> Verdict:
    first = _majority(view, role, changing=False)
    if first.kind != "down_unreachable":
        return first
    second = _majority(view, role, changing=True)
    return first if second.kind == first.kind else _unsure(second)


def _majority(view: PartitionView, role: str | None, changing: bool) -> Verdict:
    """``changing``: as few as possible on this side, and as many as possible on the other.

    One rule is ours: with the leader on the other side, or where nobody leads, the lowest of those who may count there
    must be here too.  Without it a member that has just been seen to come up there wins a tie for that side, and
    another one for this.
    """
    members = view.counted(role, without_leaving=changing)
    if not members:
        return Verdict("down_all", f"nobody counts with role {role}" if role else "nobody counts")
    as_many = view.counted(role, with_joining=changing)
    here = sum(member.name not in view.unreachable for member in members)
    there = sum(member.name in view.unreachable for member in as_many)
    if here == there:
        lowest = members[0].name
        if changing and (not view.led or view.counted(None)[0].name in view.unreachable):
            lowest = next((m.name for m in (members[0], as_many[0]) if m.name in view.unreachable), lowest)
        kind: Kind = "down_reachable" if lowest in view.unreachable else "down_unreachable"
        return Verdict(kind, f"{here} in reach and as many out of reach, where the lowest name {lowest} counts")
    if here > there:
        return Verdict("down_unreachable", f"{here} in reach against {there}")
    return Verdict("down_reachable", f"only {here} in reach against {there}")


def _keep_oldest(view: PartitionView, strategy: KeepOldest) -> Verdict:
    first = _oldest(view, strategy, changing=False)
    if first.kind != "down_unreachable":
        return first
    second = _oldest(view, strategy, changing=True)
    return first if second.kind == first.kind else _unsure(second)


def _oldest(view: PartitionView, strategy: KeepOldest, changing: bool) -> Verdict:
    """``changing``: as if members that are leaving had left, and the joining ones were up and could keep company."""
    role = strategy.role
    candidates = view.counted(role, without_leaving=changing)
    if not candidates:
        return Verdict("down_all", f"nobody counts with role {role}" if role else "nobody counts")
    oldest = min(candidates, key=age).name
    members = view.counted(role, with_joining=changing, without_leaving=changing)
    here = sum(member.name not in view.unreachable for member in members)
    there = len(members) - here
    if oldest not in view.unreachable:
        if strategy.down_if_alone and here == 1 and there >= 2:
            return Verdict("down_reachable", f"{oldest} is the oldest and alone against {there}")
        return Verdict("down_unreachable", f"{oldest} is the oldest and in reach")
    if strategy.down_if_alone and there == 1 and here >= 2:
        return Verdict("down_unreachable", f"{oldest} is the oldest and out of reach, but alone against {here}")
    return Verdict("down_reachable", f"{oldest} is the oldest and out of reach")


def _unsure(second: Verdict) -> Verdict:
    return Verdict(
        "down_all", f"members were changing at the time of the cut, the other side may hold: {second.reason}"
    )


def _in_minority(view: PartitionView, role: str | None) -> bool:
    members = view.counted(role)
    unreachable = sum(member.name in view.unreachable for member in members)
    if members and unreachable * 2 == len(members):
        return members[0].name in view.unreachable
    return unreachable * 2 > len(members)
