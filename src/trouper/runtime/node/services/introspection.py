"""Introspection of actors on other nodes: requests are control messages, and so pass no mailbox.

``RemoteIntrospection`` asks, as ``node.network.introspection``; ``serve_introspection`` has a node answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from ...kernel.errors import ActorStopped, CallerError
from ...kernel.message import Message
from ...kernel.ref import ActorRef
from ...net.remote_cell import PlacedCell, RemoteCell
from ...observe.introspection import ActorState, ActorStats, ActorTree, MailboxPeek

if TYPE_CHECKING:
    from ...net.network import Network
    from ...net.peer import Peer
    from ...observe.introspection import Introspection
    from ...session.budget import Account
    from ...session.identity import Allow

R = TypeVar("R")
PEEKED_MAX = 200
"""Messages of a mailbox that a peer is shown."""
TREE_MAX = 1_000
"""Actors of a tree that a peer is shown."""


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
        """Return the first ``count`` messages of its mailbox, 200 at most, as ``Introspection.peek`` does."""
        return await self._ask(ref, lambda uid: PeekMailbox(uid, count))

    async def tree(self, node: str, path: str = "", *, actors_max: int = 1_000) -> ActorTree:
        """Return up to ``actors_max`` actors of a node below ``path``, 1,000 at most, as ``Introspection.tree``."""
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


def _in_turn(
    answer: Callable[[Message[object], Peer], object],
) -> Callable[[Message[object], Peer], Coroutine[object, object, object]]:
    """Return a handler that answers the next request of an identity in another iteration of the loop."""
    turns: WeakKeyDictionary[Account, asyncio.Lock] = WeakKeyDictionary()

    async def handler(message: Message[object], peer: Peer) -> object:
        async with turns.setdefault(peer.account, asyncio.Lock()):
            await asyncio.sleep(0)
            await peer.wait_for_capacity()
            return answer(message, peer)

    return handler


def serve_introspection(network: Network, introspection: Introspection) -> None:
    """Have a node answer the requests of its peers.

    Those that read are answered one at a time for each identity, each in an iteration of the loop of its own, and while
    the peer takes the answers: one question of a few bytes has an answer of up to a megabyte.
    """

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
                return introspection.peek(actor(uid), min(count, PEEKED_MAX))
            case GetTree(path, actors_max):
                return introspection.tree(path, actors_max=min(actors_max, TREE_MAX))
            case TraceActor(uid, count, to):
                introspection.trace(actor(uid), count, to)
            case SuspendActor(uid, on):
                (introspection.suspend if on else introspection.resume)(actor(uid))
            case CrashActor(uid):
                introspection.crash(actor(uid))
            case _:
                raise CallerError(f"{type(message).__qualname__} is no request for introspection")
        return None

    in_turn = _in_turn(answer)
    roles: dict[type, Allow] = {GetStats: "observer", PeekMailbox: "observer", GetTree: "observer"}
    roles |= dict.fromkeys((GetState, TraceActor, SuspendActor, CrashActor), "operator")
    for type_, allow in roles.items():
        changes = type_ in (TraceActor, SuspendActor, CrashActor)
        network.request_handlers.serve(type_, answer if changes else in_turn, owner="introspection", allow=allow)
