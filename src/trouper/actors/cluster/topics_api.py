"""``ClusterTopics``: publish and subscribe in the whole cluster, at most once, as ``node.cluster.topics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import ActorRef, CallerError, Message
from ...lowlevel import deliver
from .replication_messages import TopicMessage

if TYPE_CHECKING:
    from .api import Cluster


class ClusterTopics:
    """Subscribes actors of this node to topics of the cluster, and publishes messages to their subscribers.

    Delivery is at most once: nothing is stored, and nothing is sent again to a node that could not be reached.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def subscribe(self, topic: str, ref: ActorRef) -> None:
        """Send each message of a topic to an actor of this node, until it ends; a second time changes nothing.

        A node that does not know of the subscription yet does not send to this node.  topic: 1 to 256 bytes.  Raises
        ``CallerError`` for an actor of another node or an ended one, ``RowFull`` above 100,000 topics of this node.
        """
        shared_state = self._cluster.shared_state
        shared_state.watch_owner(ref, "the topic", topic)
        shared_state.tables.topics.subscribe(topic, ref)

    def unsubscribe(self, topic: str, ref: ActorRef) -> None:
        """End a subscription; nothing happens when there is none.  Messages that were sent before still arrive."""
        self._cluster.shared_state.tables.topics.unsubscribe(topic, ref)

    def publish(self, topic: str, message: Message[object]) -> int:
        """Send a message to all subscribers of a topic: one copy to each node that has some.

        Messages that one node publishes to a topic arrive in order.  Returns the number of subscribers on this node
        plus the number of other nodes that the message goes to.  Raises ``CallerError`` for a ``local=True`` message.
        """
        if type(message).__local__:
            raise CallerError(f"{type(message).__qualname__} is declared local=True: it cannot be sent to other nodes")
        cluster = self._cluster
        fan_out = cluster.shared_state.tables.topics.publish(topic)
        for ref in fan_out.local:
            deliver(ref, message)
        for name in fan_out.nodes:
            cluster.send(name, TopicMessage(topic, message), stream="normal")
        return len(fan_out.local) + len(fan_out.nodes)

    def subscribers(self, topic: str) -> list[ActorRef]:
        """Return the subscribers on this node, in the order in which they subscribed."""
        return list(self._cluster.shared_state.tables.topics.receive(topic))

    def deliver(self, received: TopicMessage) -> None:
        """Deliver a message that another node has published."""
        for ref in self.subscribers(received.topic):
            deliver(ref, received.message)
