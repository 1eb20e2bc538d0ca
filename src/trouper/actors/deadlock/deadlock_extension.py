"""``DeadlockDetection``: carries out what the pure ``DeadlockSearch`` decides, while handlers wait for other nodes.

It scans each ``SCAN_S`` while there are such asks, in one task for all of them, and does nothing while there are none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ...lowlevel import AskGraph, Extension, NodeContext, NodeId, PeerEvent, PeerInfo, PeerUp
from .deadlock import PROBE_AFTER_S, DeadlockCheck, DeadlockProbe, DeadlockSearch, Effect, RefuseAsk

SCAN_S = 0.1
"""Seconds between two scans of the asks that wait."""


class DeadlockDetection(Extension, name="deadlock", on_workers=True):
    """Finds handlers on several nodes that wait for one another's asks, and refuses one ask of each cycle."""

    async def start(self, ctx: NodeContext) -> None:
        """Serve the probes of other nodes, and scan when a handler waits for one of them."""
        if ctx.network is None:
            return
        self._ctx, self._scanning = ctx, False
        self._node_ids: dict[str, NodeId] = {}
        self._graph = AskGraph(ctx.network)
        self._search = DeadlockSearch(ctx.node_id.name, ctx.node_id.generation, self._graph)
        ctx.peers.subscribe(self._on_peer)
        ctx.serve(DeadlockProbe, self._on_probe)
        ctx.serve(DeadlockCheck, self._on_check)
        ctx.until_end(self._graph.watch(self._begin))

    def _on_peer(self, event: PeerEvent) -> None:
        if isinstance(event, PeerUp):
            self._node_ids[event.node_id.name] = event.node_id
        elif self._node_ids.get(event.node_id.name) == event.node_id:
            del self._node_ids[event.node_id.name]

    def _begin(self) -> None:
        """Start scanning, unless it is being done, or the extension ends."""
        if not self._scanning and self._ctx.is_open:
            self._scanning = True
            self._ctx.run_in_background(self._scan())

    async def _scan(self) -> None:
        try:
            while self._search.kept or self._graph.has_waits:
                await asyncio.sleep(SCAN_S)
                entries = self._graph.begin_scan(PROBE_AFTER_S)
                self._carry_out(self._search.scan(entries, self._ctx.clock.now()))
        finally:
            self._scanning = False

    def _on_probe(self, message: DeadlockProbe, peer: PeerInfo) -> None:
        self._carry_out(self._search.on_probe(message, peer.node_id.name, self._ctx.clock.now()))
        self._begin()  # so that what it remembers is dropped in time

    def _on_check(self, message: DeadlockCheck, peer: PeerInfo) -> None:
        self._carry_out(self._search.on_check(message, peer.node_id.name, self._ctx.clock.now()))
        self._begin()

    def _carry_out(self, wanted: Sequence[Effect]) -> None:
        for effect in wanted:
            if isinstance(effect, RefuseAsk):
                self._graph.refuse(effect.ask, effect.cycle)
            elif effect.node in self._node_ids:
                self._ctx.send(self._node_ids[effect.node], effect.message)
