import asyncio
import threading

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Player, Story, cell_of, play, play_on, staged
from trouper import (
    Actor,
    ActorStopped,
    AskTimeout,
    InvalidName,
    MemoryJournal,
    Node,
    NodeClosed,
    NodeFailed,
    OneForOne,
    handler,
)
from trouper.runtime.session.transport import EndpointTaken
from trouper.testing import run_virtual, settle


def test_the_name_of_a_node_is_in_its_addresses() -> None:
    """The default is `local`; a name must be valid in an address."""

    async def main() -> None:
        async with Node() as node, Node("stage-2") as other:
            assert str((await node.spawn(Player)).address).startswith("trouper://local/user/")
            assert str((await other.spawn(Player)).address).startswith("trouper://stage-2/user/")
        with pytest.raises(InvalidName):
            async with Node("a/b"):
                pass

    play(main)


def test_two_nodes_in_one_loop_are_independent() -> None:
    """Each has its own actors, counters and end; refs work across them, since it is one loop."""

    async def main() -> None:
        async with Node("one") as one:
            ref = await one.spawn(Player, name="ada")
            async with Node("two") as two:
                await two.spawn(Player, name="ada")
                assert await ref.ask(Double(2)) == 4
                assert (one.accounting().sent, two.accounting().sent) == (1, 0)
            assert await ref.ask(Double(3)) == 6

    play(main)


def test_a_node_is_used_once() -> None:
    """Entering it again is an error that says what to do."""

    async def main() -> None:
        node = Node()
        async with node:
            with pytest.raises(NodeClosed):
                await node.__aenter__()
        with pytest.raises(NodeClosed, match=r"^node local was started before: make another Node$"):
            async with node:
                pass

    play(main)


def test_leaving_the_block_ends_all_actors_in_order() -> None:
    """Newest first, hooks called, messages accounted for."""
    story = Story()

    class Named(Player):
        def __init__(self, name: str) -> None:
            super().__init__(story)
            self.name = name

        def on_stop(self) -> None:
            self.story.append(self.name)

    async def scene(node: Node) -> None:
        for name in "abc":
            await node.spawn(Named, name)

    play_on(Node(), scene)
    assert story[3:] == ["c", "b", "a"]


def test_an_error_in_the_block_is_raised_after_the_shutdown() -> None:
    """The error itself, after the actors have ended in order."""
    story = Story()

    async def scene(node: Node) -> None:
        await node.spawn(Player, story)
        raise LookupError("in the block")

    with pytest.raises(LookupError, match=r"^in the block$"):
        play_on(Node(), scene)
    assert story == ["start", "stop"]


def test_cancelling_the_block_shuts_down_in_order() -> None:
    """As a signal does, or a task group that ends early."""
    story = Story()

    async def main() -> None:
        async def program() -> None:
            async with Node() as node:
                await node.spawn(Player, story)
                await asyncio.Event().wait()

        task = asyncio.ensure_future(program())
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    play(main)
    assert story == ["start", "stop"]


def test_the_default_deadline_of_asks_is_the_nodes() -> None:
    """`ask_timeout_s` is for all asks that name no deadline."""

    async def scene(node: Node) -> None:
        ref, began = await node.spawn(Player), asyncio.get_running_loop().time()
        with pytest.raises(AskTimeout, match=r" within 0\.5 s "):
            await ref.ask(Hold(1))
        assert asyncio.get_running_loop().time() == began + 0.5

    play_on(Node(ask_timeout_s=0.5), scene)


@pytest.mark.parametrize("shutdown_s", [0.0, 3.0])
def test_a_shutdown_has_one_deadline_for_all(shutdown_s: float) -> None:
    """Then the remaining actors are killed, however many there are and whatever their own limits."""

    async def main() -> float:
        async with Node(shutdown_s=shutdown_s) as node:
            for _ in range(5):
                (await node.spawn(Player, shutdown_s=None)).tell(Hold(1))
            await settle()
            began = asyncio.get_running_loop().time()
        return asyncio.get_running_loop().time() - began

    assert shutdown_s <= play(main) <= shutdown_s + 1.0


def test_without_a_deadline_a_shutdown_waits() -> None:
    """`None` has no deadline."""

    class Slow(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            await asyncio.sleep(3_600.0)
            self.story.append("done")
            return msg.n

    story = Story()

    async def scene(node: Node) -> None:
        (await node.spawn(Slow, story, shutdown_s=None)).tell(Hold(1))
        await settle()

    play_on(Node(shutdown_s=None), scene)
    assert story == ["start", "done", "stop"]


def test_a_failed_node_says_what_failed() -> None:
    """The block is cancelled, everything ends in order, and the error has the cause."""
    story = Story()

    async def scene(node: Node) -> None:
        await node.spawn(Player, story)
        (await node.spawn(Player, restart="permanent")).tell(Fail("fatal"))
        await asyncio.Event().wait()

    with pytest.raises(NodeFailed, match="fatal") as caught:
        play_on(Node(supervision=OneForOne(intensity=0)), scene)
    assert caught.value.__cause__ is not None
    assert story == ["start", "stop"]


def test_a_failure_in_the_last_moment_is_not_lost() -> None:
    """A block that ends just as its node fails raises all the same, and the task is not left cancelled."""

    async def scene(node: Node) -> None:
        ref = await node.spawn(Player)
        with pytest.raises(ValueError, match="fatal"):
            await ref.ask(Fail("fatal"))

    async def main() -> str:
        try:
            async with Node(supervision=OneForOne(intensity=0)) as node:
                await scene(node)
        except NodeFailed:
            await asyncio.sleep(1.0)
            return "failed"
        return "lost"

    assert play(main) == "failed"


def test_a_handler_may_end_the_program() -> None:
    """`SystemExit` and `KeyboardInterrupt` are raised again at the end of the block, after an orderly shutdown."""
    story = Story()

    class Exiting(Player):
        @handler
        def double(self, msg: Double) -> int:
            raise SystemExit(msg.n)

    async def scene(node: Node) -> None:
        await node.spawn(Player, story)
        (await node.spawn(Exiting)).tell(Double(4))
        await asyncio.Event().wait()

    with pytest.raises(SystemExit) as caught:
        play_on(Node(), scene)
    assert caught.value.code == 4
    assert story == ["start", "stop"]


def test_blocking_work_runs_in_threads() -> None:
    """The loop goes on meanwhile; the result or the error is returned, and the threads are the node's."""

    async def main() -> None:
        async with Node("stage", threads=2) as node:
            main_thread = threading.current_thread().name
            names = await asyncio.gather(*[node.offload(lambda: threading.current_thread().name) for _ in range(4)])
            assert main_thread not in names
            assert all(name.startswith("trouper-stage") for name in names)
            assert await node.offload(divmod, 7, 2) == (3, 1)
            with pytest.raises(ZeroDivisionError):
                await node.offload(divmod, 1, 0)

    asyncio.run(main())


def test_blocking_work_that_runs_out_of_an_iterator_does_not_hang() -> None:
    """A future cannot hold `StopIteration`, so it is wrapped; on real threads and on virtual time."""

    async def scene(node: Node) -> None:
        empty: list[int] = []
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(node.offload(next, iter(empty)), 5.0)

    async def main() -> None:
        async with Node() as node:
            await scene(node)

    asyncio.run(main())
    play_on(Node(), scene)


@staged
async def test_an_actor_may_offload(node: Node) -> None:
    """From its own async handlers, by `self.offload`."""

    class Worker(Actor):
        @handler
        async def double(self, msg: Double) -> int:
            return await self.offload(int.__mul__, 2, msg.n)

    assert await (await node.spawn(Worker)).ask(Double(4)) == 8


@staged
async def test_refs_may_be_used_after_their_node_has_ended(node: Node) -> None:
    """After the shutdown every ref answers as that of an actor that has ended."""
    inner: list[object] = []
    async with Node("inner") as other:
        ref = await other.spawn(Player)
        inner.append(ref)
    ref.tell(Note(1))
    await ref.stop()
    await ref.kill()
    with pytest.raises(ActorStopped):
        await ref.ask(Double(1))
    assert await ref.wait_stopped() == "stopped"
    watcher = await node.spawn(Player, story := Story())
    ref.watch(watcher)
    await settle()
    assert len(story) == 2
    assert cell_of(ref).gone


def test_a_shutdown_that_is_asked_for_twice_happens_once() -> None:
    """A second caller waits for the shutdown that is under way, and so does the end of the block."""
    story = Story()

    class Slow(Actor):
        async def on_stop(self) -> None:
            await asyncio.sleep(2.0)
            story.append("stopped")

    async def main() -> None:
        async with Node() as node:
            await node.spawn(Slow)
            began = asyncio.get_running_loop().time()
            first = asyncio.ensure_future(node.stop())
            await settle()
            await node.stop()
            assert asyncio.get_running_loop().time() == began + 2.0
            await first
        assert story == ["stopped"]

    play(main)


async def _endpoint_taken() -> None:
    async with Node("first", listen="inprocess://here"):
        second = Node("second", listen="inprocess://here")
        with pytest.raises(EndpointTaken):
            await second.__aenter__()
        assert [cell for cell in second.system.cells() if not cell.gone] == []


def test_a_node_that_cannot_start_leaves_nothing_behind() -> None:
    """The error of a taken endpoint is raised at the `async with`, and the actors that ran have ended."""
    run_virtual(_endpoint_taken)


# --- start and stop without a block ----------------------------------------------------------------------------------


async def _fail(node: Node) -> None:
    """Have an actor fail more often than its supervision allows."""
    (await node.spawn(Player, restart="permanent")).tell(Fail("fatal"))
    await node.shutdown.wait()


def test_a_node_may_be_started_and_stopped_without_a_block() -> None:
    """The task that started it may end, as the cell of a notebook does; a second stop waits for the first."""
    story = Story()

    async def main() -> None:
        node = Node()
        assert await asyncio.create_task(node.start()) is node
        assert await (await node.spawn(Player, story)).ask(Double(2)) == 4
        await asyncio.gather(node.stop("the day is over"), node.stop())
        assert node.shutdown.reason == "the day is over"
        with pytest.raises(NodeClosed, match="was started before"):
            await node.start()

    play(main)
    assert story == ["start", "stop"]


def test_a_failure_stops_a_node_whose_starting_task_has_ended() -> None:
    """It shuts down by itself, without a task to cancel; ``stop`` raises the failure."""

    async def main() -> None:
        node = Node(supervision=OneForOne(intensity=0))
        await asyncio.create_task(node.start())
        await _fail(node)
        assert str(node.shutdown.reason).endswith("was escalated to the root")
        with pytest.raises(NodeFailed, match="fatal"):
            await node.stop()

    play(main)


def test_a_failure_stops_a_node_whose_block_was_entered_by_another_task() -> None:
    """As in a fixture, whose set-up and tear-down run in two tasks: the tear-down raises ``NodeFailed``."""

    async def main() -> None:
        node = Node(supervision=OneForOne(intensity=0))
        await asyncio.create_task(node.__aenter__())
        await _fail(node)
        with pytest.raises(NodeFailed, match="fatal"):
            await node.__aexit__(None, None, None)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    play(main)


def test_a_failure_does_not_wait_for_a_block_that_goes_on() -> None:
    """The actors stop at once, though the block ignores its cancellation; the block still ends with ``NodeFailed``."""
    story = Story()

    async def main() -> None:
        async with Node(supervision=OneForOne(intensity=0)) as node:
            await node.spawn(Player, story)
            (await node.spawn(Player, restart="permanent")).tell(Fail("fatal"))
            with pytest.raises(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.sleep(1.0)
            assert story == ["start", "stop"]

    with pytest.raises(NodeFailed, match="fatal"):
        play(main)


def test_a_node_that_fails_while_it_starts_raises_the_failure() -> None:
    """``start`` and entering the block raise ``NodeFailed``, and the task is not left cancelled."""

    class Journal(MemoryJournal):
        async def open(self) -> None:
            node.system.escalated(ValueError("fatal"))
            await asyncio.Event().wait()

    async def main() -> None:
        with pytest.raises(NodeFailed, match="fatal"):
            await node.start()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert node.system.root.gone

    node = Node(journal=Journal())
    play(main)
