"""``TopicTable``: the nodes that a message of a topic is sent to, and its subscribers there; at most once.

A node subscribes to a topic while at least one of its actors does, and all nodes know the topics of all nodes.  The
publisher sends one copy to each subscribed node, and that node gives it to its own subscribers; a message from the
network is never forwarded, so no subscriber gets a message twice.  Nothing is stored or sent again: a subscriber that
the publishing node does not know yet, or cannot reach, does not get the message.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, Literal, TypeVar

import msgspec

from ...lowlevel import ReplicatedTable, RowChanged, TableLimits

Ref = TypeVar("Ref", bound=Hashable)
TOPICS_LIMITS = TableLimits(rows_max=100_000, row_bytes_max=512)


class FanOut(msgspec.Struct, Generic[Ref], frozen=True):
    """The receivers of one message: these actors of this node, and once each of these other nodes."""

    local: tuple[Ref, ...]
    nodes: tuple[str, ...]


class TopicTable(Generic[Ref]):
    """One node's subscribers, and its view of the topics of all nodes.  table: the topics by node."""

    __slots__ = ("_local", "_nodes", "_topics_of", "table")

    def __init__(self, table: ReplicatedTable[str, Literal[True]]) -> None:
        self.table = table
        self._local: dict[str, dict[Ref, None]] = {}
        self._nodes: dict[str, set[str]] = {}
        self._topics_of: dict[Ref, dict[str, None]] = {}
        """The topics that each actor of this node subscribes to, so that its end costs no search."""
        table.subscribe(self._changed)

    def subscribe(self, topic: str, ref: Ref) -> None:
        """Subscribe an actor of this node; a second time changes nothing.  Raises ``RowFull`` at the table's limits."""
        self.table.put(topic, True)
        self._local.setdefault(topic, {})[ref] = None
        self._topics_of.setdefault(ref, {})[topic] = None

    def unsubscribe(self, topic: str, ref: Ref) -> None:
        """Unsubscribe an actor of this node; nothing happens when it is not subscribed."""
        topics = self._topics_of.get(ref)
        if topics is None or topic not in topics:
            return
        del topics[topic]
        if not topics:
            del self._topics_of[ref]
        subscribers = self._local[topic]
        del subscribers[ref]
        if not subscribers:
            del self._local[topic]
            self.table.remove(topic)

    def actor_ended(self, ref: Ref) -> None:
        """Unsubscribe an actor of this node that has ended from all topics."""
        for topic in tuple(self._topics_of.get(ref, ())):
            self.unsubscribe(topic, ref)

    def publish(self, topic: str) -> FanOut[Ref]:
        """Return the receivers of a message that an actor of this node publishes."""
        return FanOut(self.receive(topic), tuple(sorted(self._nodes.get(topic, ()))))

    def receive(self, topic: str) -> tuple[Ref, ...]:
        """Return the subscribers here of a message that another node has sent, in the order of their subscribing."""
        return tuple(self._local.get(topic, ()))

    def _changed(self, changes: Sequence[RowChanged[str, Literal[True]]]) -> None:
        for change in changes:
            if change.owner == self.table.copies.node:
                continue
            if change.after is not None:
                self._nodes.setdefault(change.key, set()).add(change.owner)
            elif nodes := self._nodes.get(change.key):
                nodes.discard(change.owner)
                if not nodes:
                    del self._nodes[change.key]
