"""``ClusterTopics``: publish and subscribe all over the cluster, at most once, as ``node.cluster.topics``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ...runtime.kernel.delivery import deliver
from ...runtime.kernel.errors import CallerError, WireError
from ...runtime.kernel.message import Message, message_class, tag_of
from ...runtime.kernel.ref import ActorRef
from .replication_messages import TopicMessage

if TYPE_CHECKING:
    import msgspec

    from ...runtime.net.peer import Peer
    from .api import Cluster


class ClusterTopics:
    """See the top of the file.  Nothing is kept, and nothing is sent again to who was cut off."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def subscribe(self, topic: str, ref: ActorRef) -> None:
        """Tell an actor of this node each message that is published, until it ends; a second time changes nothing.

        Nodes that do not know of it yet do not send to it.  Raises ``CallerError`` for an actor of another node, and
        ``RowFull`` for too many topics.
        """
        shared_state = self._cluster.shared_state
        shared_state.watch_owner(ref, "the topic", topic)
        shared_state.apply_own("topics", shared_state.tables.topics.subscribe(topic, ref))

    def unsubscribe(self, topic: str, ref: ActorRef) -> None:
        """Tell it no more; nothing happens when it was not subscribed.  What is on its way still arrives."""
        shared_state = self._cluster.shared_state
        shared_state.apply_own("topics", shared_state.tables.topics.unsubscribe(topic, ref))

    def publish(self, topic: str, message: Message[object]) -> int:
        """Send a message to all subscribers: once to each node that has some, which gives it to them.

        Messages that one node publishes to a topic arrive in order.  Returns how many subscribers of this node and how
        many other nodes it goes to.  Raises ``CallerError`` for a message that says it does not leave its node.
        """
        if type(message).__local__:
            raise CallerError(f"{type(message).__qualname__} says local=True: it does not leave its node")
        cluster = self._cluster
        way = cluster.shared_state.tables.topics.publish(topic)
        for ref in way.local:
            deliver(ref, message)
        if way.nodes:
            # The codec writes what a field holds; it is read as Raw, by the type that the tag names.
            news = TopicMessage(topic, tag_of(type(message)), cast("msgspec.Raw", message))
            for name in way.nodes:
                cluster.send(name, news)
        return len(way.local) + len(way.nodes)

    def subscribers(self, topic: str) -> list[ActorRef]:
        """Return the actors of this node that are subscribed, in the order in which they did it."""
        return list(self._cluster.shared_state.tables.topics.receive(topic))

    def arrived(self, news: TopicMessage, peer: Peer) -> None:
        """Give what another node has published to the subscribers here; raises ``WireError`` for others."""
        subscribers = self.subscribers(news.topic)
        if not subscribers:
            return  # they have gone while it was on its way
        type_ = message_class(news.tag)
        if type_ is None:
            raise WireError(f"this node has loaded no message type {news.tag}: import the module that defines it")
        message = peer.codec.read_as(type_, news.payload, f"{type_.__qualname__} of topic {news.topic!r}")
        for ref in subscribers:
            deliver(ref, cast("Message[object]", message))
