"""``ClusterTopics``: publish and subscribe in the whole cluster, at most once, as ``node.cluster.topics``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ... import ActorRef, CallerError, Message, WireError
from ...lowlevel import deliver, message_class, tag_of
from .replication_messages import TopicMessage

if TYPE_CHECKING:
    import msgspec

    from ...runtime.net.peer import Peer
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
        if fan_out.nodes:
            # The codec encodes the message itself; the receiver reads it as Raw, and decodes it by its tag.
            copy = TopicMessage(topic, tag_of(type(message)), cast("msgspec.Raw", message))
            for name in fan_out.nodes:
                cluster.send(name, copy)
        return len(fan_out.local) + len(fan_out.nodes)

    def subscribers(self, topic: str) -> list[ActorRef]:
        """Return the subscribers on this node, in the order in which they subscribed."""
        return list(self._cluster.shared_state.tables.topics.receive(topic))

    def deliver(self, received: TopicMessage, peer: Peer) -> None:
        """Deliver a message that another node has published; raises ``WireError`` when it cannot be decoded."""
        subscribers = self.subscribers(received.topic)
        if not subscribers:
            return  # the last one left while the message was on its way
        type_ = message_class(received.tag)
        if type_ is None:
            raise WireError(f"this node knows no message type {received.tag}: import the module that defines it")
        message = peer.codec.read_as(type_, received.payload, f"{type_.__qualname__} of topic {received.topic!r}")
        for ref in subscribers:
            deliver(ref, cast("Message[object]", message))
