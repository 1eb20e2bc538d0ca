"""``SharedState``: the replicated tables of the cluster on this node, and what their changes cause here.

It outlives the actors of the cluster.  It says who takes part in the exchange of tables, removes the entries of actors
that have ended, and publishes events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ... import ActorRef, CallerError, Down
from ...lowlevel import NodeId, RowChanged, deliver, handled_types, parent_of
from .detectors.failures import DeviceFailed
from .events import ClusterNameLost, ClusterServicesChanged
from .membership.records import Member, Status
from .names import ClaimLost
from .replicated_tables import TEXT_BYTES_MAX, ClusterTables
from .replication_messages import WorkerRow
from .services import Offer

if TYPE_CHECKING:
    from ...lowlevel import NodeContext
    from .config import ReplicationSettings
    from .failure_monitor import FailureMonitor
    from .followed_membership import FollowedMembership
    from .membership.machine import Membership

POLL_ROUNDS = 3
"""Replication intervals in which a degraded node asks all members before it counts the silent ones as unreachable."""


class SharedState:
    """The replicated tables of one node, with the actors that have entries in them.

    tables: the copies, for reading; changes go through the methods here.
    on_reachability_change: called after a member has reported other members as unreachable, or itself as up.
    degraded_since: the loop time since which members have been suspected or unreachable while this node's own health
        is degraded; None while that is not so.
    """

    def __init__(self, ctx: NodeContext, failures: FailureMonitor, settings: ReplicationSettings) -> None:
        self._ctx, self._failures, self._settings = ctx, failures, settings
        self._me = ctx.node_id.name
        self.degraded_since: float | None = None
        self.tables = ClusterTables(ctx, self._on_claim_lost)
        self.on_reachability_change: list[Callable[[], None]] = []
        self.workers_version = 0
        """Increased whenever a worker of any member comes, goes or changes."""
        self._reach_pending = False
        self._watched: set[ActorRef] = set()
        self._members: dict[str, int] = {}
        self._exchanged = ctx.node.tables
        tables = self.tables
        tables.services.table.subscribe(self._services_changed)
        tables.devices.subscribe(self._devices_changed)
        tables.workers.subscribe(self._workers_changed)
        tables.reach.subscribe(self._reach_changed)
        tables.statuses.subscribe(self._reach_changed)

    def begin(self, ctx: NodeContext) -> None:
        """Go on after the cluster was started again: withdraw the entries of actors that have ended meanwhile."""
        self._ctx = ctx
        for ref in list(self._watched):
            try:
                ctx.watch(ref, self._actor_ended)
            except CallerError:
                self._actor_ended(Down(ref, "no_such_actor"))

    # --- members -----------------------------------------------------------------------------------------------------

    def sync_members(self, machine: Membership | FollowedMembership) -> None:
        """Bring the tables in step with the present members of the cluster."""
        members = machine.members()
        if machine.is_over:
            return
        if machine.me.generation != self._exchanged.exchange.members[self._me]:
            self.tables.reach.clear()  # what this node has seen as another member counts no more
            self.tables.statuses.clear()
        self._members = {member.name: member.generation for member in members}
        self._members[self._me] = machine.me.generation
        self._sync_rows()
        self.tables.observe(self._unreachable(members, degraded=machine.health.score > 0))

    def _sync_rows(self) -> None:
        """Bring the rows of the tables in step with the members, and with the workers that these vouch for."""
        self._exchanged.set_members({**self.tables.worker_generations(self._members), **self._members})

    @property
    def members(self) -> Mapping[str, int]:
        """The nodes whose rows are held, this one and workers included, with their generations."""
        return self._exchanged.exchange.members

    def worker_row(self, name: str) -> WorkerRow | None:
        """Return the row of a worker of a member; None when there is none of this name."""
        parent = parent_of(name)
        return self.tables.workers.rows_of(parent).get(name) if parent in self._members else None

    def _unreachable(self, members: Sequence[Member], *, degraded: bool) -> set[str]:
        """Return the members that this node counts as unreachable.  degraded: whether its own health is degraded.

        While a member is unreachable, a suspected one counts as unreachable too.  A node on the smaller side of a
        partition declares the others dead one after the other, and slowly, because its health is degraded; it must not
        decide in between and count members as reachable from which it has heard nothing.  For the same reason a
        degraded node also counts members with a broken or failed session, and in a small cluster it asks all members as
        soon as one is suspected: those that have not answered when the first is unreachable count as unreachable too.
        """
        suspected = {member.name for member in members if member.status is Status.SUSPECT}
        lost = {member.name for member in members if member.status is Status.UNREACHABLE}
        now = self._ctx.clock.now()
        if not (degraded and (lost or suspected)):
            self.degraded_since = None
        elif self.degraded_since is None:
            self.degraded_since = now
        if not lost:
            return lost
        lost |= suspected
        if self.degraded_since is None:
            return lost
        names = {member.name for member in members} - {self._me}
        broken = {peer.node_id.name for peer in self._ctx.peers if not peer.in_reach}
        lost |= (broken | self._failures.silent) & names
        polls_all = len(members) <= self._settings.direct_max
        if polls_all and now - self.degraded_since > POLL_ROUNDS * self._settings.interval_s:
            silence_s = POLL_ROUNDS * self._settings.interval_s
            lost |= {name for name in names if self._failures.silence_s(name, now) > silence_s}
        return lost

    def drop_own_names(self) -> None:
        """Withdraw all names of this node, because the cluster has taken it down and others may have claimed them."""
        table = self.tables.names.table
        for name, claim in dict(table.own).items():
            table.remove(name)
            self._report_lost_name(name, claim.ref, None)

    # --- this node's own rows ----------------------------------------------------------------------------------------

    def watch_owner(self, ref: ActorRef, what: str, text: str) -> None:
        """Watch an actor of this node, to remove its entries when it ends.  what, text: the entry, for errors.

        Raises ``CallerError`` for an actor of another node, for one that has ended, and for a text that is too long.
        """
        check_text(what, text)
        if ref not in self._watched:
            self._ctx.watch(ref, self._actor_ended)
            self._watched.add(ref)

    def _actor_ended(self, down: Down) -> None:
        """Remove the entries of an actor that has ended; this is called before any watcher gets its ``Down``."""
        ref, tables = down.ref, self.tables
        self._watched.discard(ref)
        tables.names.actor_ended(ref)
        tables.topics.actor_ended(ref)
        tables.services.actor_ended(ref)

    # --- changes -----------------------------------------------------------------------------------------------------

    def _reach_changed(self, _: object) -> None:
        """Tell the listeners, once for all changes of this turn of the loop: each of them looks at all rows."""
        if not self._reach_pending:
            self._reach_pending = True
            self._ctx.loop.call_soon(self._tell_reach)

    def _tell_reach(self) -> None:
        self._reach_pending = False
        for listener in self.on_reachability_change:
            listener()

    def _services_changed(self, changes: Sequence[RowChanged[tuple[str, ActorRef], Offer]]) -> None:
        for name in dict.fromkeys(change.key[0] for change in changes):
            self._ctx.events.publish(ClusterServicesChanged(name))

    def _devices_changed(self, changes: Sequence[RowChanged[str, str]]) -> None:
        for change in changes:
            if change.after is not None:
                self._failures.failed(DeviceFailed(change.owner, change.key, 1.0, change.after))

    def _workers_changed(self, changes: Sequence[RowChanged[str, WorkerRow]]) -> None:
        self.workers_version += 1
        for change in changes:
            self._worker_changed(change.owner, change.key, change.before, change.after)
        self._sync_rows()

    def _worker_changed(self, owner: str, worker: str, before: WorkerRow | None, after: WorkerRow | None) -> None:
        """Make the address of another node's worker known to the network, or its end."""
        peers = self._ctx.peers
        if owner in (self._me, self._ctx.parent_name):
            return  # this node has started it, or its parent has: they know it better
        if before is not None and (after is None or after.generation != before.generation):
            peers.node_ended(NodeId(worker, before.generation), f"its node {owner} says that it has ended")
        if after is not None:
            scheme = self._ctx.endpoint.partition("://")[0]
            endpoints = sorted(after.endpoints, key=lambda each: each.partition("://")[0] != scheme)
            peers.add_address(NodeId(worker, after.generation), *endpoints)

    def _on_claim_lost(self, lost: ClaimLost[ActorRef]) -> None:
        self._report_lost_name(lost.name, lost.loser.ref, lost.winner.ref)

    def _report_lost_name(self, name: str, ref: ActorRef, winner: ActorRef | None) -> None:
        lost = ClusterNameLost(name, ref, winner)
        self._ctx.events.publish(lost)
        if any(issubclass(ClusterNameLost, type_) for type_ in handled_types(ref)):
            deliver(ref, lost)


def check_text(what: str, text: str) -> None:
    """Raise ``CallerError`` for an empty text or one above ``TEXT_BYTES_MAX`` bytes.  what: names it in the error."""
    if not 0 < len(text.encode()) <= TEXT_BYTES_MAX:
        raise CallerError(f"{what} {text[:40]!r} has {len(text.encode())} bytes: give it 1 to {TEXT_BYTES_MAX}")
