"""Process groups: named sets of actors, after Erlang/OTP's ``pg``.

A group exists while it has members.  An actor may join a group several times, and is a member until it has left as
often.  Groups belong to scopes, which are independent: ``node.groups`` is the scope ``default``, and
``node.groups.scope(name)`` returns another one.  An actor that ends leaves all groups before any actor handles its
``Down``; a restart changes nothing.

A node adds only its own actors, and writes them into a replicated table.  The members that other nodes write there are
merged in, and removed together when their node is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from ..kernel.confined import confine
from ..kernel.errors import CallerError
from ..kernel.message import Message
from ..kernel.ref import ActorRef, Down, deliver

if TYPE_CHECKING:
    from ..kernel.system import System

DEFAULT_SCOPE = "default"


class GroupMembers(Message[None]):
    """The members of a group when a monitor of it began; sent to the monitor, before the changes."""

    scope: str
    group: str
    members: tuple[ActorRef, ...]


class GroupJoined(Message[None]):
    """Actors joined a group.  members: an actor that joined twice at once is listed twice."""

    scope: str
    group: str
    members: tuple[ActorRef, ...]


class GroupLeft(Message[None]):
    """Actors left a group, or ended.  members: an actor that had joined twice and ended is listed twice."""

    scope: str
    group: str
    members: tuple[ActorRef, ...]


GroupChange = GroupJoined | GroupLeft


@confine("_system")
class GroupScope:
    """The groups of one scope; use ``node.groups`` or ``node.groups.scope(name)``."""

    def __init__(
        self, name: str, system: System, listeners: list[Callable[[GroupChange], None]], kept: set[GroupScope]
    ) -> None:
        self.name = name
        self._system, self._listeners, self._kept = system, listeners, kept
        self._members: dict[str, dict[str, Counter[ActorRef]]] = {}
        """Group -> node -> member -> how often it has joined.  Empty entries are removed."""
        self._groups_of: dict[ActorRef, dict[str, None]] = {}
        """The groups that each member on this node has joined."""
        self._monitors: dict[str | None, dict[ActorRef, None]] = {}
        """The monitors of each group; under None, those of all groups."""
        self._monitored_by: dict[ActorRef, dict[str | None, None]] = {}
        """The groups that each monitor monitors, so that its end needs no search."""

    # --- members -----------------------------------------------------------------------------------------------------

    def join(self, group: str, *members: ActorRef) -> None:
        """Add actors of this node to a group, each once for each time it is given; ended actors are ignored.

        Raises ``CallerError`` for an actor of another node: it must join on its own node.
        """
        for member in members:
            if member._cell.system is not self._system:  # noqa: SLF001  a ref is the runtime's own
                raise CallerError(f"{member.address} is not of node {self._system.name}: let it join on its own node")
        joined = tuple(member for member in members if not member._cell.gone)  # noqa: SLF001  a ref is the runtime's own
        for member in joined:
            if member not in self._groups_of:
                self._groups_of[member] = {}
                member._cell.add_watcher(self)  # noqa: SLF001  a ref is the runtime's own
            self._groups_of[member][group] = None
            self._members.setdefault(group, {}).setdefault(self._system.name, Counter())[member] += 1
        if joined:
            self._keep()
            self._publish_own(group, GroupJoined(self.name, group, joined))

    def leave(self, group: str, *members: ActorRef) -> int:
        """End one membership for each time an actor is given; returns how many were ended."""
        left = tuple(member for member in members if self._take_out(group, member, 1))
        if left:
            self._publish_own(group, GroupLeft(self.name, group, left))
        return len(left)

    def members(self, group: str) -> list[ActorRef]:
        """Return the members on all nodes; an actor that joined twice is listed twice."""
        return [member for entered in self._members.get(group, {}).values() for member in entered.elements()]

    def local_members(self, group: str) -> list[ActorRef]:
        """Return the members on this node; an actor that joined twice is listed twice."""
        return list(self._members.get(group, {}).get(self._system.name, Counter[ActorRef]()).elements())

    def times(self, group: str, member: ActorRef) -> int:
        """Return how often an actor of this node is a member of a group."""
        return self._members.get(group, {}).get(self._system.name, Counter[ActorRef]())[member]

    def groups(self) -> list[str]:
        """Return the groups that have members, sorted."""
        return sorted(self._members)

    def broadcast(self, group: str, message: Message[object]) -> int:
        """Send a message to every member once, however often it has joined; returns the number of members."""
        members = dict.fromkeys(self.members(group))
        for member in members:
            deliver(member, message)
        return len(members)

    def _take_out(self, group: str, member: ActorRef, times: int) -> int:
        """End up to ``times`` memberships of one actor; returns how many were ended."""
        by_node = self._members.get(group, {})
        entered = by_node.get(self._system.name, Counter[ActorRef]())
        ended = min(times, entered[member])
        if not ended:
            return 0
        entered[member] -= ended
        if not entered[member]:
            del entered[member]
            del self._groups_of[member][group]
            self._unwatch_if_unused(member)
        if not entered:
            del by_node[self._system.name]
        if not by_node:
            del self._members[group]
        self._keep()
        return ended

    # --- other nodes -------------------------------------------------------------------------------------------------

    def enter(self, node: str, group: str, joined: Sequence[ActorRef], left: Sequence[ActorRef]) -> None:
        """Apply changes that another node has made to the memberships of its own actors, each given once a time."""
        entered = self._members.setdefault(group, {}).setdefault(node, Counter())
        for member in joined:
            entered[member] += 1
        for member in left:
            if entered[member] > 1:
                entered[member] -= 1
            else:
                del entered[member]
        if not entered:
            del self._members[group][node]
        if not self._members[group]:
            del self._members[group]
        self._keep()
        if joined:
            self._publish(group, GroupJoined(self.name, group, tuple(joined)))
        if left:
            self._publish(group, GroupLeft(self.name, group, tuple(left)))

    def _keep(self) -> None:
        """Keep this scope as long as it has members or monitors; without, it ends with the last use of it."""
        (self._kept.add if self._members or self._monitors else self._kept.discard)(self)

    # --- monitors ----------------------------------------------------------------------------------------------------

    def monitor(self, group: str, watcher: ActorRef) -> None:
        """Send ``watcher`` the ``GroupMembers`` now, then each ``GroupJoined`` and ``GroupLeft``, until it ends."""
        if self._add_monitor(group, watcher):
            deliver(watcher, GroupMembers(self.name, group, tuple(self.members(group))))

    def monitor_all(self, watcher: ActorRef) -> None:
        """Monitor all groups of this scope, present and future; a ``GroupMembers`` is sent for each present one."""
        if self._add_monitor(None, watcher):
            for group in self.groups():
                deliver(watcher, GroupMembers(self.name, group, tuple(self.members(group))))

    def demonitor(self, group: str | None, watcher: ActorRef) -> bool:
        """Undo ``monitor``, or with None ``monitor_all``; False when there was none.  Sent changes still arrive."""
        monitors = self._monitors.get(group, {})
        if watcher not in monitors:
            return False
        del monitors[watcher]
        if not monitors:
            del self._monitors[group]
        monitored = self._monitored_by[watcher]
        del monitored[group]
        if not monitored:
            del self._monitored_by[watcher]
        self._unwatch_if_unused(watcher)
        self._keep()
        return True

    def _add_monitor(self, group: str | None, watcher: ActorRef) -> bool:
        cell = watcher._cell  # noqa: SLF001  a ref is the runtime's own
        if not cell.gone:
            self._monitors.setdefault(group, {})[watcher] = None
            self._monitored_by.setdefault(watcher, {})[group] = None
            cell.add_watcher(self)
            self._keep()
        return not cell.gone

    def _publish_own(self, group: str, change: GroupChange) -> None:
        """Send a change of this node's actors to the monitors here and to the listeners, which tell other nodes."""
        self._publish(group, change)
        for listener in self._listeners:
            listener(change)

    def _publish(self, group: str, change: GroupChange) -> None:
        if self._monitors:
            for watcher in {**self._monitors.get(group, {}), **self._monitors.get(None, {})}:
                deliver(watcher, change)

    # --- ends --------------------------------------------------------------------------------------------------------

    def on_down(self, down: Down) -> None:
        """Remove an actor that has ended from all groups; called before any actor handles its ``Down``."""
        gone = down.ref
        for monitored in list(self._monitored_by.get(gone, ())):
            self.demonitor(monitored, gone)
        for group in list(self._groups_of.get(gone, ())):
            times = self._members[group][self._system.name][gone]
            self._take_out(group, gone, times)
            self._publish_own(group, GroupLeft(self.name, group, (gone,) * times))
        self._groups_of.pop(gone, None)

    def _unwatch_if_unused(self, ref: ActorRef) -> None:
        """Stop watching an actor that is neither a member nor a monitor."""
        if not self._groups_of.get(ref):
            self._groups_of.pop(ref, None)
        if ref not in self._groups_of and ref not in self._monitored_by:
            ref._cell.remove_watcher(self)  # noqa: SLF001  a ref is the runtime's own


@confine("_system")
class Groups(GroupScope):
    """The groups of a node, as ``node.groups``: the scope ``default``, and access to the other scopes."""

    def __init__(self, system: System) -> None:
        self.on_change: list[Callable[[GroupChange], None]] = []
        """Called with each change among this node's own members, in any scope."""
        kept: set[GroupScope] = set()
        super().__init__(DEFAULT_SCOPE, system, self.on_change, kept)
        self._scopes: WeakValueDictionary[str, GroupScope] = WeakValueDictionary({DEFAULT_SCOPE: self})

    def scope(self, name: str) -> GroupScope:
        """Return the scope with this name."""
        found = self._scopes.get(name)
        if found is None:
            found = self._scopes[name] = GroupScope(name, self._system, self.on_change, self._kept)
        return found

    def scopes(self) -> Iterable[str]:
        """Return the names of the scopes that have members or monitors, or are in use, sorted."""
        return sorted(self._scopes)
