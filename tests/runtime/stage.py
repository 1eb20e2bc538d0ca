"""What the tests of the runtime share: a node on virtual time that must leave nothing behind, and a few actors.

Every test that runs on this stage also proves that nothing was lost: when the scene is over and the node has shut
down, the books balance, nothing is in flight, no task is left, and the loop had no complaint.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Concatenate, ParamSpec, TypeVar

from trouper import Accounting, Actor, ActorRef, DeadLetter, Down, Message, Node, handler
from trouper.runtime.kernel.cell import Cell
from trouper.testing import run_virtual, settle

T = TypeVar("T")
P = ParamSpec("P")
Story = list[object]
"""What happened, in order; ``Story()`` is an empty one that the type checkers know the type of."""


class Note(Message):
    """Something to remember; it has no reply."""

    n: int


class Notes(Message[list[int]]):
    """Ask for all notes so far; since it is queued behind them, it is a barrier too."""


class Double(Message[int]):
    """The reply is twice the number, from a plain handler."""

    n: int


class Fail(Message[int]):
    """The handler raises ``ValueError(why)``."""

    why: str = "boom"


class Hold(Message[int]):
    """An ``async def`` handler waits for the gate to open, then replies with the number."""

    n: int = 0


class Performer(Actor):
    """Knows all of the messages above.  What happens to its instances is kept in ``story``, which outlives them."""

    def __init__(self, story: Story | None = None, gate: asyncio.Event | None = None) -> None:
        self.story = Story() if story is None else story
        self.gate = gate or asyncio.Event()
        self.noted: list[int] = []

    def on_undelivered(self, letter: DeadLetter) -> None:
        self.story.append(("undelivered", letter.message, letter.reason))

    def on_terminated(self, down: Down) -> None:
        self.story.append(down)

    @handler
    def note(self, msg: Note) -> None:
        self.noted.append(msg.n)
        self.story.append(msg.n)

    @handler
    def notes(self, msg: Notes) -> list[int]:
        return list(self.noted)

    @handler
    def double(self, msg: Double) -> int:
        return 2 * msg.n

    @handler
    def fail(self, msg: Fail) -> int:
        raise ValueError(msg.why)

    @handler
    async def hold(self, msg: Hold) -> int:
        self.story.append(("hold", msg.n))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.story.append(("cancelled", msg.n))
            raise
        return msg.n


class Player(Performer):
    """Tells of its starts and stops; its hooks are plain."""

    def on_start(self) -> None:
        self.story.append("start")

    def on_stop(self) -> None:
        self.story.append("stop")


class Patient(Performer):
    """Tells of its starts and stops; its hooks are async and wait a second."""

    async def on_start(self) -> None:
        self.story.append("starts")
        await asyncio.sleep(1.0)
        self.story.append("started")

    async def on_stop(self) -> None:
        self.story.append("stops")
        await asyncio.sleep(1.0)
        self.story.append("stopped")


class Kid(Performer):
    """One of several children that share a story."""

    def __init__(self, story: Story, index: int) -> None:
        super().__init__(story)
        self.index = index

    def on_start(self) -> None:
        self.story.append(("kid starts", self.index))

    def on_stop(self) -> None:
        self.story.append(("kid stops", self.index))


class Family(Player):
    """Has three children as soon as it starts; they tell their story where it tells its own."""

    def on_start(self) -> None:
        super().on_start()
        for index in range(3):
            self.spawn_nowait(Kid, self.story, index, name=f"kid-{index}")


def cell_of(ref: ActorRef) -> Cell:
    """The runtime's side of an actor."""
    return ref._cell  # noqa: SLF001  these tests look behind the ref on purpose


def letters_of(node: Node) -> list[DeadLetter]:
    """A list that every dead letter of the node goes to from now on."""
    letters: list[DeadLetter] = []
    node.reports.on_letter.append(letters.append)
    return letters


def told(letters: list[DeadLetter]) -> list[tuple[Message[object], str]]:
    """What each dead letter was, and why."""
    return [(letter.message, letter.reason) for letter in letters]


def play(main: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run a program on virtual time; a task that it leaves behind, or a complaint of the loop, fails the test."""
    complaints: list[dict[str, object]] = []

    async def watched() -> T:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        result = await main()
        await settle()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks were left behind: {left}"
        return result

    result = run_virtual(watched)
    assert not complaints, f"the loop complained: {complaints}"
    return result


def play_on(node: Node, scene: Callable[[Node], Coroutine[object, object, T]]) -> T:
    """Run a scene on a node, then hold its books against law 11."""

    async def main() -> T:
        async with node:
            return await scene(node)

    result = play(main)
    books = node.accounting()
    assert books == Accounting(books.sent, books.handled, 0, books.dead, 0), f"not all is accounted for: {books}"
    assert books.missing == 0, f"messages are missing: {books}"
    return result


def staged(scene: Callable[Concatenate[Node, P], Coroutine[object, object, None]]) -> Callable[P, None]:
    """Make a test of ``async def test_...(node, fixtures...)``: it runs by ``play_on`` on a node of its own."""

    def test(*args: P.args, **kwargs: P.kwargs) -> None:
        play_on(Node(), lambda node: scene(node, *args, **kwargs))

    signature = inspect.signature(scene)
    fixtures = list(signature.parameters.values())[1:]
    test.__name__, test.__qualname__ = scene.__name__, scene.__qualname__
    test.__module__, test.__doc__ = scene.__module__, scene.__doc__
    setattr(test, "__signature__", signature.replace(parameters=fixtures, return_annotation=None))  # noqa: B010  unknown to type checkers
    return test
