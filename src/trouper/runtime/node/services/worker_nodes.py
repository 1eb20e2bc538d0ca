"""Workers of other nodes: a worker is vouched for by the node that started it, its parent, and ends with it.

The parent sees at once that a process has ended, and tells the nodes that it is connected to; they end their sessions
with that generation of the worker.  When the parent itself is lost, so are its workers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ...kernel.address import NodeId
from ...kernel.errors import NotPermitted
from ...kernel.message import Message
from ...session.identity import trusted

if TYPE_CHECKING:
    from ...net.network import Network
    from ...net.peer import Peer

WORKER_NAME = re.compile(r"worker-[1-9]\d{0,5}")
"""The name of a worker relative to its node; its full name is ``NODE.worker-1``."""


class WorkerNodeEnded(Message[None], tag="trouper.WorkerNodeEnded"):
    """To the peers of a node: this generation of one of its workers has ended, for ``detail``."""

    node: str
    generation: int
    detail: str


def parent_of(node: str) -> str:
    """Return the name of the node whose worker this is, by its name; empty for a node that is no worker."""
    parent, _, name = node.rpartition(".")
    return parent if WORKER_NAME.fullmatch(name) else ""


def _are_of_one_host(worker: Peer, parent: Peer) -> bool:
    """Whether a worker can be of a node by what the transport has proved: they have one key, unless one needs none."""
    ids = worker.identity.id, parent.identity.id
    return ids[0] == ids[1] or any(trusted(id_) is not None for id_ in ids)


class OwnWorker(NamedTuple):
    """A worker of this node: where it listens, and its labels."""

    endpoints: tuple[str, ...]
    labels: dict[str, str]


class WorkerNodes:
    """Follows the workers of the nodes that a network is connected to."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.own: dict[NodeId, OwnWorker] = {}
        """The workers of this node that are connected."""
        self.on_own: list[Callable[[NodeId, OwnWorker | None], None]] = []
        """Called with each worker of this node that is connected; with None when it has ended."""
        self.restart_own: Callable[[], object] | None = None
        """Starts all workers of this node again, as other generations; None where it has no manager of workers."""
        network.request_handlers.serve(WorkerNodeEnded, self._ended, owner="workers")
        network.watch_peers(self._on_peer)

    def own_connected(self, node_id: NodeId, worker: OwnWorker) -> None:
        """Take note that a worker of this node is connected."""
        self.own[node_id] = worker
        for listener in list(self.on_own):
            listener(node_id, worker)

    def own_ended(self, node_id: NodeId, detail: str) -> None:
        """Take note that a worker of this node has ended, and tell all peers but the other workers."""
        if self.own.pop(node_id, None) is not None:
            for listener in list(self.on_own):
                listener(node_id, None)
        for name, peer in self._network.peers.items():
            if parent_of(name) != self._network.node_id.name:
                peer.control(WorkerNodeEnded(node_id.name, node_id.generation, detail))

    def _ended(self, message: Message[object], peer: Peer) -> None:
        assert isinstance(message, WorkerNodeEnded), "it is registered for this message"
        worker = self._network.peers.get(message.node)
        if parent_of(message.node) != peer.node or not (worker is None or _are_of_one_host(worker, peer)):
            raise NotPermitted(f"node {peer.node} is not the parent of {message.node}: only that one knows of its end")
        self._network.node_ended(NodeId(message.node, message.generation), message.detail)

    def _on_peer(self, peer: Peer, up: bool) -> None:
        if up:
            return
        for name, other in self._network.peers.items():
            if parent_of(name) == peer.node:
                self._network.node_ended(other.node_id, f"its node {peer.node} is lost: {peer.lost}")
