"""The same scenes on every real loop, and under asyncio's debug mode: they behave as virtual time does."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Notes, Player, Story, cell_of, letters_of
from trouper import (
    Accounting,
    Actor,
    ActorRef,
    ActorStopped,
    AskTimeout,
    DeadlockError,
    Down,
    Node,
    StartFailed,
    handler,
)

NewLoop = Callable[[], asyncio.AbstractEventLoop]


def new_debug_loop() -> asyncio.AbstractEventLoop:
    """A loop in debug mode, which reports calls from other threads and coroutines that were not awaited."""
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


def new_uvloop() -> asyncio.AbstractEventLoop:
    """The loop that `trouper.run` uses where it is installed."""
    uvloop = pytest.importorskip("uvloop", reason="there is no uvloop for this platform")
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


every_loop = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, new_debug_loop, new_uvloop])


def perform(new_loop: NewLoop, scene: Callable[[Node], Awaitable[None]]) -> None:
    """Run a scene on a loop; the loop must report nothing, and every message must be accounted for."""
    complaints: list[dict[str, object]] = []
    node = Node()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with node:
            await scene(node)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert not complaints
    books = node.accounting()
    assert books == Accounting(books.sent, books.handled, 0, books.dead, 0)
    assert books.missing == 0


class Asking(Player):
    @handler
    async def hold(self, msg: Hold) -> int:
        return await self.ref.ask(Double(msg.n))


@every_loop
def test_messages_asks_failures_and_ends(new_loop: NewLoop) -> None:
    """Order, asks, deadlines, cancellation, restarts, cycles of asks, watches, ends."""

    async def scene(node: Node) -> None:
        letters, downs, gate = letters_of(node), Story(), asyncio.Event()
        ref = await node.spawn(Player, Story(), gate)
        watcher = await node.spawn(Player, downs)
        ref.watch(watcher)
        for n in range(10_000):
            await ref.tell(Note(n))
        assert await ref.ask(Notes()) == list(range(10_000))
        assert await asyncio.gather(*[ref.ask(Double(n)) for n in range(1_000)]) == [2 * n for n in range(1_000)]
        with pytest.raises(AskTimeout):
            await ref.ask(Hold(1), timeout_s=0.0)
        begun = ref.ask(Hold(2))
        await asyncio.sleep(0)
        begun.cancel()
        waiting = ref.ask(Hold(3))
        gate.set()
        assert await waiting == 3
        with pytest.raises(ValueError, match="boom"):
            await ref.ask(Fail())
        assert await ref.ask(Notes()) == []
        with pytest.raises(DeadlockError):
            await (await node.spawn(Asking)).ask(Hold(1))
        await ref.kill()
        with pytest.raises(ActorStopped):
            await ref.ask(Double(1))
        await watcher.drain()
        assert downs[1] == Down(ref, "killed")
        assert {letter.reason for letter in letters} - {"expired"} == {"cancelled", "failed", "killed"}

    perform(new_loop, scene)


@every_loop
def test_starts_timers_pipes_and_threads(new_loop: NewLoop) -> None:
    """Features that use the loop's own time and threads."""
    noted = asyncio.Event()

    class Busy(Player):
        async def warm_up(self) -> int:
            return await self.offload(max, 3, 4)

        def on_start(self) -> None:
            self.timers.once("now", 0.0, Note(1))
            self.pipe_to_self(self.warm_up(), Note)

        @handler
        def note(self, msg: Note) -> None:
            self.noted.append(msg.n)
            if len(self.noted) == 2:
                noted.set()

    class Unlucky(Actor):
        async def on_start(self) -> None:
            await asyncio.sleep(0)
            raise ValueError("no luck")

    async def scene(node: Node) -> None:
        ref = await node.spawn(Busy)
        with pytest.raises(StartFailed):
            await node.spawn(Unlucky)
        await noted.wait()
        assert sorted(await ref.ask(Notes())) == [1, 4]

    perform(new_loop, scene)


@every_loop
def test_a_chain_of_a_thousand_actors(new_loop: NewLoop) -> None:
    """A token passes through all of them, and they end together, in any order of their messages."""

    class Link(Actor):
        def __init__(self, end: asyncio.Future[int], next_one: ActorRef | None) -> None:
            self.end, self.next_one = end, next_one

        @handler
        def note(self, msg: Note) -> None:
            if self.next_one is None:
                self.end.set_result(msg.n)
            else:
                self.next_one.tell(Note(msg.n + 1))

    async def scene(node: Node) -> None:
        end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        ref: ActorRef | None = None
        for _ in range(1_000):
            ref = await node.spawn(Link, end, ref)
        assert ref is not None
        ref.tell(Note(1))
        assert await end == 1_000
        assert cell_of(ref).phase == "live"

    perform(new_loop, scene)
