"""Ringing: the shell of ``rings``: looks for rings of asks through several nodes while handlers wait for other nodes.

It looks each ``LOOK_S`` while there are such asks, in one task for them all, and does nothing while there are none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, cast

from ...kernel.ask import Ask, Invocation, is_ask
from ...kernel.errors import DeadlockError
from ..remote_cell import RemoteCell
from .deadlock import PROBE_AFTER_S, DeadlockCheck, DeadlockProbe, DeadlockSearch, Effect, Refuse, RemoteEdge

if TYPE_CHECKING:
    from ...kernel.cell import Cell
    from ...kernel.message import Message
    from ..network import Network
    from ..peer import Peer

LOOK_S = 0.1
"""Seconds between two looks at who waits."""


class DeadlockDetector:
    """See the top of the file."""

    def __init__(self, network: Network) -> None:
        self._system = network.system
        self._peers: dict[str, Peer] = {}
        self._graph = _Graph(self._peers, network.system.loop)
        self._search = DeadlockSearch(network.node_id.node, network.node_id.generation, self._graph)
        self._looking = False
        network.on_peer.append(self._on_peer)
        network.request_handlers[DeadlockProbe] = network.request_handlers[DeadlockCheck] = self._on_message

    def _on_peer(self, peer: Peer, up: bool) -> None:
        if up:
            self._peers[peer.node] = peer
            peer.on_wait = self._begin
            if peer.asks:  # it was spoken to before there was a link
                self._begin()
        elif self._peers.get(peer.node) is peer:
            del self._peers[peer.node]

    def _begin(self) -> None:
        """Look from now on, unless that is being done, or it is too late for it."""
        if not self._looking and not self._system.closing:
            self._looking = True
            self._system.background(self._look())

    async def _look(self) -> None:
        try:
            while self._search.kept or any(_handlers_wait(peer) for peer in self._peers.values()):
                await asyncio.sleep(LOOK_S)
                now = self._system.loop.time()
                waited = any(_oldest_at(peer) + PROBE_AFTER_S <= now for peer in self._peers.values())
                incoming_asks = [peer.incoming_asks for peer in self._peers.values()] if waited else []
                entries = [future for each in incoming_asks for future in each.waiting.values()]
                self._graph.reentrant_invocations.clear()
                self._carry_out(self._search.look(entries, now))
        finally:
            self._looking = False

    def _on_message(self, message: Message[object], peer: Peer) -> None:
        now = self._system.loop.time()
        if isinstance(message, DeadlockProbe):
            self._carry_out(self._search.on_probe(message, peer.node, now))
        elif isinstance(message, DeadlockCheck):
            self._carry_out(self._search.on_check(message, peer.node, now))
        self._begin()  # what is remembered is forgotten in time

    def _carry_out(self, wanted: Sequence[Effect]) -> None:
        for effect in wanted:
            if isinstance(effect, Refuse):
                ask = cast("Ask[object]", effect.ask)
                ask.refuse(DeadlockError(effect.cycle))
                ask.target.abandon(ask)
            elif effect.node in self._peers:
                self._peers[effect.node].control(effect.message)


def _handlers_wait(peer: Peer) -> bool:
    return any(ask.asker is not None for ask in peer.asks.values())


def _oldest_at(peer: Peer) -> float:
    """Return when the oldest ask was made that the node has not answered."""
    for ask in peer.asks.values():
        return ask.deadline - ask.timeout_s
    return float("inf")


class _Graph:
    """Who waits for whom on this node: asks are ``Ask``, handlers are ``Invocation``.

    asides: the reentrant handlers of actors that were asked about, by the asks that they work on.  An actor may have
    thousands, so they are gone through once for each look, which clears it; what has begun since is seen by the next.
    """

    def __init__(self, peers: dict[str, Peer], loop: asyncio.AbstractEventLoop) -> None:
        self._peers, self._loop = peers, loop
        self.reentrant_invocations: dict[Cell, dict[Hashable, Invocation]] = {}

    def unanswered(self, node: str, correlation: int) -> Hashable | None:
        """See ``WaitForGraph``."""
        peer = self._peers.get(node)
        return None if peer is None else peer.incoming_asks.waiting.get(correlation)

    def remote_edge(self, ask: Hashable) -> RemoteEdge | None:
        """See ``WaitForGraph``."""
        if not is_ask(ask) or not isinstance(ask.target, RemoteCell):
            return None
        node = ask.target.node_id.node
        peer = self._peers.get(node)
        correlation = 0 if peer is None else peer.correlation_of(ask)
        return (node, correlation) if correlation else None

    def blocker(self, ask: Hashable) -> Hashable | None:
        """See ``WaitForGraph``.  An ask for a reentrant handler waits for nobody else; a cancelled handler is about to end."""
        if not is_ask(ask):
            return None
        cell = ask.target
        reentrant_invocations = self.reentrant_invocations.get(cell)
        if reentrant_invocations is None:
            reentrant_invocations = self.reentrant_invocations[cell] = {
                aside.item: aside for aside in cell.reentrant_invocations or () if is_ask(aside.item)
            }
        aside = reentrant_invocations.get(ask)
        at_work = cell.invocation if aside is None or aside.item is not ask else aside
        if at_work is None or at_work.finished or at_work.cancel_reason is not None:
            return None
        if at_work.item is not ask and cell.admits_reentry(type(ask.message)):
            return None
        return at_work

    def waits_of(self, handler: Hashable) -> Sequence[Hashable]:
        """See ``WaitForGraph``.  Waiting for room is left out: a ring of that is not refused, but goes on without waiting."""
        assert isinstance(handler, Invocation), "blocker() gave it"
        return sorted((wait for wait in handler.waits or () if is_ask(wait)), key=self._order)

    def _order(self, ask: Ask[object]) -> tuple[RemoteEdge, int]:
        return self.remote_edge(ask) or ("", 0), ask.target.uid

    def address(self, handler: Hashable) -> str:
        """See ``WaitForGraph``."""
        assert isinstance(handler, Invocation), "blocker() gave it"
        return str(handler.cell.address)

    def waited_s(self, ask: Hashable) -> float:
        """See ``WaitForGraph``."""
        assert is_ask(ask), "exit() knew it"
        return self._loop.time() - (ask.deadline - ask.timeout_s)
