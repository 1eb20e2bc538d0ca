"""``SplitBrainResolver``: waits until a partition is stable, decides, and orders members down (PURE).

    idle --a member is unreachable--> waiting --no change for stable_after_s--> decided
    waiting --still changing unstable_s later--> all go down
    decided --the strategy needs a lease--> asking --acquired--> members are downed
                                            asking --refused, or no answer--> this side goes down

Only the leader of a side orders members down (``view.leader_of``).  The orders are gossiped as records; a member that
receives its own ends.  The changes that restart the wait are those of Apache Pekko's split brain resolver
(``cluster.sbr``, Apache-2.0): a member becomes unreachable or reachable, up, exiting or down.  One that joins, leaves
or is removed does not restart it.

``step(event, now)`` takes the time in seconds and returns the effects, to be carried out in order.  ``wake_at`` is the
time at which a ``TimePassed`` is to be passed in; one that comes too early does nothing.
"""

from __future__ import annotations

from math import inf
from typing import TypeAlias

import msgspec

from ....lowlevel import check_number
from .decision import Decision, decide
from .stability import stable_after_s, unstable_after_s
from .strategies import KeepMajority, LeaseMajority, Strategy
from .view import JOINING, PartitionMember, PartitionView, leader_of


class SplitBrainSettings(msgspec.Struct, frozen=True):
    """How a node resolves a partition.  All nodes of a cluster must have the same settings.

    strategy: which side stays.  stable_after_s: seconds without a change before a decision; None scales with the size
    of the cluster.  unstable_s: how many seconds longer changes may go on before all members are downed; None is three
    quarters of ``stable_after_s`` and at least 4, 0 is for ever.
    lease_timeout_s: a lease that is not acquired within so many seconds counts as refused.
    Raises ``InvalidOption`` for negative times.
    """

    strategy: Strategy = KeepMajority()
    stable_after_s: float | None = None
    unstable_s: float | None = None
    lease_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        check_number("stable_after_s", self.stable_after_s, zero=True, none="by the size of the cluster")
        check_number("unstable_s", self.unstable_s, zero=True, none="three quarters of stable_after_s")
        check_number("lease_timeout_s", self.lease_timeout_s, zero=True)


class NewView(msgspec.Struct, frozen=True):
    """The view of this node, at the start and after every change."""

    view: PartitionView


class LeaseResult(msgspec.Struct, frozen=True):
    """The answer to ``AcquireLease``; an error counts as a refusal."""

    acquired: bool


class TimePassed(msgspec.Struct, frozen=True):
    """The time ``wake_at`` has come."""


Event: TypeAlias = NewView | LeaseResult | TimePassed


class DownMembers(msgspec.Struct, frozen=True):
    """Take these members down; this node is not among them.  reason: one sentence."""

    names: tuple[str, ...]
    reason: str


class DownSelf(msgspec.Struct, frozen=True):
    """Take this node down; returned once.  reason: one sentence."""

    reason: str


class AcquireLease(msgspec.Struct, frozen=True):
    """Ask for the lease, and pass the answer in as ``LeaseResult``."""


class ReleaseLease(msgspec.Struct, frozen=True):
    """Give the lease back; if that fails it will expire by itself."""


Effect: TypeAlias = DownMembers | DownSelf | AcquireLease | ReleaseLease


class SplitBrainResolver:
    """The resolver of one node.

    node: its name.  view: the newest one.  decision: the last one, for people to read; None before the first.
    """

    __slots__ = (
        "_ask_at", "_asking", "_changed_at", "_decided", "_held_for", "_holding", "_is_down", "_refused_at",
        "_release_at", "_settings", "_stable_at", "decision", "node", "view",
    )  # fmt: skip

    def __init__(self, node: str, settings: SplitBrainSettings, now: float) -> None:
        self.node, self._settings = node, settings
        self.view = PartitionView(())
        self.decision: Decision | None = None
        self._stable_at = now
        self._changed_at: float | None = None  # when the changes began that have not ended since
        self._decided = self._is_down = self._holding = False
        self._asking: Decision | None = None
        self._ask_at = self._refused_at = self._release_at = inf
        self._held_for: frozenset[str] = frozenset()

    @property
    def wake_at(self) -> float:
        """When a ``TimePassed`` is to be passed in; inf for never."""
        if self._is_down:
            return inf
        if self._asking is not None:
            return min(self._ask_at, self._refused_at)
        decide_at = self._stable_at if self._must_decide else inf
        return min(decide_at, self._unstable_at, self._release_at)

    @property
    def stable_s(self) -> float:
        """Seconds without a change before a decision, at the present size of the cluster."""
        given = self._settings.stable_after_s
        return stable_after_s(len(self.view.members)) if given is None else given

    def step(self, event: Event, now: float) -> list[Effect]:
        """Take in one event, and return the effects."""
        if self._is_down:
            return [ReleaseLease()] if event == LeaseResult(True) else []  # the answer came too late
        match event:
            case NewView():
                return self._view_changed(event.view, now)
            case LeaseResult():
                return self._answered(event.acquired, now)
            case TimePassed():
                return self._tick(now)

    @property
    def _must_decide(self) -> bool:
        return not self._decided and bool(self.view.unreachable - {self.node}) and self._is_responsible

    @property
    def _is_responsible(self) -> bool:
        me = _member(self.view, self.node)
        return me is not None and me.status != "joining" and leader_of(self.view, self.node) == self.node

    @property
    def _unstable_at(self) -> float:
        """When all members go down because the changes do not end."""
        given = self._settings.unstable_s
        if self._changed_at is None or given == 0:
            return inf
        return self._changed_at + self.stable_s + (unstable_after_s(self.stable_s) if given is None else given)

    # -- views ---------------------------------------------------------------------------------------------------------

    def _view_changed(self, view: PartitionView, now: float) -> list[Effect]:
        before, self.view = self.view, view
        me = _member(view, self.node)
        if me is not None and me.status == "down":
            return self._down_self("the other members have taken this node down")
        reach_changed = _reachability_changed(before, view, self.node)
        if view != before:
            self._decided = False
        if reach_changed or _count_changed(before, view):
            self._stable_at = now + self.stable_s
        if reach_changed and self._changed_at is None:
            self._changed_at = now
        if _nothing_to_down(view):
            self._changed_at = None
        if self._held_for and not self._held_for & view.names:
            self._release_in(now)
        return self._tick(now) if self._asking is None else []

    def _tick(self, now: float) -> list[Effect]:
        if self._asking is not None:
            return self._keep_asking(now)
        if self._changed_at is not None and now >= self._unstable_at:
            reason = f"the reachability of members has been changing for {now - self._changed_at:.3g} s"
            return self._act(Decision("down_all", self.view.downable, reason), now)
        effects: list[Effect] = []
        if self._must_decide and now >= self._stable_at:
            effects += self._decide(now)
        if now >= self._release_at and self._asking is None:
            self._holding, self._release_at = False, inf
            effects.append(ReleaseLease())
        return effects

    # -- deciding ------------------------------------------------------------------------------------------------------

    def _decide(self, now: float) -> list[Effect]:
        decision = decide(self.view, self._settings.strategy)
        if decision.lease_delay_s is None:
            return self._act(decision, now)
        if self._holding:
            return self._hold(decision, now)
        self._asking, self._ask_at = decision, now + decision.lease_delay_s
        return self._keep_asking(now)

    def _keep_asking(self, now: float) -> list[Effect]:
        if now >= self._ask_at:
            self._ask_at, self._refused_at = inf, now + self._settings.lease_timeout_s
            return [AcquireLease()]
        return self._answered(False, now) if now >= self._refused_at else []

    def _answered(self, acquired: bool, now: float) -> list[Effect]:
        decision = self._asking
        if decision is None or self._ask_at < inf:
            return [ReleaseLease()] if acquired else []  # after the time-out, which was a refusal
        self._asking, self._refused_at = None, inf
        if acquired:
            self._holding = True
            return self._hold(decision, now)
        reason = f"{decision.reason}; but the lease was refused"
        return self._act(Decision("down_reachable", decision.down_without_lease, reason), now)

    def _hold(self, decision: Decision, now: float) -> list[Effect]:
        """Keep the lease until the members that are downed now are gone, and ``release_after_s`` longer."""
        self._held_for |= decision.down & self.view.names
        self._release_at = inf
        if not self._held_for:
            self._release_in(now)
        return self._act(decision, now)

    def _release_in(self, now: float) -> None:
        strategy = self._settings.strategy
        self._held_for = frozenset()
        self._release_at = now + (strategy.release_after_s if isinstance(strategy, LeaseMajority) else 0.0)

    def _act(self, decision: Decision, now: float) -> list[Effect]:
        self.decision, self._decided = decision, True
        if not decision.down:
            return []
        self._changed_at, self._stable_at, self._decided = None, now + self.stable_s, False
        effects: list[Effect] = []
        if others := tuple(sorted(decision.down - {self.node})):
            effects.append(DownMembers(others, decision.reason))
        return effects + self._down_self(decision.reason) if self.node in decision.down else effects

    def _down_self(self, reason: str) -> list[Effect]:
        self._is_down = True
        return [DownSelf(reason)]


def _member(view: PartitionView, name: str) -> PartitionMember | None:
    return next((member for member in view.members if member.name == name), None)


def _reachability_changed(before: PartitionView, after: PartitionView, node: str) -> bool:
    """Return whether another member has become unreachable, reachable or down; removal is not becoming reachable."""
    gone = before.unreachable - after.unreachable
    come = after.unreachable - before.unreachable
    if (come | (gone & after.names)) - {node}:
        return True
    downed = {member.name for member in before.members if member.status == "down"}
    return any(member.status == "down" and member.name not in downed for member in after.members)


def _count_changed(before: PartitionView, after: PartitionView) -> bool:
    """Return whether a member has become up or exiting; a joining member waits until the partition ends anyway."""
    statuses = {member.name: member.status for member in before.members}
    return any(
        member.status in ("up", "exiting") and statuses.get(member.name) != member.status for member in after.members
    )


def _nothing_to_down(view: PartitionView) -> bool:
    """Return whether all unreachable members are exiting, or do not count yet."""
    counting = (m for m in view.members if m.status not in JOINING and m.name in view.downable)
    return not any(member.name in view.unreachable for member in counting)
