"""Introspection of actors on other nodes: requests are control messages, and so pass no mailbox.

``RemoteIntrospection`` asks, as ``node.network.introspection``; ``serve_introspection`` has a node answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ...kernel.errors import ActorStopped, CallerError
from ...kernel.message import Message
from ...kernel.ref import ActorRef
from ...net.remote_cell import PlacedCell, RemoteCell
from ...observe.introspection import ActorState, ActorStats, ActorTree, MailboxPeek

if TYPE_CHECKING:
    from ...net.network import Network
    from ...net.peer import Peer
    from ...observe.introspection import Introspection
    from ...session.identity import Allow

R = TypeVar("R")


class GetStats(Message[ActorStats], tag="trouper.GetStats"):
    """Return the counters of an actor."""

    uid: int


class GetState(Message[ActorState], tag="trouper.GetState"):
    """Return the attributes of an actor."""

    uid: int


class PeekMailbox(Message[MailboxPeek], tag="trouper.PeekMailbox"):
    """Return the first messages of an actor's mailbox."""

    uid: int
    count: int


class GetTree(Message[ActorTree], tag="trouper.GetTree"):
    """Return the actors below a path; an empty path is the root."""

    path: str
    actors_max: int


class SuspendActor(Message[None], tag="trouper.SuspendActor"):
    """Let an actor handle no messages, or (``on`` False) handle them again."""

    uid: int
    on: bool


class CrashActor(Message[None], tag="trouper.CrashActor"):
    """Let an actor fail."""

    uid: int


class TraceActor(Message[None], tag="trouper.TraceActor"):
    """Tell ``to`` of the next ``count`` messages of an actor."""

    uid: int
    count: int
    to: ActorRef


class RemoteIntrospection:
    """The verbs of ``Introspection`` for actors of other nodes: each sends a request, and waits for the answer.

    All raise ``NodeUnreachable`` when the node is not connected, ``AskTimeout`` when it does not answer within the
    node's ``ask_timeout_s``, ``ActorStopped`` for an actor that has ended, and what the verb itself raises there.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    async def stats(self, ref: ActorRef) -> ActorStats:
        """Return the counters of an actor, as ``Introspection.stats`` does."""
        return await self._ask(ref, GetStats)

    async def get_state(self, ref: ActorRef) -> ActorState:
        """Return the attributes of an actor, as ``Introspection.get_state`` does."""
        return await self._ask(ref, GetState)

    async def peek(self, ref: ActorRef, count: int = 20) -> MailboxPeek:
        """Return the first ``count`` messages of its mailbox, as ``Introspection.peek`` does."""
        return await self._ask(ref, lambda uid: PeekMailbox(uid, count))

    async def tree(self, node: str, path: str = "", *, actors_max: int = 1_000) -> ActorTree:
        """Return up to ``actors_max`` actors of a node below ``path``, as ``Introspection.tree`` does."""
        return await self._network.peer(node).control_ref.ask(GetTree(path, actors_max))

    async def trace(self, ref: ActorRef, count: int, to: ActorRef) -> None:
        """Tell ``to``, an actor of any node, of the next ``count`` messages, as ``Introspection.trace`` does."""
        await self._ask(ref, lambda uid: TraceActor(uid, count, to))

    async def suspend(self, ref: ActorRef) -> None:
        """Let an actor handle no messages until ``resume``, as ``Introspection.suspend`` does."""
        await self._ask(ref, lambda uid: SuspendActor(uid, on=True))

    async def resume(self, ref: ActorRef) -> None:
        """Let a suspended actor handle messages again, as ``Introspection.resume`` does."""
        await self._ask(ref, lambda uid: SuspendActor(uid, on=False))

    async def crash(self, ref: ActorRef) -> None:
        """Let an actor fail, as ``Introspection.crash`` does."""
        await self._ask(ref, CrashActor)

    async def _ask(self, ref: ActorRef, request: Callable[[int], Message[R]]) -> R:
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        if isinstance(cell, PlacedCell) and cell.remote is not None:
            cell = cell.remote
        if not isinstance(cell, RemoteCell):
            raise CallerError(f"{ref.address} is of this node: use node.introspection")
        return await self._network.peer(cell.node_id.name).control_ref.ask(request(cell.uid))


def serve_introspection(network: Network, introspection: Introspection) -> None:
    """Have a node answer the requests of its peers."""

    def actor(uid: int) -> ActorRef:
        cell = network.exports.get(uid)
        if cell is None:
            raise ActorStopped(f"trouper://{network.node_id.name} has no actor #{uid} any more")
        return cell.ref

    def answer(message: Message[object], _: Peer) -> object:
        match message:
            case GetStats(uid):
                return introspection.stats(actor(uid))
            case GetState(uid):
                return introspection.get_state(actor(uid))
            case PeekMailbox(uid, count):
                return introspection.peek(actor(uid), count)
            case GetTree(path, actors_max):
                return introspection.tree(path, actors_max=actors_max)
            case TraceActor(uid, count, to):
                introspection.trace(actor(uid), count, to)
            case SuspendActor(uid, on):
                (introspection.suspend if on else introspection.resume)(actor(uid))
            case CrashActor(uid):
                introspection.crash(actor(uid))
            case _:
                raise CallerError(f"{type(message).__qualname__} is no request for introspection")
        return None

    roles: dict[type, Allow] = {GetStats: "observer", PeekMailbox: "observer", GetTree: "observer"}
    roles |= dict.fromkeys((GetState, TraceActor, SuspendActor, CrashActor), "operator")
    for type_, allow in roles.items():
        network.request_handlers.serve(type_, answer, owner="introspection", allow=allow)
