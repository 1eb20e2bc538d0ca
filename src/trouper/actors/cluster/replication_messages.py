"""The messages between the replicators of the members: published messages and metrics; and the rows of workers."""

from __future__ import annotations

from typing import Any

import msgspec

from ... import Message
from .node_metrics import NodeMetrics


class WorkerRow(msgspec.Struct, frozen=True):
    """A worker of the node that owns the row.

    generation: of the node in the worker.  endpoints: where other nodes reach it.  labels: for placement.
    """

    generation: int
    endpoints: tuple[str, ...]
    labels: dict[str, str] = {}


class TopicMessage(Message[None], tag="trouper.TopicMessage"):
    """A published message for the subscribers of a topic on this node."""

    topic: str
    message: Message[Any]  # Any: a message with whatever reply


class GetNodeMetrics(Message[None], tag="trouper.GetNodeMetrics"):
    """Requests the metrics of the receiving node."""


class NodeMetricsReply(Message[None], tag="trouper.NodeMetricsReply"):
    """The metrics of the sending node."""

    metrics: NodeMetrics


class SyncDue(Message[None], local=True):
    """Time to compare copies with another member."""
