"""``AskGraph``: which handlers of a node wait for which asks, and which handlers keep asks waiting.

A search for deadlocks between nodes reads it.  An ask is an ``Ask``, a handler an ``Invocation``; the reader only
compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, cast

from ..kernel.ask import Ask, Invocation, is_ask
from ..kernel.errors import DeadlockError
from .remote_cell import RemoteCell

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from .network import Network
    from .peer import Peer


class AskGraph:
    """The wait-for graph of one node, at this moment.

    network: of the node.  Nothing is seen before ``watch``.
    """

    def __init__(self, network: Network) -> None:
        self._network, self._loop = network, network.system.loop
        self._on_wait: Callable[[], None] | None = None
        self._peers: dict[str, Peer] = {}
        # The reentrant handlers of actors that were asked about, by the asks that they work on.  An actor may have
        # thousands, so they are read once for each scan; what has begun since is seen by the next scan.
        self._reentrant: dict[Cell, dict[Hashable, Invocation]] = {}

    def watch(self, on_wait: Callable[[], None]) -> Callable[[], None]:
        """Call a quick function whenever a handler begins to wait for another node; returns what ends that."""
        self._on_wait = on_wait
        unwatch_peers = self._network.watch_peers(self._on_peer)
        for peer in self._network.peers.values():
            self._on_peer(peer, True)

        def unwatch() -> None:
            unwatch_peers()
            for peer in self._peers.values():
                peer.on_wait = None
            self._peers.clear()

        return unwatch

    def _on_peer(self, peer: Peer, up: bool) -> None:
        if up:
            self._peers[peer.node] = peer
            peer.on_wait = self._on_wait
            if peer.asks and self._on_wait is not None:  # asks were sent before there was a session
                self._on_wait()
        elif self._peers.get(peer.node) is peer:
            del self._peers[peer.node]

    # --- a scan ------------------------------------------------------------------------------------------------------

    @property
    def has_waits(self) -> bool:
        """Whether any handler waits for another node."""
        return any(ask.asker is not None for peer in self._peers.values() for ask in peer.asks.values())

    def begin_scan(self, waited_s: float) -> Sequence[Hashable]:
        """Begin to read the graph; returns the asks of other nodes that wait here.

        waited_s: none is returned while no ask of this node has waited for another node for so many seconds.
        """
        self._reentrant.clear()
        before = self._loop.time() - waited_s
        if not any(_oldest_at(peer) <= before for peer in self._peers.values()):
            return []
        return [future for peer in self._peers.values() for future in peer.incoming_asks.waiting.values()]

    def refuse(self, ask: Hashable, cycle: tuple[str, ...]) -> None:
        """Fail an ask with ``DeadlockError``, which names the cycle of addresses, and cancel it where it went."""
        refused = cast("Ask[object]", ask)
        refused.refuse(DeadlockError(cycle))
        refused.target.abandon(refused)

    # --- edges -------------------------------------------------------------------------------------------------------

    def unanswered(self, node: str, correlation: int) -> Hashable | None:
        """Return the ask of another node that has this correlation; None when it has ended."""
        peer = self._peers.get(node)
        return None if peer is None else peer.incoming_asks.waiting.get(correlation)

    def remote_edge(self, ask: Hashable) -> tuple[str, int] | None:
        """Return the node and the correlation of an ask that has left for there; None for any other, and once ended."""
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
        reentrant = self._reentrant.get(cell)
        if reentrant is None:
            reentrant = self._reentrant[cell] = {
                invocation.item: invocation
                for invocation in cell.reentrant_invocations or ()
                if is_ask(invocation.item)
            }
        own = reentrant.get(ask)
        at_work = cell.invocation if own is None or own.item is not ask else own
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

    def _order(self, ask: Ask[object]) -> tuple[tuple[str, int], int]:
        return self.remote_edge(ask) or ("", 0), ask.target.uid

    def address(self, handler: Hashable) -> str:
        """Return the address of a handler's actor."""
        assert isinstance(handler, Invocation), "blocker() gave it"
        return str(handler.cell.address)

    def waited_s(self, ask: Hashable) -> float:
        """Return for how long an ask has waited on this node, in seconds."""
        assert is_ask(ask), "remote_edge() knew it"
        return self._loop.time() - (ask.deadline - ask.timeout_s)


def _oldest_at(peer: Peer) -> float:
    """Return when the oldest ask was made that the node has not answered; inf for none."""
    for ask in peer.asks.values():
        return ask.deadline - ask.timeout_s
    return float("inf")
