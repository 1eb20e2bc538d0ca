"""Look-ups in the registries of all connected nodes at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...actor.registry import ServiceKey
from ...kernel.errors import ActorError
from ...kernel.message import Message
from ...kernel.ref import ActorRef
from ...net.control import FindActor

if TYPE_CHECKING:
    from ...actor.registry import Registry
    from ...net.network import Network
    from ...net.peer import Peer

REFS_MAX = 10_000
"""Refs in one answer."""


class FindService(Message[list[ActorRef]], tag="trouper.FindService"):
    """Return the actors that offer a service on the receiving node."""

    key: ServiceKey


class RegistryLookup:
    """Asks the registry of this node and those of all connected nodes, as ``node.network.lookups``.

    A node that does not answer within the node's ``ask_timeout_s``, or is lost meanwhile, is left out.
    """

    def __init__(self, network: Network, registry: Registry) -> None:
        self._network, self._registry = network, registry
        network.request_handlers.serve(FindService, self._answer, owner="registry", allow="anyone")

    async def whereis(self, name: str) -> dict[str, ActorRef]:
        """Return the actors that have this registered name, by node: a name is unique on its node, not among nodes."""
        own = self._registry.whereis(name)
        found = {} if own is None else {self._network.node_id.name: own}
        for peer, ref in await self._ask_all(FindActor(name)):
            if isinstance(ref, ActorRef):
                found[peer.node] = ref
        return found

    async def find(self, key: ServiceKey) -> list[ActorRef]:
        """Return all actors that offer a service: first those of this node, then node by node in the order of names."""
        found = list(self._registry.find(key))
        for _, refs in await self._ask_all(FindService(key)):
            if isinstance(refs, list):
                found += refs
        return found

    async def _ask_all(self, request: Message[object]) -> list[tuple[Peer, object]]:
        peers = [peer for _, peer in sorted(self._network.peers.items())]
        incoming_asks = await asyncio.gather(*(peer.control_ref.ask(request) for peer in peers), return_exceptions=True)
        for answer in incoming_asks:
            if isinstance(answer, BaseException) and not isinstance(answer, ActorError):
                raise answer
        return [(peer, answer) for peer, answer in zip(peers, incoming_asks, strict=True)]

    def _answer(self, message: Message[object], _: Peer) -> object:
        assert isinstance(message, FindService), "it is registered for this one"
        return list(self._registry.find(message.key))[:REFS_MAX]
