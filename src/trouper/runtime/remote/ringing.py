"""Ringing: the shell of ``rings``: looks for rings of asks through several nodes while handlers wait for other nodes.

It looks each ``LOOK_S`` while there are such asks, in one task for them all, and does nothing while there are none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, cast

from ..kernel.ask import Ask, Turn, is_ask
from ..kernel.errors import DeadlockError
from .cell import RemoteCell
from .rings import PROBE_AFTER_S, Effect, Exit, Refuse, RingCheck, RingProbe, Rings

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..kernel.messages import Message
    from .network import Network
    from .peer import Peer

LOOK_S = 0.1
"""Seconds between two looks at who waits."""


class Ringing:
    """See the top of the file."""

    def __init__(self, network: Network) -> None:
        self._system = network.system
        self._peers: dict[str, Peer] = {}
        self._graph = _Graph(self._peers, network.system.loop)
        self._rings = Rings(network.home.node, network.home.incarnation, self._graph)
        self._looking = False
        network.on_peer.append(self._linked)
        network.serves[RingProbe] = network.serves[RingCheck] = self._heard

    def _linked(self, peer: Peer, up: bool) -> None:
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
            while self._rings.kept or any(_handlers_wait(peer) for peer in self._peers.values()):
                await asyncio.sleep(LOOK_S)
                now = self._system.loop.time()
                waited = any(_oldest_at(peer) + PROBE_AFTER_S <= now for peer in self._peers.values())
                answers = [peer.answers for peer in self._peers.values()] if waited else []
                entries = [future for each in answers for future in each.waiting.values()]
                self._graph.asides.clear()
                self._carry_out(self._rings.look(entries, now))
        finally:
            self._looking = False

    def _heard(self, message: Message[object], peer: Peer) -> None:
        now = self._system.loop.time()
        if isinstance(message, RingProbe):
            self._carry_out(self._rings.hear_probe(message, peer.node, now))
        elif isinstance(message, RingCheck):
            self._carry_out(self._rings.hear_check(message, peer.node, now))
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
    """Who waits for whom on this node: asks are ``Ask``, handlers are ``Turn``.

    asides: the reentrant handlers of actors that were asked about, by the asks that they work on.  An actor may have
    thousands, so they are gone through once for each look, which clears it; what has begun since is seen by the next.
    """

    def __init__(self, peers: dict[str, Peer], loop: asyncio.AbstractEventLoop) -> None:
        self._peers, self._loop = peers, loop
        self.asides: dict[Cell, dict[Hashable, Turn]] = {}

    def unanswered(self, node: str, correlation: int) -> Hashable | None:
        """See ``Waits``."""
        peer = self._peers.get(node)
        return None if peer is None else peer.answers.waiting.get(correlation)

    def exit(self, ask: Hashable) -> Exit | None:
        """See ``Waits``."""
        if not is_ask(ask) or not isinstance(ask.target, RemoteCell):
            return None
        node = ask.target.home.node
        peer = self._peers.get(node)
        correlation = 0 if peer is None else peer.correlation_of(ask)
        return (node, correlation) if correlation else None

    def blocker(self, ask: Hashable) -> Hashable | None:
        """See ``Waits``.  An ask for a reentrant handler waits for nobody else; a cancelled handler is about to end."""
        if not is_ask(ask):
            return None
        cell = ask.target
        asides = self.asides.get(cell)
        if asides is None:
            asides = self.asides[cell] = {aside.item: aside for aside in cell.asides or () if is_ask(aside.item)}
        aside = asides.get(ask)
        at_work = cell.turn if aside is None or aside.item is not ask else aside
        if at_work is None or at_work.over or at_work.excuse is not None:
            return None
        if at_work.item is not ask and cell.admits_reentry(type(ask.message)):
            return None
        return at_work

    def waits_of(self, handler: Hashable) -> Sequence[Hashable]:
        """See ``Waits``.  Waiting for room is left out: a ring of that is not refused, but goes on without waiting."""
        assert isinstance(handler, Turn), "blocker() gave it"
        return sorted((wait for wait in handler.waits or () if is_ask(wait)), key=self._order)

    def _order(self, ask: Ask[object]) -> tuple[Exit, int]:
        return self.exit(ask) or ("", 0), ask.target.uid

    def address(self, handler: Hashable) -> str:
        """See ``Waits``."""
        assert isinstance(handler, Turn), "blocker() gave it"
        return str(handler.cell.address)

    def waited_s(self, ask: Hashable) -> float:
        """See ``Waits``."""
        assert is_ask(ask), "exit() knew it"
        return self._loop.time() - (ask.deadline - ask.timeout_s)
