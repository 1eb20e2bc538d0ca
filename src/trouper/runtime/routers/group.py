"""Group routers: a router in front of actors that others have spawned, given as refs or by a service key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Self

from ..handlers import handler
from ..kernel.ref import ActorRef
from ..registry import Listing, ServiceKey
from .router import AnyRouting, Router
from .routing import RoundRobin


class GroupRouterActor(Router):
    """The actor behind a ``GroupRouter``."""

    def __init__(self, members: tuple[ActorRef, ...] | ServiceKey, routing: AnyRouting) -> None:
        super().__init__(routing)
        self._members = members

    def on_start(self) -> None:
        """Find the routees, and hear of changes."""
        if isinstance(self._members, ServiceKey):
            self.node.registry.subscribe(self._members, self.ref)
            self._follow(self._members)
        else:
            for member in self._members:
                self.add(member)

    @handler
    def listing(self, message: Listing) -> None:
        """Follow the registry; a listing of another key is a message like any other."""
        if message.key == self._members:
            self._follow(message.key)
        else:
            self.route(message)

    def controls(self) -> tuple[Callable[..., object], ...]:
        """Return the handlers of what is meant for the router itself."""
        return (*super().controls(), self.listing)

    def _follow(self, key: ServiceKey) -> None:
        """Take the routees that are registered now: a listing that waited in the mailbox may be old."""
        registered = self.node.registry.find(key)
        for routee in self.current:
            if routee not in registered:
                self.remove(routee)
        for routee in registered:
            self.add(routee)


class GroupRouter(partial[GroupRouterActor]):
    """What to spawn for a router of existing actors: ``await node.spawn(GroupRouter([a, b]))``.

    members: refs, or a ``ServiceKey``: whoever is registered under it, now and later.
    routing: the strategy.  The members are not the router's children: it neither supervises nor stops them.
    """

    def __new__(cls, members: Iterable[ActorRef] | ServiceKey, *, routing: AnyRouting | None = None) -> Self:
        """Make the recipe; nothing is spawned yet."""
        source = members if isinstance(members, ServiceKey) else tuple(members)
        return super().__new__(cls, GroupRouterActor, source, routing or RoundRobin())
