"""``ClusterServices``: services that actors offer to the whole cluster, as ``node.cluster.services``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ... import ActorRef, Down, Message
from ...lowlevel import handled_types
from .events import ClusterEvent, ClusterServicesChanged
from .services import Service, ServiceDescription, fits, make_offer

if TYPE_CHECKING:
    from .api import Cluster


class ClusterServices:
    """Registers offers of actors of this node, and finds offers of all nodes.

    Any number of actors may offer one service, on any nodes; an offer ends with its actor and with its node.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def register(
        self,
        name: str,
        ref: ActorRef,
        capabilities: Mapping[str, str] | None = None,
        events: Iterable[str] = (),
    ) -> None:
        """Offer an actor of this node as a service, until it ends; another call replaces its offer.

        name: of the service, 1 to 256 bytes.  capabilities: pairs that ``find`` compares.  events: topics whose
        messages the actor handles; it is subscribed to them.  Raises ``CallerError`` for an actor of another node or
        an ended one, ``InvalidOption`` for an offer above 8 KiB, ``RowFull`` above 1,000 offers of this node.
        """
        shared_state, topics = self._cluster.shared_state, tuple(events)
        shared_state.watch_owner(ref, "the service", name)
        offer = make_offer(capabilities or {}, topics, _handled(ref))
        shared_state.tables.services.offer(name, ref, offer)
        for topic in topics:
            self._cluster.topics.subscribe(topic, ref)

    def unregister(self, name: str, ref: ActorRef) -> bool:
        """Withdraw an offer; return False when there is none.  The actor stays subscribed to its topics."""
        return self._cluster.shared_state.tables.services.withdraw(name, ref)

    def find(self, name: str, **capabilities: str) -> list[Service[ActorRef]]:
        """Return the offers of a service that have all these capabilities, sorted by node and path."""
        return self._sorted(
            service for service in self._all() if service.name == name and fits(service.offer, capabilities)
        )

    async def watch(self, name: str, **capabilities: str) -> AsyncIterator[list[Service[ActorRef]]]:
        """Yield the offers that ``find`` returns: the present ones, and all of them again after each change."""
        with self._cluster.ctx.events.stream(ClusterServicesChanged) as stream:
            found = self.find(name, **capabilities)
            yield found
            async for event in stream:
                if event.name == name and (now := self.find(name, **capabilities)) != found:
                    found = now
                    yield found

    def describe(self) -> list[ServiceDescription]:
        """Return all services of the cluster in plain values, for a program without the message classes."""
        return [service.describe(str(service.ref.address)) for service in self._sorted(self._all())]

    def _all(self) -> Iterator[Service[ActorRef]]:
        table = self._cluster.shared_state.tables.services.table
        return (Service(name, node, ref, offer) for node, (name, ref), offer in table.rows())

    @staticmethod
    def _sorted(services: Iterable[Service[ActorRef]]) -> list[Service[ActorRef]]:
        return sorted(services, key=lambda service: (service.name, service.node, service.ref.address.path))


def _handled(ref: ActorRef) -> list[type[Message[object]]]:
    """Return the message types that an actor handles, without those that only the runtime sends."""
    return [type_ for type_ in handled_types(ref) if not (issubclass(type_, Down | ClusterEvent) or type_.__local__)]
