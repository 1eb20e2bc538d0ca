"""What the tests of nodes share: two nodes in one loop that must leave nothing behind, and a few actors.

Every test that runs on this stage also proves that nothing was lost: when the scene is over and both nodes have shut
down, the books of both balance, nothing is in flight, no task is left, and the loop had no complaint.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Concatenate, ParamSpec

from tests.runtime.stage import play
from trouper import Accounting, Actor, ActorRef, Down, Message, Node, Reject, handler
from trouper.runtime.kernel.cell import Cell
from trouper.runtime.net.peer import Peer
from trouper.runtime.net.remote_cell import RemoteCell
from trouper.runtime.net.spawn_request import spawn_request

P = ParamSpec("P")


class Add(Message[int]):
    """Add to the sum; the reply is the sum."""

    n: int


class Sum(Message[int]):
    """The reply is the sum."""


class Numbers(Message[list[int]]):
    """The reply is all that was added, in order."""


class Wait(Message[int]):
    """Wait so many seconds, then reply with the seconds that the ask has had left, rounded."""

    seconds: float


class Ruin(Message[int]):
    """Raise an error of this kind."""

    kind: str


class Cancelled(Message[int]):
    """The reply is how many handlers were cancelled."""


class Meet(Message[ActorRef]):
    """Remember an actor; the reply is that one."""

    who: ActorRef


class Relay(Message[int]):
    """Ask an actor that it was given."""

    target: ActorRef
    question: Add


class Observe(Message[None]):
    """Watch an actor."""

    target: ActorRef


class Downs(Message[list[str]]):
    """The reply is the reasons of all Downs that came."""


class Anything(Message[object]):
    """A field of any type, and any reply: the reply is the value."""

    value: object


class Custom(Exception):
    """An error with an ``__init__`` of its own."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code


def _error(kind: str) -> Exception:
    """Make an error of a kind."""
    return _ERRORS[kind]()


_ERRORS: dict[str, Callable[[], Exception]] = {
    "value": lambda: ValueError("no such value"),
    "key": lambda: KeyError("ada"),
    "reject": lambda: Reject("not today"),
    "custom": lambda: Custom(7, "seven"),
    "group": lambda: ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
    "local": lambda: type("Local", (Exception,), {"__module__": "nowhere", "__qualname__": "Local"})("unheard of"),
}


class Clerk(Actor):
    """Knows all of the messages above."""

    def __init__(self, start: int = 0) -> None:
        self.numbers = [start] if start else []
        self.cancelled = 0
        self.downs: list[str] = []

    def on_terminated(self, down: Down) -> None:
        self.downs.append(down.reason)

    @handler
    def add(self, msg: Add) -> int:
        self.numbers.append(msg.n)
        return sum(self.numbers)

    @handler
    def sum(self, msg: Sum) -> int:
        return sum(self.numbers)

    @handler
    def all(self, msg: Numbers) -> list[int]:
        return list(self.numbers)

    @handler
    async def wait(self, msg: Wait) -> int:
        try:
            await asyncio.sleep(msg.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return round(msg.seconds)

    @handler
    def how_many_cancelled(self, msg: Cancelled) -> int:
        return self.cancelled

    @handler
    def ruin(self, msg: Ruin) -> int:
        raise _error(msg.kind)

    @handler
    def meet(self, msg: Meet) -> ActorRef:
        return msg.who

    @handler
    async def relay(self, msg: Relay) -> int:
        return await msg.target.ask(msg.question)

    @handler
    def observe(self, msg: Observe) -> None:
        msg.target.watch(self.ref)

    @handler
    def heard(self, msg: Downs) -> list[str]:
        return list(self.downs)

    @handler
    def anything(self, msg: Anything) -> object:
        return msg.value


def cell_of(ref: ActorRef) -> Cell:
    """The runtime's side of an actor."""
    return ref._cell  # noqa: SLF001  these tests look behind the ref on purpose


def remote_of(ref: ActorRef) -> RemoteCell:
    """The cell of a remote actor."""
    cell = cell_of(ref)
    assert isinstance(cell, RemoteCell)
    return cell


def peer_of(ref: ActorRef) -> Peer:
    """The node that an actor is on."""
    peer = remote_of(ref).find_peer()
    assert peer is not None
    return peer


async def spawn_remote(
    node: Node, place: str, actor: Callable[..., object], *args: object, name: str | None = None
) -> ActorRef:
    """Start an actor on another node that is not supervised here; the ref is its own, and not a proxy's."""
    return await node.network.spawn_at(place, spawn_request(actor, args, name, 5.0))


def check_books(*nodes: Node) -> None:
    """Hold the books of each node against law 11; nothing may be in flight."""
    for node in nodes:
        books = node.accounting()
        assert books == Accounting(books.sent, books.handled, 0, books.dead, 0), f"{node.name}: {books}"
        assert books.missing == 0, f"{node.name}: {books}"


def pair() -> tuple[Node, Node]:
    """Two nodes; the second dials the first."""
    return Node("a", listen="inprocess://a"), Node("b", listen="inprocess://b", join=["inprocess://a"])


def paired(scene: Callable[Concatenate[Node, Node, P], Coroutine[object, object, None]]) -> Callable[P, None]:
    """Make a test of ``async def test_...(a, b, fixtures...)``: it runs on two connected nodes."""

    def test(*args: P.args, **kwargs: P.kwargs) -> None:
        a, b = pair()

        async def main() -> None:
            async with a, b:
                await a.network.wait_for_peer("b")
                await b.network.wait_for_peer("a")
                await scene(a, b, *args, **kwargs)

        play(main)
        check_books(a, b)

    signature = inspect.signature(scene)
    fixtures = list(signature.parameters.values())[2:]
    test.__name__, test.__qualname__ = scene.__name__, scene.__qualname__
    test.__module__, test.__doc__ = scene.__module__, scene.__doc__
    setattr(test, "__signature__", signature.replace(parameters=fixtures, return_annotation=None))  # noqa: B010  unknown to type checkers
    return test
