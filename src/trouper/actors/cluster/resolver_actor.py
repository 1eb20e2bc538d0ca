"""``ResolverActor``: the actor ``/system/cluster/resolver``, which carries out the pure ``SplitBrainResolver``.

Each member promotes itself from *joining* to *up*, so that all members know it before it counts: when all of them have
answered that they know it, and know no member that it does not know.  So of any two members one has known the other
before either counts.  In a cluster of more than ``direct_max`` members, or when one does not answer, it does so when it
has been a member for half of the time that the resolver waits.  No member that is up may be unreachable then.  It takes
an up number, one more than the largest that it knows, and publishes it; a member with a smaller number is older.  Two
members that promote themselves at the same time may have the same number; then the lower name is the older one.

Which member cannot reach which other one is what all members have published.  Of a member that is unreachable itself
only observations that it has published since then count: another member has forwarded them, so it is indirectly
connected; a member that crashed during a wrong suspicion publishes nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from ... import Actor, handler
from ...lowlevel import Stamp
from . import member_info
from .membership.records import Member, Status
from .messages import AlarmDue, GetKnownMembers, KnownByMember, LeaseAnswer, MarkDown, Rejoin, ViewChanged
from .splitbrain import resolver as pure
from .splitbrain.view import PartitionMember, PartitionView

if TYPE_CHECKING:
    from .api import Cluster


class ResolverActor(Actor):
    """The split brain resolver of one node.  cluster: the API object, which outlives the actor."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.ctx = cluster, cluster.ctx
        self._joined_at: float | None = None
        self._isolated_since: float | None = None
        self._knows_cluster = False  # whether this node has known a member that is up, or is alone
        self._ask_at = 0.0  # when the members are asked again, at the earliest
        self._known_by: dict[tuple[str, int], dict[str, int]] = {}  # by member: the members that it knows
        self._silent_since: dict[str, Stamp] = {}  # by unreachable member: the version of its row at that time

    def on_start(self) -> None:
        """Begin with the present members."""
        self._alarm = self.ctx.clock.alarm(lambda: self.ref.tell(AlarmDue()))
        self._update_alarm = self.ctx.clock.alarm(self._update_soon)
        self.cluster.shared_state.on_reachability_change.append(self._update_soon)
        self._begin()

    def on_stop(self) -> None:
        """Stop the alarms."""
        self.cluster.shared_state.on_reachability_change.remove(self._update_soon)
        self._alarm.set(inf)
        self._update_alarm.set(inf)

    def _update_soon(self) -> None:
        self.ref.tell(ViewChanged())

    def _begin(self) -> None:
        settings = self.cluster.settings.split_brain
        assert settings is not None, "the actor is spawned only where there are settings"
        self.machine = pure.SplitBrainResolver(self.ctx.node_id.name, settings, self.ctx.clock.now())
        self._joined_at, self._isolated_since, self._knows_cluster, self._silent_since = None, None, False, {}
        self._ask_at = 0.0
        self._known_by.clear()
        self._update()

    @handler
    def rejoin(self, msg: Rejoin) -> None:
        """Begin anew: this node was taken down, and joins again."""
        self._begin()

    @handler
    def view_changed(self, msg: ViewChanged) -> None:
        """Take in that the members, or which of them are reachable, have changed."""
        self._update()

    @handler
    def due(self, msg: AlarmDue) -> None:
        """Call the machine at the time that it asked for."""
        self._carry_out(self.machine.step(pure.TimePassed(), self.ctx.clock.now()))

    def _update(self) -> None:
        members = self.cluster.machine.members()
        self._update_alarm.set(min(self._promote(members), self._down_if_isolated(members)))
        up_number = self.cluster.shared_state.tables.up_number
        view = PartitionView(
            tuple(_counted(member, up_number(member.name)) for member in members), self._observations(members)
        )
        self._carry_out(self.machine.step(pure.NewView(view), self.ctx.clock.now()))

    def _promote(self, members: Sequence[Member]) -> float:
        """Mark this node as up, once it has been a member for long enough and all members that are up are reachable.

        Two of three suffice: it knows that a member is up, it has waited for half of the time that the resolver waits,
        and all members have confirmed.  Where nodes join each other and none is up, it is so after the whole of that
        time.  Returns when to try again.
        """
        shared_state, now = self.cluster.shared_state, self.ctx.clock.now()
        tables = shared_state.tables
        if not self.cluster.is_joined or tables.up_number(self.ctx.node_id.name) is not None:
            return inf
        if self._joined_at is None:
            self._joined_at = now
        up = [member for member in members if tables.up_number(member.name) is not None]
        self._knows_cluster |= bool(up) or len(members) == 1
        stable_s = self.machine.stable_s if len(members) > 1 else 0.0
        up_at, latest_at = self._joined_at + stable_s / 2, self._joined_at + stable_s
        ask_at = inf
        if all(member.status is Status.ALIVE for member in up):
            unconfirmed = self._unconfirmed(members)
            if now >= latest_at or sum((self._knows_cluster, now >= up_at, not unconfirmed)) >= 2:
                tables.come_up(tables.up_number(member.name) or 0 for member in up)
                return inf
            ask_at = self._ask(unconfirmed)
        return min(at for at in (ask_at, up_at, latest_at, inf) if at > now)

    def _unconfirmed(self, members: Sequence[Member]) -> list[str]:
        """Return the members that may not know this node, or know a member that this node does not know."""
        names, me = {member.name for member in members}, self.cluster.machine.me
        others = [member for member in members if member.name != me.name]
        known = {each.name: self._known_by.get((each.name, each.generation), {}) for each in others}
        return [name for name, of in known.items() if of.get(me.name) != me.generation or not of.keys() <= names]

    def _ask(self, members: Sequence[str]) -> float:
        """Ask members which members they know, unless they have just been asked; returns when to ask again."""
        settings, now = self.cluster.settings.replication, self.ctx.clock.now()
        if len(members) >= settings.direct_max:
            return inf
        if now >= self._ask_at:
            self._ask_at = now + settings.interval_s / 8
            for name in members:
                self.cluster.send(name, GetKnownMembers())
        return self._ask_at

    @handler
    def known_by_member(self, msg: KnownByMember) -> None:
        """Take in which members another one knows."""
        member = self.cluster.member(msg.node)
        if member is not None and self.cluster.shared_state.tables.up_number(self.ctx.node_id.name) is None:
            self._known_by[member.name, member.generation] = msg.members
            self._update()

    def _down_if_isolated(self, members: Sequence[Member]) -> float:
        """Take this node down when, for long, members are unreachable and no member that is up is reachable.

        No reachable member could decide then.  Returns when to look again.
        """
        tables, now = self.cluster.shared_state.tables, self.ctx.clock.now()
        lost = tables.reach.own
        if not lost or any(tables.up_number(m.name) is not None and m.name not in lost for m in members):
            self._isolated_since = None
            return inf
        if self._isolated_since is None:
            self._isolated_since = now
        until = self._isolated_since + 2 * self.machine.stable_s
        if now < until:
            return until
        reason = f"for {2 * self.machine.stable_s:g} s members were unreachable and no member that is up was reachable"
        self.cluster.manager.tell(MarkDown(self.ctx.node_id.name, reason))
        return inf

    def _observations(self, members: Sequence[Member]) -> frozenset[tuple[str, str]]:
        """Return which member cannot reach which, without what members published before they were unreachable."""
        table = self.cluster.shared_state.tables.reach.copies
        lost = table.rows_of(self.ctx.node_id.name)
        self._silent_since = {name: self._silent_since.get(name, table.stamp(name)) for name in lost}
        outdated = {name for name, stamp in self._silent_since.items() if table.stamp(name) == stamp}
        matrix = self.cluster.reachability().restrict({member.name for member in members})
        return frozenset(pair for pair in matrix.observations if pair[0] not in outdated)

    def _carry_out(self, effects: Sequence[pure.Effect]) -> None:
        for effect in effects:
            match effect:
                case pure.DownMembers(names, reason):
                    for name in names:
                        self.cluster.manager.tell(MarkDown(name, reason))
                case pure.DownSelf(reason):
                    self.cluster.manager.tell(MarkDown(self.ctx.node_id.name, reason))
                case pure.AcquireLease():
                    self._acquire()
                case pure.ReleaseLease():
                    self._release()
        self._alarm.set(self.machine.wake_at)

    def _acquire(self) -> None:
        lease = self.cluster.settings.lease
        assert lease is not None, "the configuration requires one where the strategy needs one"
        self.pipe_to_self(lease.acquire(), LeaseAnswer, lambda _: LeaseAnswer(acquired=False))

    @handler
    def lease_answered(self, msg: LeaseAnswer) -> None:
        """Pass the answer of the lease to the machine."""
        self._carry_out(self.machine.step(pure.LeaseResult(msg.acquired), self.ctx.clock.now()))

    def _release(self) -> None:
        lease = self.cluster.settings.lease
        if lease is not None:
            self.pipe_to_self(lease.release(), lambda _: ViewChanged(), lambda _: ViewChanged())


def _counted(record: Member, up_number: int | None) -> PartitionMember:
    """Return a member as the pure strategies count it.  up_number: None while it is joining."""
    roles = member_info.read(record).metadata.roles
    return PartitionMember(record.name, "joining" if up_number is None else "up", up_number or 0, roles)
