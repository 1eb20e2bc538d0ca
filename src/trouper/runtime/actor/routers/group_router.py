"""Group routers: a router in front of actors that others have spawned: refs, a service, or the members of a group."""

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
    """The members of a group, on all nodes, as ``node.groups`` shows them."""

    group: str
    scope: str = DEFAULT_SCOPE


Members = tuple[ActorRef, ...] | ServiceKey | InGroup


class GroupRouterActor(Router):
    """The actor behind a ``GroupRouter``."""

    def __init__(self, members: Members, routing: AnyRouting) -> None:
        super().__init__(routing)
        self._members = members

    def on_start(self) -> None:
        """Find the routees, and hear of changes."""
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
        """Follow the registry; a listing of another key is a message like any other."""
        if message.key == self._members:
            self._follow(self.node.registry.find(message.key))
        else:
            self.route(message)

    @handler
    def group_changed(self, message: GroupMembers | GroupJoined | GroupLeft) -> None:
        """Follow the group; news of another one is a message like any other."""
        if isinstance(self._members, InGroup) and self._members == InGroup(message.group, message.scope):
            self._follow_group(self._members)
        else:
            self.route(message)

    def controls(self) -> tuple[Callable[..., object], ...]:
        """Return the handlers of what is meant for the router itself."""
        return (*super().controls(), self.listing, self.group_changed)

    def _follow_group(self, wanted: InGroup) -> None:
        self._follow(self.node.groups.scope(wanted.scope).members(wanted.group))

    def _follow(self, members: Sequence[ActorRef]) -> None:
        """Take the routees of now: news that waited in the mailbox may be old."""
        for routee in self.current:
            if routee not in members:
                self.remove(routee)
        for routee in members:
            self.add(routee)


class GroupRouter(partial[GroupRouterActor]):
    """What to spawn for a router of existing actors: ``await node.spawn(GroupRouter([a, b]))``.

    members: refs; or a ``ServiceKey``, whoever is registered under it on this node, now and later; or ``InGroup``,
    whoever is in a group, on any node.
    routing: the strategy.  The members are not the router's children: it neither supervises nor stops them.
    """

    def __new__(cls, members: Iterable[ActorRef] | ServiceKey | InGroup, *, routing: AnyRouting | None = None) -> Self:
        """Make the recipe; nothing is spawned yet."""
        source = members if isinstance(members, ServiceKey | InGroup) else tuple(members)
        return super().__new__(cls, GroupRouterActor, source, routing or RoundRobin())
