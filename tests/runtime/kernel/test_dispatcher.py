import asyncio
import time

from tests.runtime.stage import Double, Fail, Hold, Note, Notes, Player, Story, cell_of, play, staged
from trouper import Actor, ActorRef, Message, Node, handler
from trouper.runtime.kernel.dispatcher import IDLE_QUEUES_MAX, INLINE_ASKS_MAX, RUN_LENGTH, TURN_S
from trouper.testing import settle


class Token(Message):
    left: int


@staged
async def test_a_cell_yields_after_its_run(node: Node) -> None:
    """An actor with much mail lets the others have their turn: nobody waits for more than one run."""
    story = Story()
    busy, other = await node.spawn(Player, story), await node.spawn(Player, story)
    for n in range(3 * RUN_LENGTH):
        busy.tell(Note(n))
    other.tell(Note(-1))
    await settle()
    assert story.index(-1) == 2 + RUN_LENGTH


@staged
async def test_actors_take_turns_in_order(node: Node) -> None:
    """Runnable actors are served round robin, in the order in which they got mail."""
    story = Story()
    refs = [await node.spawn(Player, story) for _ in range(3)]
    for index, ref in enumerate(refs):
        ref.tell(Note(index))
    await settle()
    assert story[3:] == [0, 1, 2]


def test_a_flood_does_not_starve_the_loop() -> None:
    """A turn ends when its time is up, so a timer of the loop is served in the midst of a flood that never ends."""

    class Forever(Actor):
        @handler
        def token(self, msg: Token) -> None:
            self.ref.tell(Token(msg.left + 1))

    async def main() -> None:
        async with Node() as node:
            ref = await node.spawn(Forever)
            ref.tell(Token(0))
            late = [await _lateness() for _ in range(20)]
            assert sorted(late)[10] < 20 * TURN_S
            ref.kill()

    async def _lateness() -> float:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        return time.perf_counter() - began - 0.001

    asyncio.run(main())


@staged
async def test_an_idle_actor_has_no_mailbox_and_no_task(node: Node) -> None:
    """Queues are lent while there is mail, and used again; a task is there while an async handler works."""
    refs = [await node.spawn(Player) for _ in range(3)]
    for ref in refs:
        ref.tell(Note(1))
        ref.tell(Hold(1))
    await settle()
    assert all(cell_of(ref).mail is not None and cell_of(ref).task is not None for ref in refs)
    for ref in refs:
        cell_of(ref).actor.gate.set()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue, reportUnknownMemberType]  it is a Player
    await settle()
    assert all(cell_of(ref).mail is None and cell_of(ref).task is None for ref in refs)
    assert 0 < len(node.system.dispatcher.idle_queues) <= IDLE_QUEUES_MAX


@staged
async def test_a_handler_that_is_answered_at_once_runs_before_ask_returns(node: Node) -> None:
    """An idle actor with a plain handler is asked without a trip through the loop."""
    ref = await node.spawn(Player)
    ask = ref.ask(Double(2))
    assert ask.done()
    assert ask.result() == 4


@staged
async def test_asks_that_are_answered_at_once_let_the_loop_have_its_turn(node: Node) -> None:
    """A task that asks in an endless loop does not starve the loop: after some asks one is queued."""
    ref = await node.spawn(Player)
    asks: list[asyncio.Future[int]] = []
    while not asks or asks[-1].done():
        asks.append(ref.ask(Double(len(asks))))
        assert len(asks) < 100_000
    assert len(asks) > INLINE_ASKS_MAX
    assert await asks[-1] == 2 * (len(asks) - 1)
    await asyncio.sleep(0)
    assert ref.ask(Double(1)).done()


@staged
async def test_a_plain_handler_is_never_entered_by_another_plain_handler(node: Node) -> None:
    """An ask from a plain handler is queued: handlers do not nest on one stack, so a long chain is no recursion."""

    class Chain(Actor):
        def __init__(self, next_one: ActorRef | None, results: Story) -> None:
            self.next_one, self.results = next_one, results

        @handler
        def double(self, msg: Double) -> int:
            if self.next_one is not None:
                ask = self.next_one.ask(Double(msg.n + 1))
                self.results.append(ask.done())
                ask.add_done_callback(lambda done: self.results.append(done.result()))
            return msg.n

    results, ref = Story(), None
    for _ in range(200):
        ref = await node.spawn(Chain, ref, results)
    assert ref is not None
    await ref.ask(Double(0))
    await settle()
    assert results.count(False) == 199
    assert {result for result in results if result is not False} == set(range(1, 200))


@staged
async def test_nothing_that_escapes_stops_the_dispatcher(node: Node) -> None:
    """Even a subscriber of the reports that raises does not keep other actors from their mail."""

    def broken(*_: object) -> None:
        raise RuntimeError("a subscriber is broken")

    node.reports.on_crash.append(broken)
    node.reports.on_letter.append(broken)
    ref, other = await node.spawn(Player), await node.spawn(Player)
    ref.tell(Fail())
    other.tell(Note(1))
    await settle()
    other.tell(Note(2))
    assert await other.ask(Notes()) == [1, 2]
    ref.tell(Note(3))
    assert await ref.ask(Notes()) == [3]


def test_work_goes_on_in_the_next_turn_when_time_is_up() -> None:
    """What a turn leaves in the queue is taken up again without anybody's doing."""

    class Counter(Actor):
        def __init__(self) -> None:
            self.count = 0

        @handler
        def token(self, msg: Token) -> None:
            self.count += 1
            if msg.left:
                self.ref.tell(Token(msg.left - 1))

        @handler
        def notes(self, msg: Notes) -> list[int]:
            return [self.count]

    async def main() -> list[int]:
        async with Node() as node:
            node.system.dispatcher.counter = iter(range(10**9)).__next__  # every look at the clock takes a second
            refs = [await node.spawn(Counter) for _ in range(5)]
            for ref in refs:
                ref.tell(Token(99))
            await settle()
            return [(await ref.ask(Notes()))[0] for ref in refs]

    assert play(main) == [100] * 5
