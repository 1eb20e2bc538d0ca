"""The split brain resolver, ``/system/cluster/resolver``: an actor that does what the pure ``SplitBrainResolver`` decides."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from ...runtime.actor.actor import Actor
from ...runtime.actor.handlers import handler
from ...runtime.gossip.versioned_table import Stamp
from ...runtime.kernel.clock import Alarm
from . import member_info
from .membership.records import Member as Record
from .membership.records import Status
from .messages import AlarmDue, LeaseAnswer, MarkDown, Rejoin, ViewChanged
from .replicated_tables import UP
from .splitbrain import resolver as pure
from .splitbrain.view import Member, PartitionView

if TYPE_CHECKING:
    from .api import Cluster


class ResolverActor(Actor):
    """See the top of the file.

    Each member moves on by itself: it is *joining* until it has been one for half of the time that the resolver waits,
    and nobody who is up is out of reach then, so that all have heard of it before it counts.  Then it says that it is
    up; newcomers hear of that too, and do not take old members for new ones.  A member is older than those whose life
    began later, which all see alike.

    Who cannot reach whom is what all members have said.  Of a member that is out of reach itself only what it has said
    since then is heeded: somebody has carried that here, so it is connected in a roundabout way; a member that crashed
    in the middle of a wrong suspicion says nothing more.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._joined_at: float | None = None
        self._alone_since: float | None = None
        self._has_heard = False
        self._silent: dict[str, Stamp] = {}

    def on_start(self) -> None:
        """Begin with the members of now."""
        self._loop = self.node.system.loop
        self._alarm = Alarm(self._loop, lambda: self.ref.tell(AlarmDue()))
        self._moving = Alarm(self._loop, self._look_soon)
        self.cluster.shared_state.on_reachability_change.append(self._look_soon)
        self._begin()

    def on_stop(self) -> None:
        """Nothing more is decided."""
        self.cluster.shared_state.on_reachability_change.remove(self._look_soon)
        self._alarm.set(inf)
        self._moving.set(inf)

    def _look_soon(self) -> None:
        self.ref.tell(ViewChanged())

    def _begin(self) -> None:
        settings = self.cluster.config.split_brain
        assert settings is not None, "it is spawned where there are settings"
        self.machine = pure.SplitBrainResolver(self.node.name, settings, self._loop.time())
        self._joined_at, self._alone_since, self._has_heard, self._silent = None, None, False, {}
        self._look()

    @handler
    def rejoin(self, msg: Rejoin) -> None:
        """This node was thrown out, and comes back as a new member."""
        self._begin()

    @handler
    def view_changed(self, msg: ViewChanged) -> None:
        """A member came, went, was lost or found."""
        self._look()

    @handler
    def due(self, msg: AlarmDue) -> None:
        """The machine asked to be woken."""
        self._carry_out(self.machine.step(pure.Tick(), self._loop.time()))

    def _look(self) -> None:
        machine = self.cluster.machine
        members = machine.members()
        self._moving.set(min(self._move_on(members), self._despair(members)))
        is_up = self.cluster.shared_state.tables.is_up
        view = PartitionView(
            tuple(_member(member, is_up(member.name)) for member in members), self._observations(members), led=False
        )
        self._carry_out(self.machine.step(pure.ViewChanged(view), self._loop.time()))

    def _move_on(self, members: Sequence[Record]) -> float:
        """Say that this node is up, when it has been a member for long enough and nobody who is up is missing.

        Returns when to look again.  One that has heard of nobody who is up has only just come, and knows too little.
        """
        shared_state, now = self.cluster.shared_state, self._loop.time()
        if not self.cluster.is_joined or shared_state.tables.is_up(self.node.name):
            return inf
        if self._joined_at is None:
            self._joined_at = now
        up = [member for member in members if shared_state.tables.is_up(member.name)]
        self._has_heard |= bool(up) or len(members) == 1
        up_at = self._joined_at + (self.machine.stable_s / 2 if len(members) > 1 else 0.0)
        if now >= up_at and self._has_heard and all(member.status is Status.ALIVE for member in up):
            shared_state.apply_own("statuses", shared_state.tables.statuses.put(UP, True))
        return up_at if up_at > now else inf

    def _despair(self, members: Sequence[Record]) -> float:
        """Go down after a while where some are out of reach and nobody who counts is in reach, to decide.

        Returns when to look again.
        """
        tables, now = self.cluster.shared_state.tables, self._loop.time()
        lost = tables.reach.table.row(self.node.name)
        if not lost or any(tables.is_up(member.name) and member.name not in lost for member in members):
            self._alone_since = None
            return inf
        if self._alone_since is None:
            self._alone_since = now
        until = self._alone_since + 2 * self.machine.stable_s
        if now < until:
            return until
        self.cluster.manager.tell(MarkDown(self.node.name, "nobody who is up is in reach, and others are out of reach"))
        return inf

    def _observations(self, members: Sequence[Record]) -> frozenset[tuple[str, str]]:
        """Return who cannot reach whom, without what members said before they were out of reach themselves."""
        said = self.cluster.shared_state.tables.reach.table
        lost = said.row(self.node.name)
        self._silent = {name: self._silent.get(name, said.stamp(name)) for name in lost}
        old = {name for name, stamp in self._silent.items() if said.stamp(name) <= stamp}
        matrix = self.cluster.reachability().restrict({member.name for member in members})
        return frozenset(pair for pair in matrix.observations if pair[0] not in old)

    def _carry_out(self, wanted: Sequence[pure.Effect]) -> None:
        for effect in wanted:
            match effect:
                case pure.DownMembers(names, reason):
                    for name in names:
                        self.cluster.manager.tell(MarkDown(name, reason))
                case pure.DownSelf(reason):
                    self.cluster.manager.tell(MarkDown(self.node.name, reason))
                case pure.AcquireLease():
                    self._acquire()
                case pure.ReleaseLease():
                    self._release()
        self._alarm.set(self.machine.wake_at)

    def _acquire(self) -> None:
        lease = self.cluster.config.lease
        assert lease is not None, "the configuration asks for one where the strategy needs one"
        self.pipe_to_self(lease.acquire(), LeaseAnswer, lambda _: LeaseAnswer(acquired=False))

    @handler
    def lease_answered(self, msg: LeaseAnswer) -> None:
        """Somebody has the lease; this side, or another one."""
        self._carry_out(self.machine.step(pure.LeaseResult(msg.acquired), self._loop.time()))

    def _release(self) -> None:
        lease = self.cluster.config.lease
        if lease is not None:
            self.pipe_to_self(lease.release(), lambda _: ViewChanged(), lambda _: ViewChanged())


def _member(record: Record, up: bool) -> Member:
    """Make a member as the pure strategies count it."""
    roles = member_info.read(record).metadata.roles
    return Member(record.name, "up" if up else "joining", record.life, roles)
