"""``TopicTable``: the nodes that a message of a topic is sent to, and its subscribers there; at most once (PURE).

A node subscribes to a topic while at least one of its actors does, and all nodes know the topics of all nodes.  The
publisher sends one copy to each subscribed node, and that node gives it to its own subscribers; a message from the
network is never forwarded, so no subscriber gets a message twice.  Nothing is stored or sent again: a subscriber that
the publishing node does not know yet, or cannot reach, does not get the message.

Each public method is one event and returns the effects, to be carried out in order.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec

from ...lowlevel import Announce, Change, Delta, DeltaRefused, Resync, VersionedTable

Ref = TypeVar("Ref", bound=Hashable)
Effect: TypeAlias = Announce[str, Literal[True]] | Resync | DeltaRefused


class FanOut(msgspec.Struct, Generic[Ref], frozen=True):
    """The receivers of one message: these actors of this node, and once each of these other nodes."""

    local: tuple[Ref, ...]
    nodes: tuple[str, ...]


class TopicTable(Generic[Ref]):
    """One node's subscribers, and its copy of the topics of all nodes.

    table: for the exchange with other nodes.  topics_max: the most topics of one node.
    """

    __slots__ = ("_local", "_nodes", "_topics_of", "table")

    def __init__(self, node: str, generation: int, topics_max: int = 100_000) -> None:
        self.table: VersionedTable[str, Literal[True]] = VersionedTable(node, generation, entries_max=topics_max)
        self._local: dict[str, dict[Ref, None]] = {}
        self._nodes: dict[str, set[str]] = {}
        self._topics_of: dict[Ref, dict[str, None]] = {}
        """The topics that each actor of this node subscribes to, so that its end costs no search."""

    def subscribe(self, topic: str, ref: Ref) -> list[Effect]:
        """Subscribe an actor of this node; a second time changes nothing.  Raises ``RowFull`` at ``topics_max``."""
        delta = self.table.put(topic, True)
        self._local.setdefault(topic, {})[ref] = None
        self._topics_of.setdefault(ref, {})[topic] = None
        return [] if delta is None else [Announce(delta)]

    def unsubscribe(self, topic: str, ref: Ref) -> list[Effect]:
        """Unsubscribe an actor of this node; nothing happens when it is not subscribed."""
        topics = self._topics_of.get(ref)
        if topics is None or topic not in topics:
            return []
        del topics[topic]
        if not topics:
            del self._topics_of[ref]
        subscribers = self._local[topic]
        del subscribers[ref]
        if subscribers:
            return []
        del self._local[topic]
        delta = self.table.put(topic, None)
        return [] if delta is None else [Announce(delta)]

    def actor_ended(self, ref: Ref) -> list[Effect]:
        """Unsubscribe an actor of this node that has ended from all topics."""
        return [effect for topic in tuple(self._topics_of.get(ref, ())) for effect in self.unsubscribe(topic, ref)]

    def publish(self, topic: str) -> FanOut[Ref]:
        """Return the receivers of a message that an actor of this node publishes."""
        return FanOut(self.receive(topic), tuple(sorted(self._nodes.get(topic, ()))))

    def receive(self, topic: str) -> tuple[Ref, ...]:
        """Return the subscribers here of a message that another node has sent, in the order of their subscribing."""
        return tuple(self._local.get(topic, ()))

    def merge(self, delta: Delta[str, Literal[True]]) -> list[Effect]:
        """Apply a delta of another node's topics, from that node or from any other one."""
        applied = self.table.apply(delta)
        self._changed(applied.changes)
        return [*self.table.effects_of(delta, applied)]

    def up(self, node: str, generation: int) -> list[Effect]:
        """Add a member of the cluster in this generation; the topics of any other generation are removed."""
        self._changed(self.table.up(node, generation))
        return []

    def down(self, node: str) -> list[Effect]:
        """Remove a node that is no longer a member of the cluster; nothing is sent to it."""
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
