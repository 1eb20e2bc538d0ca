"""The messages between the replicators of the members: deltas, checksums and digests of the replicated tables."""

from __future__ import annotations

import msgspec

from ... import ActorRef, Message
from ...lowlevel import Delta, Stamp
from .names import Claim
from .node_metrics import NodeMetrics
from .reachability import Reach
from .services import Offer


class WorkerRow(msgspec.Struct, frozen=True):
    """A worker of the node that owns the row.

    generation: of the node in the worker.  endpoints: where other nodes reach it.  labels: for placement.
    """

    generation: int
    endpoints: tuple[str, ...]
    labels: dict[str, str] = {}


class TableDeltas(Message[None], tag="trouper.TableDeltas"):
    """Deltas by table: of the sender's own rows, or of any rows when they answer a digest.

    A node takes them from members only.  The fields are the tables of ``ReplicatedTables``.
    """

    names: tuple[Delta[str, Claim[ActorRef]], ...] = ()
    groups: tuple[Delta[tuple[str, str, ActorRef], int], ...] = ()
    topics: tuple[Delta[str, bool], ...] = ()
    services: tuple[Delta[tuple[str, ActorRef], Offer], ...] = ()
    devices: tuple[Delta[str, str], ...] = ()
    reach: tuple[Delta[str, Reach], ...] = ()
    statuses: tuple[Delta[str, int], ...] = ()
    workers: tuple[Delta[str, WorkerRow], ...] = ()


class TableChecksums(Message[None], tag="trouper.TableChecksums"):
    """A checksum of the stamps of each table, by its name; equal checksums are taken to mean equal copies.

    answer: whether the sender wants an answer even if nothing differs.
    """

    checksums: dict[str, int]
    answer: bool = False


class TableDigest(Message[None], tag="trouper.TableDigest"):
    """The stamps of the sender's copies, by table and owner: the receiver sends what the sender lacks.

    answer: whether the sender wants the receiver's digest too.
    """

    stamps: dict[str, dict[str, Stamp]]
    answer: bool


class TopicMessage(Message[None], tag="trouper.TopicMessage"):
    """A published message for the subscribers of this node.  tag: the type of the message.  payload: the message."""

    topic: str
    tag: str
    payload: msgspec.Raw


class GetNodeMetrics(Message[None], tag="trouper.GetNodeMetrics"):
    """Requests the metrics of the receiving node."""


class NodeMetricsReply(Message[None], tag="trouper.NodeMetricsReply"):
    """The metrics of the sending node."""

    metrics: NodeMetrics


class FromPeer(Message[None], local=True):
    """A message of another node's replicator.  node: the name of that node."""

    node: str
    payload: TableDeltas | TableChecksums | TableDigest


class Flush(Message[None], local=True):
    """Send the changes of this node's own rows to the others; the reply comes once they are handed to the network."""


class SyncDue(Message[None], local=True):
    """Time to compare copies with another member."""
