"""The split brain resolver, ``/system/cluster/resolver``: an actor that does what the pure ``Resolver`` decides."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from ...runtime.actor import Actor
from ...runtime.alarm import Alarm
from ...runtime.handlers import handler
from . import cards
from .membership.records import Member as Record
from .membership.records import Status
from .messages import Due, LeaseAnswer, Rejoin, TakeDown, ViewChanged
from .splitbrain import resolver as pure
from .splitbrain.view import Member, View

if TYPE_CHECKING:
    from .face import Cluster


class Resolving(Actor):
    """See the top of the file.

    A member counts as older than those whose life began later.  This node's own observations stand for its side: the
    membership spreads one verdict on each member, not one for each pair.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def on_start(self) -> None:
        """Begin with the members of now."""
        self._loop = self.node.system.loop
        self._alarm = Alarm(self._loop, lambda: self.ref.tell(Due()))
        self._begin()

    def on_stop(self) -> None:
        """Nothing more is decided."""
        self._alarm.set(inf)

    def _begin(self) -> None:
        settings = self.cluster.config.split_brain
        assert settings is not None, "it is spawned where there are settings"
        self.machine = pure.Resolver(self.node.name, settings, self._loop.time())
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
    def due(self, msg: Due) -> None:
        """The machine asked to be woken."""
        self._carry_out(self.machine.step(pure.Tick(), self._loop.time()))

    def _look(self) -> None:
        machine = self.cluster.machine
        members = machine.members()
        lost = {member.name for member in members if member.status is Status.UNREACHABLE}
        view = View(
            tuple(map(_member, members)),
            frozenset((self.node.name, name) for name in lost),
            frozenset(member.name for member in members if member.name not in lost),
        )
        self._carry_out(self.machine.step(pure.ViewChanged(view), self._loop.time()))

    def _carry_out(self, wanted: Sequence[pure.Effect]) -> None:
        for effect in wanted:
            match effect:
                case pure.DownMembers(names, reason):
                    for name in names:
                        self.cluster.manager.tell(TakeDown(name, reason))
                case pure.DownSelf(reason):
                    self.cluster.manager.tell(TakeDown(self.node.name, reason))
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


def _member(record: Record) -> Member:
    """Make a member as the pure strategies count it.  Whoever belongs to the cluster is up."""
    roles = cards.read(record).metadata.roles
    return Member(record.name, "up", record.life, roles)
