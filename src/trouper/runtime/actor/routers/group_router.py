"""Group routers: a router in front of existing actors: refs, the actors of a service, or the members of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Self

import msgspec

from ...kernel.ref import ActorRef
from ..groups import DEFAULT_SCOPE, GroupJoined, GroupLeft, GroupMembers
from ..handlers import handler
from ..registry import Listing, ServiceKey
from .router import AnyRouting, Router
from .strategies import RoundRobin


class InGroup(msgspec.Struct, frozen=True):
    """The members of a group on all nodes, as in ``node.groups``.  scope: the name of the group's scope."""

    group: str
    scope: str = DEFAULT_SCOPE


Members = tuple[ActorRef, ...] | ServiceKey | InGroup


class GroupRouterActor(Router):
    """The actor behind a ``GroupRouter``."""

    def __init__(self, members: Members, routing: AnyRouting) -> None:
        super().__init__(routing)
        self._members = members

    def on_start(self) -> None:
        """Find the routees and subscribe to changes."""
        if isinstance(self._members, ServiceKey):
            self.node.registry.subscribe(self._members, self.ref)
            self._follow(self.node.registry.find(self._members))
        elif isinstance(self._members, InGroup):
            self.node.groups.scope(self._members.scope).monitor(self._members.group, self.ref)
            self._follow_group(self._members)
        else:
            for member in self._members:
                self.add(member)

    @handler
    def listing(self, message: Listing) -> None:
        """Follow the registry; a ``Listing`` of another key is routed as any message."""
        if message.key == self._members:
            self._follow(self.node.registry.find(message.key))
        else:
            self.route(message)

    @handler
    def group_changed(self, message: GroupMembers | GroupJoined | GroupLeft) -> None:
        """Follow the group; a change of another group is routed as any message."""
        if isinstance(self._members, InGroup) and self._members == InGroup(message.group, message.scope):
            self._follow_group(self._members)
        else:
            self.route(message)

    def controls(self) -> tuple[Callable[..., object], ...]:
        """Return the handlers of messages for the router itself."""
        return (*super().controls(), self.listing, self.group_changed)

    def _follow_group(self, wanted: InGroup) -> None:
        self._follow(self.node.groups.scope(wanted.scope).members(wanted.group))

    def _follow(self, members: Sequence[ActorRef]) -> None:
        """Set the routees to the present members: a change that waited in the mailbox may be outdated."""
        for routee in self.current:
            if routee not in members:
                self.remove(routee)
        for routee in members:
            self.add(routee)


class GroupRouter(partial[GroupRouterActor]):
    """A router of existing actors, to be spawned: ``await node.spawn(GroupRouter([a, b]))``.

    members: refs; or a ``ServiceKey``, for the actors registered under it on this node, now and later; or ``InGroup``,
        for the members of a group on all nodes.
    routing: the strategy; None is ``RoundRobin()``.
    The members are not children of the router: it neither supervises nor stops them.
    """

    def __new__(cls, members: Iterable[ActorRef] | ServiceKey | InGroup, *, routing: AnyRouting | None = None) -> Self:
        """Return what ``spawn`` takes; nothing is spawned yet."""
        source = members if isinstance(members, ServiceKey | InGroup) else tuple(members)
        return super().__new__(cls, GroupRouterActor, source, routing or RoundRobin())
