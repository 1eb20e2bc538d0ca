"""``ClusterServices``: what actors offer to the whole cluster, as ``node.cluster.services``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, cast

from ...runtime.kernel.message import Message
from ...runtime.kernel.ref import ActorRef, Down
from .events import ClusterEvent, ClusterServicesChanged
from .services import Service, ServiceDescription, fits, make_offer

if TYPE_CHECKING:
    from .api import Cluster


class ClusterServices:
    """See the top of the file.

    Any number of actors may offer one service, on any nodes; an offer is gone with its actor, and with its node.
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
        """Offer an actor of this node to the cluster, until it ends; another time replaces what it offers.

        capabilities: what it can do, in words that ``find`` compares.  events: topics whose messages it handles; it is
        subscribed to them.  Raises ``CallerError`` for an actor of another node, ``InvalidOption`` for an offer above
        8 KiB, ``RowFull`` for too many.
        """
        shared_state, topics = self._cluster.shared_state, tuple(events)
        shared_state.watch_owner(ref, "the service", name)
        offer = make_offer(capabilities or {}, topics, _handled(ref))
        shared_state.apply_own("services", shared_state.tables.services.put((name, ref), offer))
        for topic in topics:
            self._cluster.topics.subscribe(topic, ref)

    def unregister(self, name: str, ref: ActorRef) -> bool:
        """Take an offer back; False when there was none.  The actor stays subscribed to its topics."""
        shared_state = self._cluster.shared_state
        effects = shared_state.tables.services.put((name, ref), None)
        shared_state.apply_own("services", effects)
        return bool(effects)

    def find(self, name: str, **capabilities: str) -> list[Service[ActorRef]]:
        """Return who offers a service and has all these capabilities, in the order of their addresses."""
        return [service for service in self._all() if service.name == name and fits(service.offer, capabilities)]

    async def watch(self, name: str, **capabilities: str) -> AsyncIterator[list[Service[ActorRef]]]:
        """Go through who offers a service: those of now, and again all of them after each change."""
        with self._cluster.node.events.stream(ClusterServicesChanged) as stream:
            found = self.find(name, **capabilities)
            yield found
            async for event in stream:
                if event.name == name and (now := self.find(name, **capabilities)) != found:
                    found = now
                    yield found

    def describe(self) -> list[ServiceDescription]:
        """Return all services of the cluster in plain values, for a program that has none of the classes."""
        return [service.describe(str(service.ref.address)) for service in self._all()]

    def _all(self) -> list[Service[ActorRef]]:
        table = self._cluster.shared_state.tables.services.table
        found = [Service(name, node, ref, offer) for node, (name, ref), offer in table.items()]
        return sorted(found, key=lambda service: (service.name, service.node, service.ref.address.path))


def _handled(ref: ActorRef) -> list[type[Message[object]]]:
    """Return the types of messages that an actor handles and that others send."""
    types = cast("Iterable[type[Message[object]]]", ref._cell.handler_table.entries)  # noqa: SLF001  a ref is the runtime's own
    return [type_ for type_ in types if not (issubclass(type_, Down | ClusterEvent) or type_.__local__)]
