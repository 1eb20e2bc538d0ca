"""Look-ups in the registries of all linked nodes at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..kernel.errors import ActorError
from ..kernel.messages import Message
from ..kernel.ref import ActorRef
from ..registry import ServiceKey
from .control import Find

if TYPE_CHECKING:
    from ..registry import Registry
    from .network import Network
    from .peer import Peer

REFS_MAX = 10_000
"""Refs in one answer."""


class Offers(Message[list[ActorRef]], tag="trouper.Offers"):
    """Who offers this service there?"""

    key: ServiceKey


class Lookups:
    """Asks the registry of this node and those of all linked nodes, as ``node.network.lookups``.

    A node that does not answer in the node's ``ask_timeout_s``, or is lost meanwhile, is left out.
    """

    def __init__(self, network: Network, registry: Registry) -> None:
        self._network, self._registry = network, registry
        network.serves[Offers] = self._answer

    async def whereis(self, name: str) -> dict[str, ActorRef]:
        """Return who has this name, by node: a name is unique on its node, not among nodes."""
        own = self._registry.whereis(name)
        found = {} if own is None else {self._network.home.node: own}
        for peer, ref in await self._ask_all(Find(name)):
            if isinstance(ref, ActorRef):
                found[peer.node] = ref
        return found

    async def find(self, key: ServiceKey) -> list[ActorRef]:
        """Return all actors that offer a service: those of this node first, then node by node in the order of names."""
        found = list(self._registry.find(key))
        for _, refs in await self._ask_all(Offers(key)):
            if isinstance(refs, list):
                found += refs
        return found

    async def _ask_all(self, question: Message[object]) -> list[tuple[Peer, object]]:
        peers = [peer for _, peer in sorted(self._network.peers.items())]
        answers = await asyncio.gather(*(peer.door.ask(question) for peer in peers), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, ActorError):
                raise answer
        return [(peer, answer) for peer, answer in zip(peers, answers, strict=True)]

    def _answer(self, message: Message[object], _: Peer) -> object:
        assert isinstance(message, Offers), "it is entered for this one"
        return list(self._registry.find(message.key))[:REFS_MAX]
