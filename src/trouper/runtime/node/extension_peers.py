"""``Peers``: the nodes that a node is connected to, and their addresses, as an extension uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from ..kernel.address import NodeId
from ..session.identity import Identity

if TYPE_CHECKING:
    from ..net.peer import Peer
    from ..session.sessions import KnownNode
    from .node_context import NodeContext
    from .node_network import NodeNetwork
    from .services.worker_nodes import OwnWorker


class PeerInfo(msgspec.Struct, frozen=True):
    """Another node.

    node_id: its name and generation.  identity: as which the transport has authenticated it, with its roles; for this
    node itself that of its own process.  in_reach: whether the connection worked when this was made; a session outlives
    a connection that breaks.
    """

    node_id: NodeId
    identity: Identity
    in_reach: bool = True


class PeerUp(msgspec.Struct, frozen=True):
    """A session with another node has begun; ``node_id`` and ``identity`` as those of ``PeerInfo``."""

    node_id: NodeId
    identity: Identity


class PeerDown(msgspec.Struct, frozen=True):
    """The session with another node is over, for ``reason``; what was sent and not acknowledged is lost."""

    node_id: NodeId
    identity: Identity
    reason: str


PeerEvent: TypeAlias = PeerUp | PeerDown


class SessionRefused(msgspec.Struct, frozen=True):
    """The node at an endpoint has refused a session.

    code: such as ``name_taken``; ``itself`` when the endpoint is this node's own.  text: the reason, in its words.
    """

    endpoint: str
    code: str
    text: str


class WorkerUp(msgspec.Struct, frozen=True):
    """A worker of this node is connected, listens at these endpoints, and has these labels for placement."""

    node_id: NodeId
    endpoints: tuple[str, ...]
    labels: dict[str, str]


class WorkerDown(msgspec.Struct, frozen=True):
    """The process of a worker of this node has ended."""

    node_id: NodeId


WorkerEvent: TypeAlias = WorkerUp | WorkerDown


def peer_info(peer: Peer) -> PeerInfo:
    """Return what an extension is told of a peer."""
    return PeerInfo(peer.node_id, peer.identity, peer.in_reach)


class Peers:
    """The nodes that this one has a session with, as ``ctx.peers``."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context

    @property
    def _network(self) -> NodeNetwork | None:
        return self._context.network

    def __iter__(self) -> Iterator[PeerInfo]:
        """Go through the peers, by name."""
        for _, peer in sorted({} if self._network is None else self._network.peers.items()):
            yield peer_info(peer)

    def get(self, name: str) -> PeerInfo | None:
        """Return the peer of this name; None when there is no session with it."""
        peer = None if self._network is None else self._network.peers.get(name)
        return None if peer is None else peer_info(peer)

    def at(self, endpoint: str) -> PeerInfo | None:
        """Return the peer that listens at an endpoint; None for none."""
        peer = None if self._network is None else self._network.peer_at(endpoint)
        return None if peer is None else peer_info(peer)

    # --- what happens ------------------------------------------------------------------------------------------------

    def subscribe(self, handle: Callable[[PeerEvent], None]) -> Callable[[], None]:
        """Call a function with ``PeerUp`` for each present peer, now, and with each later event.

        handle: called in the node's loop, so it should be quick; an error in it fails the extension.
        Returns a function that ends the subscription; it also ends with the extension.
        """
        known: dict[NodeId, PeerInfo] = {}
        guarded = self._context.guard(handle, "its listener to peers")

        def on_peer(peer: Peer, up: bool) -> None:
            if up:
                known[peer.node_id] = PeerInfo(peer.node_id, peer.identity)
                guarded(PeerUp(peer.node_id, peer.identity))
            elif peer.node_id in known:
                guarded(PeerDown(peer.node_id, known.pop(peer.node_id).identity, peer.lost or "the session is lost"))

        network = self._network
        if network is None:
            return lambda: None
        unwatch = self._context.until_end(network.watch_peers(on_peer))
        for _, peer in sorted(network.peers.items()):
            on_peer(peer, True)
        return unwatch

    def on_refused(self, handle: Callable[[SessionRefused], None]) -> Callable[[], None]:
        """Call a function whenever a node that this one dials refuses the session.

        handle and the result: as those of ``subscribe``.
        """
        guarded = self._context.guard(handle, "its listener to refusals")

        def refused(endpoint: str, code: str, text: str) -> None:
            guarded(SessionRefused(endpoint, code, text))

        return self._listen([] if self._network is None else self._network.on_dial_refused, refused)

    def on_worker(self, handle: Callable[[WorkerEvent], None]) -> Callable[[], None]:
        """Call a function with ``WorkerUp`` for each worker process of this node, now, and with each later event.

        handle and the result: as those of ``subscribe``.
        """
        guarded = self._context.guard(handle, "its listener to workers")

        def on_worker(node_id: NodeId, worker: OwnWorker | None) -> None:
            guarded(WorkerDown(node_id) if worker is None else WorkerUp(node_id, worker.endpoints, worker.labels))

        if self._network is None:
            return lambda: None
        for node_id, worker in list(self._network.workers.own.items()):
            on_worker(node_id, worker)
        return self._listen(self._network.workers.on_own, on_worker)

    def _listen(self, listeners: list[Callable[..., None]], listener: Callable[..., None]) -> Callable[[], None]:
        listeners.append(listener)
        return self._context.until_end(partial(listeners.remove, listener))

    # --- what an extension knows of other nodes ----------------------------------------------------------------------

    def add_address(self, node_id: NodeId, *endpoints: str) -> None:
        """Say where a generation of a node listens, so that it is dialled when something is sent to it.

        endpoints: the first is dialled; the others are for nodes that this one tells of it.
        """
        if self._network is not None:
            self._network.connector.add_address(node_id, *endpoints)

    def forget(self, node_id: NodeId, reason: str) -> None:
        """Forget the address of a generation of a node, which has left for ``reason``, and end the session with it."""
        network = self._network
        if network is None:
            return
        network.connector.forget(node_id)
        peer = network.peers.get(node_id.name)
        if peer is not None and peer.node_id == node_id:
            network.end_session(node_id.name, reason)

    def node_ended(self, node_id: NodeId, reason: str) -> None:
        """Say that a generation of a node has ended, for ``reason``: all of its actors have ended too."""
        if self._network is not None:
            self._network.node_ended(node_id, reason)

    def protect_names(self, find: Callable[[str], KnownNode | None]) -> None:
        """Refuse other nodes that come by the name of a node that is alive, until the extension ends.

        find: returns the node that is known to be alive under a name; None when there is none.
        """
        network = self._network
        if network is not None:
            network.known_node = find
            self._context.until_end(partial(setattr, network, "known_node", None))
