"""``SharedState``: the replicated tables of this node, and what their changes cause here.

It outlives the actors of the cluster.  It removes the entries of actors that have ended, keeps ``node.groups`` in step
with the members on other nodes, and publishes events.  The ``Replicator`` exchanges deltas with the other members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ... import ActorRef, CallerError, Down, GroupJoined, GroupLeft
from ...lowlevel import DeltaRefused, EntryChanged, GroupChange, NodeId, RowFull, deliver, parent_of
from .detectors.failures import DeviceFailed
from .events import ClusterNameLost, ClusterServicesChanged
from .groups import GroupUpdate
from .membership.records import Member, Status
from .names import ClaimLost
from .replicated_tables import AnyEntryChanged, ReplicatedTables, TableOutcome, local_outcomes
from .replication_messages import WorkerRow

if TYPE_CHECKING:
    from ... import Node
    from .config import ReplicationSettings
    from .failure_monitor import FailureMonitor
    from .followed_membership import FollowedMembership
    from .membership.machine import Membership

POLL_ROUNDS = 3
"""Replication intervals in which a degraded node asks all members before it counts the silent ones as unreachable."""
TEXT_BYTES_MAX = 256
"""The longest name, topic or service, and the longest scope and group together, in bytes of UTF-8."""


class SharedState:
    """The replicated tables of one node, with the actors that have entries in them.

    tables: the copies, for reading; changes go through the methods here.
    on_own_change: called after this node's own rows may have changed.
    on_reachability_change: called after a member has reported other members as unreachable, or itself as up.
    degraded_since: the loop time since which members have been unreachable while this node's own health is degraded;
        None while that is not so.
    """

    def __init__(self, node: Node, failures: FailureMonitor, settings: ReplicationSettings) -> None:
        self.node, self._failures, self._settings = node, failures, settings
        self.degraded_since: float | None = None
        self.tables = ReplicatedTables(node.name, 0)
        self.on_own_change: list[Callable[[], None]] = []
        self.on_reachability_change: list[Callable[[], None]] = []
        self._watched: set[ActorRef] = set()
        self._members: dict[str, int] = {}
        node.groups.on_change.append(self._group_changed)

    # --- members -----------------------------------------------------------------------------------------------------

    def sync_members(self, machine: Membership | FollowedMembership) -> None:
        """Bring the tables in step with the present members of the cluster."""
        members = machine.members()
        if machine.is_over:
            return
        if machine.me.generation != self.tables.generation:
            self._begin_generation(machine.me.generation)
        self._members = {member.name: member.generation for member in members}
        self._sync_rows()
        self.carry_out(self.tables.observe(self._unreachable(members, degraded=machine.health.score > 0)))
        self.changed()

    def _sync_rows(self) -> None:
        """Bring the rows of the tables in step with the members, and with the workers that these vouch for."""
        self.carry_out(self.tables.sync_members({**self._members, **self.tables.worker_generations(self._members)}))

    def worker_row(self, name: str) -> WorkerRow | None:
        """Return the row of a worker of a member; None when there is none of this name."""
        parent = parent_of(name)
        return self.tables.workers.table.row(parent).get(name) if parent in self._members else None

    def _unreachable(self, members: Sequence[Member], *, degraded: bool) -> set[str]:
        """Return the members that this node counts as unreachable.  degraded: whether its own health is degraded.

        While a member is unreachable, a suspected one counts as unreachable too.  A node on the smaller side of a
        partition declares the others dead one after the other, and slowly, because its health is degraded; it must not
        decide in between and count members as reachable from which it has heard nothing.  For the same reason a
        degraded node also counts members with a broken or failed session, and in a small cluster it asks all members:
        those that do not answer count as unreachable.
        """
        lost = {member.name for member in members if member.status is Status.UNREACHABLE}
        if lost:
            lost |= {member.name for member in members if member.status is Status.SUSPECT}
        now = self.node.system.loop.time()
        if not (lost and degraded):
            self.degraded_since = None
            return lost
        if self.degraded_since is None:
            self.degraded_since = now
        names = {member.name for member in members} - {self.node.name}
        broken = {name for name, peer in self.node.network.peers.items() if not peer.in_reach}
        lost |= (broken | self._failures.silent) & names
        polls_all = len(members) <= self._settings.direct_max
        if polls_all and now - self.degraded_since > POLL_ROUNDS * self._settings.interval_s:
            silence_s = POLL_ROUNDS * self._settings.interval_s
            lost |= {name for name in names if self._failures.silence_s(name, now) > silence_s}
        return lost

    def drop_own_names(self) -> None:
        """Withdraw all names of this node, because the cluster has taken it down and others may have claimed them."""
        for name, claim in dict(self.tables.names.table.row(self.node.name)).items():
            self.carry_out(local_outcomes("names", self.tables.names.release(name)))
            self._report_lost_name(name, claim.ref, None)

    def _begin_generation(self, generation: int) -> None:
        """Begin new rows for another generation of this node's membership, with the same entries."""
        before = self.tables
        self.carry_out(before.sync_members({self.node.name: before.generation}))
        after = self.tables = ReplicatedTables(self.node.name, generation)
        me = self.node.name
        for name, claim in sorted(before.names.table.row(me).items(), key=lambda item: item[1].stamp):
            after.names.register(name, claim.ref)
        for topic in before.topics.table.row(me):
            for ref in before.topics.receive(topic):
                after.topics.subscribe(topic, ref)
        for key, offer in before.services.table.row(me).items():
            after.services.put(key, offer)
        for device, text in before.devices.table.row(me).items():
            after.devices.put(device, text)
        for worker, row in before.workers.table.row(me).items():
            after.workers.put(worker, row)
        for (scope, group, ref), times in before.groups.table.row(me).items():
            for _ in range(times):
                after.groups.join(scope, group, ref)

    # --- this node's own rows ----------------------------------------------------------------------------------------

    def apply_own(self, table: str, effects: Iterable[object]) -> None:
        """Carry out the effects of a change of this node's own row in a table, and have it sent to the others."""
        self.carry_out(local_outcomes(table, effects))
        self.changed()

    def changed(self) -> None:
        """Tell the listeners that this node's own rows may have changed."""
        for listener in self.on_own_change:
            listener()

    def watch_owner(self, ref: ActorRef, what: str, text: str) -> None:
        """Watch an actor of this node, to remove its entries when it ends.  what, text: the entry, for errors.

        Raises ``CallerError`` for an actor of another node, for one that has ended, and for a text that is too long.
        """
        cell = ref._cell  # noqa: SLF001  the runtime reads the cell of a ref
        if cell.system is not self.node.system or ref.address.node != self.node.name:
            raise CallerError(
                f"{ref.address} is not an actor of node {self.node.name}: {what} {text!r} must be given on its own node"
            )
        if cell.gone:
            raise CallerError(f"{ref.address} has ended: {what} {text!r} needs a living actor")
        check_text(what, text)
        if ref not in self._watched:
            self._watched.add(ref)
            cell.add_watcher(self)

    def on_down(self, down: Down) -> None:
        """Remove the entries of an actor that has ended; the cell calls this before any watcher gets its ``Down``."""
        ref, tables = down.ref, self.tables
        self._watched.discard(ref)
        self.carry_out(
            [
                *local_outcomes("names", tables.names.actor_ended(ref)),
                *local_outcomes("topics", tables.topics.actor_ended(ref)),
                *local_outcomes("services", tables.services.actor_ended(ref)),
            ]
        )
        self.changed()

    def _group_changed(self, change: GroupChange) -> None:
        """Copy a change of ``node.groups``, by actors of this node, into the table."""
        groups = self.tables.groups
        try:
            check_text("the group", change.scope + change.group)
            for member in change.members:
                write = groups.join if isinstance(change, GroupJoined) else groups.leave
                write(change.scope, change.group, member)
        except (CallerError, RowFull) as error:
            self.node.system.reporter.problem(f"group {change.group} is known on this node only", error)
        self.changed()

    # --- outcomes ----------------------------------------------------------------------------------------------------

    def carry_out(self, outcomes: Iterable[TableOutcome]) -> None:
        """Carry out the outcomes of changes: update groups, publish events, report refused deltas."""
        reach_changed = workers_changed = False
        for table, effect in outcomes:
            match effect:
                case GroupUpdate():
                    self._update_group(effect)
                case ClaimLost(name=name, loser=loser, winner=winner):
                    self._report_lost_name(name, loser.ref, winner.ref)
                case EntryChanged():
                    self._entry_changed(table, effect)
                    reach_changed |= table in ("reach", "statuses")
                    workers_changed |= table == "workers"
                case DeltaRefused(problem=problem):
                    self.node.system.reporter.problem(f"cluster: a delta was refused: {problem}")
                case _:
                    pass  # HolderChanged: names are looked up, their changes are not published
        if workers_changed:
            self._sync_rows()
        if reach_changed:
            for listener in self.on_reachability_change:
                listener()

    def _update_group(self, update: GroupUpdate[ActorRef]) -> None:
        """Copy changes of members on other nodes into ``node.groups``."""
        scope = self.node.groups.scope(update.scope)
        for make, refs in ((GroupJoined, update.joined), (GroupLeft, update.left)):
            by_node: dict[str, list[ActorRef]] = {}
            for ref in refs:
                by_node.setdefault(ref.address.node, []).append(ref)
            for node, members in by_node.items():
                if node != self.node.name:
                    scope.enter(node, make(update.scope, update.group, tuple(members)))

    def _entry_changed(self, table: str, changed: AnyEntryChanged) -> None:
        change = changed.change
        if table == "workers":
            self._worker_changed(change.owner, str(change.key), change.before, change.after)
        elif table == "services":
            self.node.events.publish(ClusterServicesChanged(change.key[0]))
        elif table == "devices" and isinstance(change.after, str) and change.before != change.after:
            self._failures.failed(DeviceFailed(change.owner, str(change.key), 1.0, change.after))

    def _worker_changed(self, owner: str, worker: str, before: object, after: object) -> None:
        """Make the address of another node's worker known to the network, or its end."""
        network = self.node.network
        if owner in (self.node.name, self.node.parent_name):
            return  # this node has started it, or its parent has: they know it better
        if isinstance(before, WorkerRow) and (
            not isinstance(after, WorkerRow) or after.generation != before.generation
        ):
            network.node_ended(NodeId(worker, before.generation), f"its node {owner} says that it has ended")
        if isinstance(after, WorkerRow):
            scheme = network.endpoint.partition("://")[0]
            endpoints = sorted(after.endpoints, key=lambda each: each.partition("://")[0] != scheme)
            network.connector.add_address(NodeId(worker, after.generation), *endpoints)

    def _report_lost_name(self, name: str, ref: ActorRef, winner: ActorRef | None) -> None:
        lost = ClusterNameLost(name, ref, winner)
        self.node.events.publish(lost)
        cell = ref._cell  # noqa: SLF001  the runtime reads the cell of a ref
        if not cell.gone and cell.handler_table.find(ClusterNameLost) is not None:
            deliver(ref, lost)


def check_text(what: str, text: str) -> None:
    """Raise ``CallerError`` for an empty text or one above ``TEXT_BYTES_MAX`` bytes.  what: names it in the error."""
    if not 0 < len(text.encode()) <= TEXT_BYTES_MAX:
        raise CallerError(f"{what} {text[:40]!r} has {len(text.encode())} bytes: give it 1 to {TEXT_BYTES_MAX}")
