"""Groups: named sets of actors that come and go, after Erlang/OTP's ``pg``.

A group is made by its first member and gone with its last one.  An actor may join a group more than once, and is a
member until it has left as often.  Groups live in scopes, which know nothing of one another: ``node.groups`` is the
scope ``default``, and ``node.groups.scope(name)`` gives another one.  An actor that ends has left everything before
anybody handles its ``Down``; a restart changes nothing.

It is no router: ``broadcast`` is a loop over the members.  A node enters only its own actors and tells the nodes it is
linked to (``remote/rosters.py``); what they say of theirs is merged in, and dropped as a whole when they are lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..kernel.delivery import deliver
from ..kernel.errors import CallerError
from ..kernel.message import Message
from ..kernel.ref import ActorRef, Down

if TYPE_CHECKING:
    from ..kernel.system import System

DEFAULT_SCOPE = "default"


class GroupMembers(Message[None]):
    """The members of a group at the time when somebody began to monitor it; changes follow."""

    scope: str
    group: str
    members: tuple[ActorRef, ...]


class GroupJoined(Message[None]):
    """Actors joined a group; one that joined twice at once stands here twice."""

    scope: str
    group: str
    members: tuple[ActorRef, ...]


class GroupLeft(Message[None]):
    """Actors left a group, or ended; one that was a member twice and ended stands here twice."""

    scope: str
    group: str
    members: tuple[ActorRef, ...]


GroupChange = GroupJoined | GroupLeft


class GroupScope:
    """The groups of one scope.  Made by ``node.groups.scope(name)``."""

    def __init__(self, name: str, system: System, listeners: list[Callable[[GroupChange], None]]) -> None:
        self.name = name
        self._system, self._listeners = system, listeners
        self._members: dict[str, dict[str, Counter[ActorRef]]] = {}
        """Group -> node -> member -> how often it has joined.  Nothing empty is kept."""
        self._groups_of: dict[ActorRef, dict[str, None]] = {}
        """What each actor that is watched has joined; nothing for one that only monitors."""
        self._monitors: dict[str | None, dict[ActorRef, None]] = {}
        """Who monitors a group; under None, who monitors all of them."""

    # --- members -----------------------------------------------------------------------------------------------------

    def join(self, group: str, *members: ActorRef) -> None:
        """Enter actors of this node, each once for each time it is named; one that has ended is passed over.

        Raises ``CallerError`` for an actor of another node, which joins there.
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
            self._publish_own(group, GroupJoined(self.name, group, joined))

    def leave(self, group: str, *members: ActorRef) -> int:
        """Take actors out, each once for each time it is named; returns how many memberships that ended."""
        left = tuple(member for member in members if self._take_out(group, member, 1))
        if left:
            self._publish_own(group, GroupLeft(self.name, group, left))
        return len(left)

    def members(self, group: str) -> list[ActorRef]:
        """Return all members, on all nodes; one that joined twice stands there twice."""
        return [member for entered in self._members.get(group, {}).values() for member in entered.elements()]

    def local_members(self, group: str) -> list[ActorRef]:
        """Return the members on this node; one that joined twice stands there twice."""
        return list(self._members.get(group, {}).get(self._system.name, Counter[ActorRef]()).elements())

    def groups(self) -> list[str]:
        """Return the groups that have members, sorted."""
        return sorted(self._members)

    def broadcast(self, group: str, message: Message[object]) -> int:
        """Tell every member once, however often it has joined; returns how many were told."""
        members = dict.fromkeys(self.members(group))
        for member in members:
            deliver(member, message)
        return len(members)

    def _take_out(self, group: str, member: ActorRef, times: int) -> int:
        """End up to ``times`` memberships of one actor; returns how many there were to end."""
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
        return ended

    # --- other nodes -------------------------------------------------------------------------------------------------

    def enter(self, node: str, change: GroupChange) -> None:
        """Merge in what another node says of its own actors; who leaves more often than they joined leaves once."""
        group = change.group
        entered = self._members.setdefault(group, {}).setdefault(node, Counter())
        before = entered.copy()
        if isinstance(change, GroupJoined):
            entered.update(change.members)
        else:
            entered.subtract(change.members)
            for member in [member for member, times in entered.items() if times <= 0]:
                del entered[member]
        self._tidy(group, node)
        self._publish_difference(group, before, entered)

    def drop(self, node: str) -> None:
        """Forget all members of a node that is lost."""
        for group in [group for group, by_node in self._members.items() if node in by_node]:
            before = self._members[group].pop(node)
            self._members[group][node] = after = Counter[ActorRef]()
            self._tidy(group, node)
            self._publish_difference(group, before, after)

    def _tidy(self, group: str, node: str) -> None:
        if not self._members[group][node]:
            del self._members[group][node]
        if not self._members[group]:
            del self._members[group]

    def _publish_difference(self, group: str, before: Counter[ActorRef], after: Counter[ActorRef]) -> None:
        joined, left = tuple((after - before).elements()), tuple((before - after).elements())
        if joined:
            self._publish(group, GroupJoined(self.name, group, joined))
        if left:
            self._publish(group, GroupLeft(self.name, group, left))

    # --- monitors ----------------------------------------------------------------------------------------------------

    def monitor(self, group: str, watcher: ActorRef) -> None:
        """Tell ``watcher`` the ``GroupMembers`` now, then each ``GroupJoined`` and ``GroupLeft``, until it ends."""
        if self._add_monitor(group, watcher):
            deliver(watcher, GroupMembers(self.name, group, tuple(self.members(group))))

    def monitor_all(self, watcher: ActorRef) -> None:
        """Monitor every group of this scope, also those to come; one ``GroupMembers`` comes for each there is now."""
        if self._add_monitor(None, watcher):
            for group in self.groups():
                deliver(watcher, GroupMembers(self.name, group, tuple(self.members(group))))

    def demonitor(self, group: str | None, watcher: ActorRef) -> bool:
        """Undo ``monitor``, or with None ``monitor_all``; False when there was none.  What is under way arrives."""
        monitors = self._monitors.get(group, {})
        found = watcher in monitors
        monitors.pop(watcher, None)
        if found and not monitors:
            del self._monitors[group]
        if found:
            self._unwatch_if_unused(watcher)
        return found

    def _add_monitor(self, group: str | None, watcher: ActorRef) -> bool:
        cell = watcher._cell  # noqa: SLF001  a ref is the runtime's own
        if not cell.gone:
            self._monitors.setdefault(group, {})[watcher] = None
            self._groups_of.setdefault(watcher, {})
            cell.add_watcher(self)
        return not cell.gone

    def _publish_own(self, group: str, change: GroupChange) -> None:
        """Tell the monitors here and the other nodes what this node's actors have done."""
        self._publish(group, change)
        for listener in self._listeners:
            listener(change)

    def _publish(self, group: str, change: GroupChange) -> None:
        if self._monitors:
            for watcher in {**self._monitors.get(group, {}), **self._monitors.get(None, {})}:
                deliver(watcher, change)

    # --- ends --------------------------------------------------------------------------------------------------------

    def on_down(self, down: Down) -> None:
        """Let an actor that has ended leave everything; called before its ``Down`` is handled anywhere."""
        gone = down.ref
        for group in [group for group, monitors in self._monitors.items() if gone in monitors]:
            self.demonitor(group, gone)
        for group in list(self._groups_of.get(gone, ())):
            times = self._members[group][self._system.name][gone]
            self._take_out(group, gone, times)
            self._publish_own(group, GroupLeft(self.name, group, (gone,) * times))
        self._groups_of.pop(gone, None)

    def _unwatch_if_unused(self, ref: ActorRef) -> None:
        """Stop watching an actor that is neither a member nor a monitor any more."""
        if not self._groups_of.get(ref) and not any(ref in monitors for monitors in self._monitors.values()):
            self._groups_of.pop(ref, None)
            ref._cell.remove_watcher(self)  # noqa: SLF001  a ref is the runtime's own


class Groups(GroupScope):
    """The groups of a node, as ``node.groups``: the scope ``default``, and the door to the others."""

    def __init__(self, system: System) -> None:
        self.on_change: list[Callable[[GroupChange], None]] = []
        """Who is called with each change among this node's own members, in any scope."""
        super().__init__(DEFAULT_SCOPE, system, self.on_change)
        self._scopes: dict[str, GroupScope] = {DEFAULT_SCOPE: self}

    def scope(self, name: str) -> GroupScope:
        """Return the scope of this name, made at its first use."""
        if name not in self._scopes:
            self._scopes[name] = GroupScope(name, self._system, self.on_change)
        return self._scopes[name]

    def scopes(self) -> Iterable[str]:
        """Return the names of all scopes, sorted."""
        return sorted(self._scopes)
