"""``TopicTable``: which nodes a message of a topic goes to, and to whom there; at most once (PURE).

A node subscribes to a topic while at least one actor of it does, and all nodes know the topics of all nodes.  Who
publishes sends one copy to each node that subscribes, and that node gives it to its own subscribers; what came in over
the network is never sent on, so that no subscriber gets a message twice.  Nothing is kept or sent again: a subscriber
that is not known yet where the message is published, or is cut off, does not get it.

Each public method is one event and returns the effects, to be carried out in order.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec

from ...runtime.gossip.versioned_table import Announce, Change, Delta, DeltaRefused, Resync, VersionedTable

Ref = TypeVar("Ref", bound=Hashable)
Effect: TypeAlias = Announce[str, Literal[True]] | Resync | DeltaRefused


class FanOut(msgspec.Struct, Generic[Ref], frozen=True):
    """Where one message goes: to these actors of this node, and once to each of these other nodes."""

    local: tuple[Ref, ...]
    nodes: tuple[str, ...]


class TopicTable(Generic[Ref]):
    """One node's subscribers, and its copy of the topics of all nodes.

    rows: for the exchange with others (``digest``, ``deltas_for``).  topics_max: the most topics of one node.
    """

    __slots__ = ("_local", "_nodes", "table")

    def __init__(self, node: str, generation: int, topics_max: int = 100_000) -> None:
        self.table: VersionedTable[str, Literal[True]] = VersionedTable(node, generation, entries_max=topics_max)
        self._local: dict[str, dict[Ref, None]] = {}
        self._nodes: dict[str, set[str]] = {}

    def subscribe(self, topic: str, ref: Ref) -> list[Effect]:
        """Let an actor of this node subscribe; a second time changes nothing.  Raises ``RowFull`` at ``topics_max``."""
        delta = self.table.put(topic, True)
        self._local.setdefault(topic, {})[ref] = None
        return [] if delta is None else [Announce(delta)]

    def unsubscribe(self, topic: str, ref: Ref) -> list[Effect]:
        """Let an actor of this node subscribe no more; nothing happens when it does not."""
        subscribers = self._local.get(topic)
        if subscribers is None or ref not in subscribers:
            return []
        del subscribers[ref]
        if subscribers:
            return []
        del self._local[topic]
        delta = self.table.put(topic, None)
        return [] if delta is None else [Announce(delta)]

    def gone(self, ref: Ref) -> list[Effect]:
        """Let an actor of this node, which has ended, subscribe to nothing."""
        topics = [topic for topic, subscribers in self._local.items() if ref in subscribers]
        return [effect for topic in topics for effect in self.unsubscribe(topic, ref)]

    def publish(self, topic: str) -> FanOut[Ref]:
        """Return where a message goes that an actor of this node publishes."""
        return FanOut(self.receive(topic), tuple(sorted(self._nodes.get(topic, ()))))

    def receive(self, topic: str) -> tuple[Ref, ...]:
        """Return to whom here a message goes that another node has sent, in the order of their subscribing."""
        return tuple(self._local.get(topic, ()))

    def merge(self, delta: Delta[str, Literal[True]]) -> list[Effect]:
        """Take in which topics another node wants, from it or from anybody who knows."""
        applied = self.table.apply(delta)
        self._changed(applied.changes)
        return [*self.table.effects_of(delta, applied)]

    def up(self, node: str, generation: int) -> list[Effect]:
        """Note a member of the cluster; what its earlier life wanted is gone."""
        self._changed(self.table.up(node, generation))
        return []

    def down(self, node: str) -> list[Effect]:
        """Note that a node is no member of the cluster any more; nothing is sent to it."""
        self._changed(self.table.down(node))
        return []

    def _changed(self, changes: Iterable[Change[str, Literal[True]]]) -> None:
        for change in changes:
            if change.after is not None:
                self._nodes.setdefault(change.key, set()).add(change.owner)
            elif nodes := self._nodes.get(change.key):
                nodes.discard(change.owner)
                if not nodes:
                    del self._nodes[change.key]
