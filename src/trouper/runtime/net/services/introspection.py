"""Introspection of actors on other nodes: the questions travel as control messages, and so pass by no mailbox.

``RemoteIntrospection`` asks, as ``node.network.introspection``; ``serve_introspection`` has a node answer.  What one may
do here one may do there: whoever is linked has shown to be of the same cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ...kernel.errors import ActorStopped, CallerError
from ...kernel.message import Message
from ...kernel.ref import ActorRef
from ...observe.introspection import ActorState, ActorStats, ActorTree, MailboxPeek
from ..placement import PlacedCell
from ..remote_cell import RemoteCell

if TYPE_CHECKING:
    from ...observe.introspection import Introspection
    from ..network import Network
    from ..peer import Peer

R = TypeVar("R")


class GetStats(Message[ActorStats], tag="trouper.GetStats"):
    """How is that actor doing?"""

    uid: int


class GetState(Message[ActorState], tag="trouper.GetState"):
    """What are the attributes of that actor?"""

    uid: int


class PeekMailbox(Message[MailboxPeek], tag="trouper.PeekMailbox"):
    """What are the first messages of its mailbox?"""

    uid: int
    count: int


class GetTree(Message[ActorTree], tag="trouper.GetTree"):
    """What is below this path?"""

    path: str
    actors_max: int


class SuspendActor(Message[None], tag="trouper.SuspendActor"):
    """Let that actor handle nothing, or (``on`` False) handle messages again."""

    uid: int
    on: bool


class CrashActor(Message[None], tag="trouper.CrashActor"):
    """Fail that actor."""

    uid: int


class TraceActor(Message[None], tag="trouper.TraceActor"):
    """Tell ``to`` of the next ``count`` messages of that actor."""

    uid: int
    count: int
    to: ActorRef


class RemoteIntrospection:
    """The verbs of ``Introspection`` for actors of other nodes: each asks, and waits for the answer.

    All raise ``NodeUnreachable`` when the node is not linked, ``AskTimeout`` when it does not answer within the node's
    ``ask_timeout_s``, ``ActorStopped`` for an actor that has ended, and what the verb itself raises there.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    async def stats(self, ref: ActorRef) -> ActorStats:
        """See ``Introspection.stats``."""
        return await self._ask(ref, GetStats)

    async def get_state(self, ref: ActorRef) -> ActorState:
        """See ``Introspection.get_state``."""
        return await self._ask(ref, GetState)

    async def peek(self, ref: ActorRef, count: int = 20) -> MailboxPeek:
        """See ``Introspection.peek``."""
        return await self._ask(ref, lambda uid: PeekMailbox(uid, count))

    async def tree(self, node: str, path: str = "", *, actors_max: int = 1_000) -> ActorTree:
        """Take a picture of the actors of a linked node; see ``Introspection.tree``."""
        return await self._network.peer(node).control_ref.ask(GetTree(path, actors_max))

    async def trace(self, ref: ActorRef, count: int, to: ActorRef) -> None:
        """Have ``to``, an actor anywhere, told of the next ``count`` messages; see ``Introspection.trace``."""
        await self._ask(ref, lambda uid: TraceActor(uid, count, to))

    async def suspend(self, ref: ActorRef) -> None:
        """See ``Introspection.suspend``."""
        await self._ask(ref, lambda uid: SuspendActor(uid, on=True))

    async def resume(self, ref: ActorRef) -> None:
        """See ``Introspection.resume``."""
        await self._ask(ref, lambda uid: SuspendActor(uid, on=False))

    async def crash(self, ref: ActorRef) -> None:
        """See ``Introspection.crash``."""
        await self._ask(ref, CrashActor)

    async def _ask(self, ref: ActorRef, question: Callable[[int], Message[R]]) -> R:
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        if isinstance(cell, PlacedCell) and cell.remote is not None:
            cell = cell.remote
        if not isinstance(cell, RemoteCell):
            raise CallerError(f"{ref.address} is of this node: use node.introspection")
        return await self._network.peer(cell.node_id.node).control_ref.ask(question(cell.uid))


def serve_introspection(network: Network, introspection: Introspection) -> None:
    """Have a node answer what its peers ask."""

    def actor(uid: int) -> ActorRef:
        cell = network.exports.get(uid)
        if cell is None:
            raise ActorStopped(f"trouper://{network.node_id.node} has no actor #{uid} any more")
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
                raise CallerError(f"{type(message).__qualname__} is no question of introspection")
        return None

    for type_ in (GetStats, GetState, PeekMailbox, GetTree, TraceActor, SuspendActor, CrashActor):
        network.request_handlers[type_] = answer
