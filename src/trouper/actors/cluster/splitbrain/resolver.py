"""``SplitBrainResolver``: waits until a cut is stable, decides, asks for a lease, and gives the orders (PURE).

    calm --somebody out of reach--> waiting --nothing has changed for stable_after_s--> decided
    waiting --still changing unstable_s later--> all go down
    decided --the strategy needs a lease--> asking --got it--> orders    asking --refused, no answer--> this side downs

Only the leader of a side gives orders, see ``view.leader_of``; members learn of them as of every other news, and one
that finds itself down says ``DownSelf``.  Which changes start the wait again is as in Apache Pekko's split brain
resolver (``cluster.sbr``, Apache-2.0): a member out of reach or back, up, exiting or down; not one that joins, leaves
or is removed.

``step(event, now)`` takes the time in seconds and returns the effects, to be carried out in order.  ``wake_at`` says
when a ``Tick`` is wanted; a tick that comes too early does nothing.
"""

from __future__ import annotations

from math import inf
from typing import TypeAlias

import msgspec

from ....runtime.kernel.errors import InvalidOption
from .decision import Decision, decide
from .stability import stable_after_s, unstable_after_s
from .strategies import KeepMajority, LeaseMajority, Strategy
from .view import JOINING, Member, PartitionView, leader_of


class SplitBrainSettings(msgspec.Struct, frozen=True):
    """How a node settles a cut.  All nodes of a cluster must have the same.

    stable_after_s: how long nothing may change before a decision; None scales it with the size of the cluster.
    unstable_s: how much longer changes may go on before all are downed; None is three quarters of ``stable_after_s``
    and at least 4, 0 is for ever.  lease_timeout_s: an answer about the lease that takes longer is a refusal.
    """

    strategy: Strategy = KeepMajority()
    stable_after_s: float | None = None
    unstable_s: float | None = None
    lease_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse times before now."""
        for name in ("stable_after_s", "unstable_s", "lease_timeout_s"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds >= 0:
                raise InvalidOption(f"SplitBrainSettings({name}={seconds}): give seconds, 0 or more")


class ViewChanged(msgspec.Struct, frozen=True):
    """What this node knows of the cluster, at the start and after every change."""

    view: PartitionView


class LeaseResult(msgspec.Struct, frozen=True):
    """The answer to ``AcquireLease``; an error while asking is a refusal."""

    acquired: bool


class LeaseLost(msgspec.Struct, frozen=True):
    """A lease that was held has run out or was taken; the next decision will ask again."""


class Tick(msgspec.Struct, frozen=True):
    """The time has come to ``wake_at``."""


Event: TypeAlias = ViewChanged | LeaseResult | LeaseLost | Tick


class DownMembers(msgspec.Struct, frozen=True):
    """Mark these members as down, and let all others know; none of them is this node."""

    names: tuple[str, ...]
    reason: str


class DownSelf(msgspec.Struct, frozen=True):
    """This node goes down: mark it, let the others know, stop its actors; said once."""

    reason: str


class AcquireLease(msgspec.Struct, frozen=True):
    """Ask for the lease, and answer with ``LeaseResult``."""


class ReleaseLease(msgspec.Struct, frozen=True):
    """Give the lease back; if that fails it will run out by itself."""


Effect: TypeAlias = DownMembers | DownSelf | AcquireLease | ReleaseLease


class SplitBrainResolver:
    """One node's part in settling cuts; see the top of the file.

    view: the newest knowledge.  decision: the last one that was made, for people to look at; None before any.
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
        self._changed_at: float | None = None  # when the changes began that have not come to rest since
        self._decided = self._is_down = self._holding = False
        self._asking: Decision | None = None
        self._ask_at = self._refused_at = self._release_at = inf
        self._held_for: frozenset[str] = frozenset()

    @property
    def wake_at(self) -> float:
        """When a ``Tick`` is wanted; inf for never."""
        if self._is_down:
            return inf
        if self._asking is not None:
            return min(self._ask_at, self._refused_at)
        decide_at = self._stable_at if self._must_decide else inf
        return min(decide_at, self._unstable_at, self._release_at)

    @property
    def stable_s(self) -> float:
        """How long nothing may change before a decision, at the present size of the cluster."""
        given = self._settings.stable_after_s
        return stable_after_s(len(self.view.members)) if given is None else given

    def step(self, event: Event, now: float) -> list[Effect]:
        """Take one event and return what is to be done."""
        if self._is_down:
            return [ReleaseLease()] if event == LeaseResult(True) else []  # the lease has come too late
        match event:
            case ViewChanged():
                return self._see(event.view, now)
            case LeaseResult():
                return self._answered(event.acquired, now)
            case LeaseLost():
                self._holding, self._held_for, self._release_at = False, frozenset(), inf
                return []
            case Tick():
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
        """When all go down because the changes do not end."""
        given = self._settings.unstable_s
        if self._changed_at is None or given == 0:
            return inf
        return self._changed_at + self.stable_s + (unstable_after_s(self.stable_s) if given is None else given)

    # -- what is seen --------------------------------------------------------------------------------------------------

    def _see(self, view: PartitionView, now: float) -> list[Effect]:
        before, self.view = self.view, view
        me = _member(view, self.node)
        if me is not None and me.status == "down":
            return self._down_self("the other members have downed this node")
        reach_changed = _reach_changed(before, view, self.node)
        if view != before:
            self._decided = False
        if reach_changed or _counting_changed(before, view):
            self._stable_at = now + self.stable_s
        if reach_changed and self._changed_at is None:
            self._changed_at = now
        if _nobody_to_down(view):
            self._changed_at = None
        if self._held_for and not self._held_for & view.names:
            self._release_in(now)
        return self._tick(now) if self._asking is None else []

    def _tick(self, now: float) -> list[Effect]:
        if self._asking is not None:
            return self._keep_asking(now)
        if self._changed_at is not None and now >= self._unstable_at:
            reason = f"members have been going out of reach for {now - self._changed_at:.3g} s and nothing was decided"
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
            return [ReleaseLease()] if acquired else []  # an answer after its time, so the side has lost already
        self._asking, self._refused_at = None, inf
        if acquired:
            self._holding = True
            return self._hold(decision, now)
        reason = f"{decision.reason}; but the lease was refused"
        return self._act(Decision("down_reachable", decision.down_without_lease, reason), now)

    def _hold(self, decision: Decision, now: float) -> list[Effect]:
        """Keep the lease until those who are downed now are gone, and a while longer."""
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


def _member(view: PartitionView, name: str) -> Member | None:
    return next((member for member in view.members if member.name == name), None)


def _reach_changed(before: PartitionView, after: PartitionView, node: str) -> bool:
    """Whether a member other than this node went out of reach, came back, or was downed; leaving is no coming back."""
    gone = before.unreachable - after.unreachable
    come = after.unreachable - before.unreachable
    if (come | (gone & after.names)) - {node}:
        return True
    downed = {member.name for member in before.members if member.status == "down"}
    return any(member.status == "down" and member.name not in downed for member in after.members)


def _counting_changed(before: PartitionView, after: PartitionView) -> bool:
    """Whether somebody is up now, or exiting, who was not; a member that joins waits for the cut to end anyway."""
    statuses = {member.name: member.status for member in before.members}
    return any(
        member.status in ("up", "exiting") and statuses.get(member.name) != member.status for member in after.members
    )


def _nobody_to_down(view: PartitionView) -> bool:
    """Whether all who are out of reach are on their way out, or do not count yet."""
    counting = (m for m in view.members if m.status not in JOINING and m.name in view.downable)
    return not any(member.name in view.unreachable for member in counting)
