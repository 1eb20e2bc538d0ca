"""What the replicators of the members say to each other: news of rows, and how far each copy is."""

from __future__ import annotations

import msgspec

from ...runtime.gossip.versioned_table import Delta, Stamp
from ...runtime.kernel.message import Message
from ...runtime.kernel.ref import ActorRef
from .names import Claim
from .node_metrics import NodeMetrics
from .reachability import Reach
from .services import Offer


class TableDeltas(Message[None], tag="trouper.TableDeltas"):
    """Changes of rows, or whole ones: of the sender's own row, or of others' when they were asked for.

    Each field is a table, see ``replicas``.  Who gives word of a node that is no member is not listened to.
    """

    names: tuple[Delta[str, Claim[ActorRef]], ...] = ()
    groups: tuple[Delta[tuple[str, str, ActorRef], int], ...] = ()
    topics: tuple[Delta[str, bool], ...] = ()
    services: tuple[Delta[tuple[str, ActorRef], Offer], ...] = ()
    devices: tuple[Delta[str, str], ...] = ()
    reach: tuple[Delta[str, Reach], ...] = ()
    statuses: tuple[Delta[str, bool], ...] = ()


class TableChecksums(Message[None], tag="trouper.TableChecksums"):
    """A sum over the stamps of each table, by its name; equal sums are taken for equal copies.

    answer: whether the sender wants to hear something in any case.
    """

    checksums: dict[str, int]
    answer: bool = False


class TableDigest(Message[None], tag="trouper.TableDigest"):
    """How far the sender's copies are, by table and owner: tell it what it lacks.

    answer: whether it wants the digest of the other side too.
    """

    stamps: dict[str, dict[str, Stamp]]
    answer: bool


class TopicMessage(Message[None], tag="trouper.TopicMessage"):
    """A message that was published, for the subscribers of this node.  tag: the type of the message."""

    topic: str
    tag: str
    payload: msgspec.Raw


class GetNodeMetrics(Message[None], tag="trouper.GetNodeMetrics"):
    """Tell me how you do."""


class NodeMetricsReply(Message[None], tag="trouper.NodeMetricsReply"):
    """How the sender does."""

    metrics: NodeMetrics


class FromPeer(Message[None], local=True):
    """Another node's replicator has said something.  node: its name."""

    node: str
    payload: TableDeltas | TableChecksums | TableDigest


class Flush(Message[None]):
    """This node's own rows have changed: tell the others; the reply comes when that is on its way."""


class SyncDue(Message[None]):
    """It is time to compare copies with somebody."""
