"""``SharedState``: what the members of a cluster share, on this node; it outlives the actors that carry it.

It holds the ``ReplicatedTables``, lets actors that end leave all that they had, keeps ``node.groups`` in step with what other
nodes say, and publishes what happens.  The ``Replicator`` carries news to and from the other members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ...runtime.actor.groups import GroupChange, GroupJoined, GroupLeft
from ...runtime.gossip.versioned_table import DeltaRefused, RowFull
from ...runtime.kernel.delivery import deliver
from ...runtime.kernel.errors import CallerError
from ...runtime.kernel.ref import ActorRef, Down
from .detectors.failures import DeviceFailed
from .events import ClusterNameLost, ClusterServicesChanged
from .groups import GroupUpdate
from .membership.records import Member, Status
from .names import ClaimLost
from .replicated_map import EntryChanged
from .replicated_tables import AnyEntryChanged, ReplicatedTables, TableOutcome, outcomes

if TYPE_CHECKING:
    from ...runtime.node.node import Node
    from .config import ReplicationSettings
    from .failure_monitor import FailureMonitor
    from .membership.machine import Membership

POLL_ROUNDS = 3
"""Times that a node which doubts itself calls everybody before it takes those for lost who do not answer."""
TEXT_BYTES_MAX = 256
"""Of a name, a topic, a service, and of a scope and a group together."""


class SharedState:
    """See the top of the file.

    replicas: the copies, which others only read.  on_own: called when this node's own rows may have changed.
    doubts_since: since when somebody has been out of reach while this node doubted itself; None while that is not so.
    on_reach: called when somebody says something else of whom it can reach, or that it is up.
    """

    def __init__(self, node: Node, failures: FailureMonitor, settings: ReplicationSettings) -> None:
        self.node, self._failures, self._settings = node, failures, settings
        self.degraded_since: float | None = None
        self.tables = ReplicatedTables(node.name, 0)
        self.on_own_change: list[Callable[[], None]] = []
        self.on_reachability_change: list[Callable[[], None]] = []
        self._watched: set[ActorRef] = set()
        node.groups.on_change.append(self._group_changed)

    # --- the members -------------------------------------------------------------------------------------------------

    def sync_members(self, machine: Membership) -> None:
        """Bring the rows in step with the members of now."""
        members = machine.members()
        if machine.is_over:
            return
        if machine.me.life != self.tables.life:
            self._begin_life(machine.me.life)
        self.carry_out(self.tables.sync_members({member.name: member.life for member in members}))
        self.carry_out(self.tables.observe(self._lost(members, degraded=machine.health.score > 0)))
        self.changed()

    def _lost(self, members: Sequence[Member], *, degraded: bool) -> set[str]:
        """Return whom this node cannot reach.

        While somebody is unreachable, one who is suspected counts as such too: a node on the smaller side of a cut
        finds the others dead one after the other, slowly, since it doubts itself; it must not decide in between and
        count those as its own whom it has not heard of.  For the same reason one who doubts itself believes a link
        that is broken or lost, and calls the roll where the cluster is small: who does not answer is out of reach.
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
        """This node was thrown out: it has no names any more, since others may have taken them meanwhile."""
        apply_own = dict(self.tables.names.table.row(self.node.name))
        for name, claim in apply_own.items():
            self.carry_out(outcomes("names", self.tables.names.release(name)))
            self._report_lost_name(name, claim.ref, None)

    def _begin_life(self, life: int) -> None:
        """Begin anew with the rows of another life of this node; what it says in them stays the same."""
        before = self.tables
        self.carry_out(before.sync_members({self.node.name: before.life}))
        after = self.tables = ReplicatedTables(self.node.name, life)
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
        for scope, group, ref in before.groups.table.row(me):
            after.watch_scope(scope)
            for _ in range(before.groups.table.row(me)[scope, group, ref]):
                after.groups.join(scope, group, ref)

    # --- this node's own ---------------------------------------------------------------------------------------------

    def apply_own(self, table: str, effects: Iterable[object]) -> None:
        """Carry out what came of a change that this node has made to its own row, and have it spread."""
        self.carry_out(outcomes(table, effects))
        self.changed()

    def changed(self) -> None:
        """This node's own rows may have changed."""
        for hear in self.on_own_change:
            hear()

    def watch_owner(self, ref: ActorRef, what: str, text: str) -> None:
        """Let an actor of this node have something until it ends.

        Raises ``CallerError`` for an actor of another node, for one that has ended, and for a text that is too long.
        """
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        if cell.system is not self.node.system or ref.address.node != self.node.name:
            raise CallerError(f"{ref.address} is not of node {self.node.name}: {what} {text!r} is for its own node")
        if cell.gone:
            raise CallerError(f"{ref.address} has ended: {what} {text!r} is for one that lives")
        check_text(what, text)
        if ref not in self._watched:
            self._watched.add(ref)
            cell.add_watcher(self)

    def on_down(self, down: Down) -> None:
        """Let an actor that has ended leave everything; called before its ``Down`` is handled anywhere."""
        ref, tables = down.ref, self.tables
        self._watched.discard(ref)
        told = outcomes("names", tables.names.gone(ref)) + outcomes("topics", tables.topics.gone(ref))
        for key in [key for key in tables.services.table.row(self.node.name) if key[1] == ref]:
            told += outcomes("services", tables.services.put(key, None))
        self.carry_out(told)
        self.changed()

    def _group_changed(self, change: GroupChange) -> None:
        """Actors of this node have joined a group, or left."""
        groups = self.tables.groups
        self.tables.watch_scope(change.scope)
        try:
            check_text("the group", change.scope + change.group)
            for member in change.members:
                write = groups.join if isinstance(change, GroupJoined) else groups.leave
                write(change.scope, change.group, member)
        except (CallerError, RowFull) as error:
            self.node.system.reporter.problem(f"group {change.group} is known on this node only", error)
        self.changed()

    # --- what comes of it --------------------------------------------------------------------------------------------

    def carry_out(self, told: Iterable[TableOutcome]) -> None:
        """Do what the machines want done."""
        reach = False
        for table, effect in told:
            match effect:
                case GroupUpdate():
                    self._enter(effect)
                case ClaimLost(name=name, loser=loser, winner=winner):
                    self._report_lost_name(name, loser.ref, winner.ref)
                case EntryChanged():
                    self._entry_changed(table, effect)
                    reach |= table in ("reach", "statuses")
                case DeltaRefused(problem=problem):
                    self.node.system.reporter.problem(f"cluster: news was refused: {problem}")
                case _:
                    pass  # a name is held by somebody else: who wants to know asks
        if reach:
            for hear in self.on_reachability_change:
                hear()

    def _enter(self, update: GroupUpdate[ActorRef]) -> None:
        """Show members of other nodes in this node's groups."""
        scope = self.node.groups.scope(update.scope)
        for make, refs in ((GroupJoined, update.joined), (GroupLeft, update.left)):
            by_node: dict[str, list[ActorRef]] = {}
            for ref in refs:
                by_node.setdefault(ref.address.node, []).append(ref)
            for node, members in by_node.items():
                if node != self.node.name:
                    scope.enter(node, make(update.scope, update.group, tuple(members)))

    def _entry_changed(self, table: str, posted: AnyEntryChanged) -> None:
        change = posted.change
        if table == "services":
            self.node.events.publish(ClusterServicesChanged(change.key[0]))
        elif table == "devices" and isinstance(change.after, str) and change.before != change.after:
            self._failures.failed(DeviceFailed(change.owner, str(change.key), 1.0, change.after))

    def _report_lost_name(self, name: str, ref: ActorRef, winner: ActorRef | None) -> None:
        lost = ClusterNameLost(name, ref, winner)
        self.node.events.publish(lost)
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        if not cell.gone and cell.handler_table.find(ClusterNameLost) is not None:
            deliver(ref, lost)


def check_text(what: str, text: str) -> None:
    """Raise ``CallerError`` for a text that is empty or too long to travel in a row."""
    if not 0 < len(text.encode()) <= TEXT_BYTES_MAX:
        raise CallerError(f"{what} {text[:40]!r} has {len(text.encode())} bytes: give it 1 to {TEXT_BYTES_MAX}")
