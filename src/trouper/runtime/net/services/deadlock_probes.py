"""Deadlock detection between nodes: carries out what ``deadlock`` decides, while handlers wait for other nodes.

It scans each ``SCAN_S`` while there are such asks, in one task for all of them, and does nothing while there are none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, cast

from ...kernel.ask import Ask, Invocation, is_ask
from ...kernel.errors import DeadlockError
from ..remote_cell import RemoteCell
from .deadlock import PROBE_AFTER_S, DeadlockCheck, DeadlockProbe, DeadlockSearch, Effect, RefuseAsk, RemoteEdge

if TYPE_CHECKING:
    from ...kernel.cell import Cell
    from ...kernel.message import Message
    from ..network import Network
    from ..peer import Peer

SCAN_S = 0.1
"""Seconds between two scans of the asks that wait."""


class DeadlockDetector:
    """Finds deadlocks between this node and others, and refuses one ask of each."""

    def __init__(self, network: Network) -> None:
        self._system = network.system
        self._peers: dict[str, Peer] = {}
        self._graph = _Graph(self._peers, network.system.loop)
        self._search = DeadlockSearch(network.node_id.name, network.node_id.generation, self._graph)
        self._scaning = False
        network.watch_peers(self._on_peer)
        for type_ in (DeadlockProbe, DeadlockCheck):
            network.request_handlers.serve(type_, self._on_message, owner="deadlock")

    def _on_peer(self, peer: Peer, up: bool) -> None:
        if up:
            self._peers[peer.node] = peer
            peer.on_wait = self._begin
            if peer.asks:  # asks were sent before there was a session
                self._begin()
        elif self._peers.get(peer.node) is peer:
            del self._peers[peer.node]

    def _begin(self) -> None:
        """Start scanning, unless it is being done, or the node shuts down."""
        if not self._scaning and not self._system.closing:
            self._scaning = True
            self._system.background(self._scan())

    async def _scan(self) -> None:
        try:
            while self._search.kept or any(_handlers_wait(peer) for peer in self._peers.values()):
                await asyncio.sleep(SCAN_S)
                now = self._system.loop.time()
                waited = any(_oldest_at(peer) + PROBE_AFTER_S <= now for peer in self._peers.values())
                incoming_asks = [peer.incoming_asks for peer in self._peers.values()] if waited else []
                entries = [future for each in incoming_asks for future in each.waiting.values()]
                self._graph.reentrant_invocations.clear()
                self._carry_out(self._search.scan(entries, now))
        finally:
            self._scaning = False

    def _on_message(self, message: Message[object], peer: Peer) -> None:
        now = self._system.loop.time()
        if isinstance(message, DeadlockProbe):
            self._carry_out(self._search.on_probe(message, peer.node, now))
        elif isinstance(message, DeadlockCheck):
            self._carry_out(self._search.on_check(message, peer.node, now))
        self._begin()  # so that what it remembers is dropped in time

    def _carry_out(self, wanted: Sequence[Effect]) -> None:
        for effect in wanted:
            if isinstance(effect, RefuseAsk):
                ask = cast("Ask[object]", effect.ask)
                ask.refuse(DeadlockError(effect.cycle))
                ask.target.abandon(ask)
            elif effect.node in self._peers:
                self._peers[effect.node].control(effect.message)


def _handlers_wait(peer: Peer) -> bool:
    return any(ask.asker is not None for ask in peer.asks.values())


def _oldest_at(peer: Peer) -> float:
    """Return when the oldest ask was made that the node has not answered; inf for none."""
    for ask in peer.asks.values():
        return ask.deadline - ask.timeout_s
    return float("inf")


class _Graph:
    """The wait-for graph of this node: asks are ``Ask``, handlers are ``Invocation``.

    reentrant: the reentrant handlers of actors that were asked about, by the asks that they work on.  An actor may have
    thousands, so they are read once for each scan, which clears this; what has begun since is seen by the next scan.
    """

    def __init__(self, peers: dict[str, Peer], loop: asyncio.AbstractEventLoop) -> None:
        self._peers, self._loop = peers, loop
        self.reentrant_invocations: dict[Cell, dict[Hashable, Invocation]] = {}

    def unanswered(self, node: str, correlation: int) -> Hashable | None:
        """Return the ask of another node that has this correlation; None when it has ended."""
        peer = self._peers.get(node)
        return None if peer is None else peer.incoming_asks.waiting.get(correlation)

    def remote_edge(self, ask: Hashable) -> RemoteEdge | None:
        """Return where an ask went that has left for another node; None for one that has not, or has ended."""
        if not is_ask(ask) or not isinstance(ask.target, RemoteCell):
            return None
        node = ask.target.node_id.name
        peer = self._peers.get(node)
        correlation = 0 if peer is None else peer.correlation_of(ask)
        return (node, correlation) if correlation else None

    def blocker(self, ask: Hashable) -> Hashable | None:
        """Return the handler that keeps an ask waiting.

        An ask for a reentrant handler waits for no other handler; a cancelled handler is about to end.
        """
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
        """Return the asks that a handler waits for.

        Waiting for capacity is left out: a cycle of such waits is not refused, but goes on without waiting.
        """
        assert isinstance(handler, Invocation), "blocker() gave it"
        return sorted((wait for wait in handler.waits or () if is_ask(wait)), key=self._order)

    def _order(self, ask: Ask[object]) -> tuple[RemoteEdge, int]:
        return self.remote_edge(ask) or ("", 0), ask.target.uid

    def address(self, handler: Hashable) -> str:
        """Return the address of a handler's actor."""
        assert isinstance(handler, Invocation), "blocker() gave it"
        return str(handler.cell.address)

    def waited_s(self, ask: Hashable) -> float:
        """Return for how long an ask has waited on this node, in seconds."""
        assert is_ask(ask), "exit() knew it"
        return self._loop.time() - (ask.deadline - ask.timeout_s)
