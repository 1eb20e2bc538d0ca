import asyncio
import random

import pytest

from trouper.testing.node_loop import NodeCrashed, NodeLoop, WorldLoop
from trouper.testing.virtual_time import START_S, Stalled


def world() -> WorldLoop:
    """A world of its own."""
    return WorldLoop(steps_max=100_000, chance=random.Random(0))


def test_a_task_of_a_node_is_awaited_in_the_world() -> None:
    """What a node's loop gives is there for a task of the world, at the right time."""
    loop = world()
    node = NodeLoop(loop, "n1")

    async def main() -> tuple[int, float]:
        future = node.create_future()
        node.call_later(5, future.set_result, 7)
        return await future, loop.time()

    assert loop.run_until_complete(main()) == (7, START_S + 5)
    loop.unwind()
    node.dispose()


def test_a_node_knows_its_own_loop() -> None:
    """Inside of a node the running loop, the current task and all tasks are the node's own."""
    loop = world()
    node = NodeLoop(loop, "n1")

    async def inside() -> tuple[bool, bool, int]:
        await asyncio.sleep(1)
        task = asyncio.current_task()
        return asyncio.get_running_loop() is node, task in asyncio.all_tasks(), len(asyncio.all_tasks())

    async def main() -> tuple[bool, bool, int]:
        done = node.create_future()
        node.create_task(inside()).add_done_callback(lambda task: done.set_result(task.result()))
        found: tuple[bool, bool, int] = await done
        return found

    assert loop.run_until_complete(main()) == (True, True, 1)
    loop.unwind()
    node.dispose()


def test_a_loop_that_stands_still_does_everything_afterwards() -> None:
    """What is due while a loop is paused is done when it goes on, in order; its clock goes on meanwhile."""
    loop = world()
    node = NodeLoop(loop, "n1")
    done: list[tuple[str, float]] = []

    def note(what: str) -> None:
        done.append((what, node.time() - START_S))

    async def main() -> None:
        node.call_later(1, note, "timer")
        node.pause()
        node.call_soon(note, "call")
        await asyncio.sleep(3)
        assert not done
        node.resume()
        await asyncio.sleep(1)

    loop.run_until_complete(main())
    assert done == [("call", 3.0), ("timer", 3.0)]
    loop.unwind()
    node.dispose()


def test_a_loop_that_rests_after_each_turn_is_slow() -> None:
    """A chain of calls takes a rest for each of them."""
    loop = world()
    node = NodeLoop(loop, "n1")
    node.rest_s = 0.5

    async def main() -> float:
        done = node.create_future()

        def step(left: int) -> None:
            if left:
                node.call_soon(step, left - 1)
            else:
                done.set_result(None)

        node.call_soon(step, 4)
        await done
        return loop.time() - START_S

    assert loop.run_until_complete(main()) == 2.0
    loop.unwind()
    node.dispose()


@pytest.mark.parametrize("drift", [0.25, -0.2, 0.001])
def test_a_clock_that_drifts_rings_by_its_own_time(drift: float) -> None:
    """Timers of a loop obey its own clock, which never goes back."""
    loop = world()
    node = NodeLoop(loop, "n1")

    async def main() -> float:
        await asyncio.sleep(10)
        before = node.time()
        node.drift(drift)
        assert node.time() == before
        future = node.create_future()
        node.call_later(8, future.set_result, None)
        await future
        return loop.time() - START_S - 10

    assert loop.run_until_complete(main()) == pytest.approx(8 / (1 + drift))
    loop.unwind()
    node.dispose()


def test_nothing_runs_after_death() -> None:
    """No callback, no timer, no step of a task and no finally runs, until the dead are buried."""
    loop = world()
    node = NodeLoop(loop, "n1")
    ran: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(2)
            ran.append("task")
        finally:
            ran.append("finally")

    async def main() -> None:
        node.create_task(work())
        node.call_later(3, ran.append, "timer")
        await asyncio.sleep(1)
        node.call_soon(ran.append, "call")
        node.die()
        assert node.call_soon(ran.append, "later").cancelled()
        await asyncio.sleep(10)
        assert not ran
        assert len(node.tasks()) == 1

    loop.run_until_complete(main())
    loop.unwind()
    node.dispose()
    assert ran == ["finally"]


def test_death_in_the_middle_of_a_turn_ends_it() -> None:
    """A callback that brings its own node down is the last one."""
    loop = world()
    node = NodeLoop(loop, "n1")
    ran: list[str] = []

    async def main() -> None:
        node.call_soon(node.die)
        node.call_soon(ran.append, "after")
        await asyncio.sleep(1)

    loop.run_until_complete(main())
    assert not ran
    loop.unwind()
    node.dispose()


def test_a_waiter_outside_the_node_is_told_of_a_death() -> None:
    """A future of a node that dies fails for the world, also when it is gathered, and when it is awaited later."""
    loop = world()
    node = NodeLoop(loop, "n1")

    async def main() -> None:
        first, second, third = (node.create_future() for _ in range(3))
        loop.call_later(1, node.die)
        gathered = asyncio.gather(first, second)
        with pytest.raises(NodeCrashed, match=r"^node n1 crashed, and this was awaited of it$"):
            await gathered
        with pytest.raises(NodeCrashed):
            await third

    loop.run_until_complete(main())
    loop.unwind()
    node.dispose()


def test_a_stalled_world_is_noticed() -> None:
    """When every loop waits for nothing that could come, the run ends at once."""
    loop = world()
    node = NodeLoop(loop, "n1")

    async def main() -> None:
        await node.create_future()

    with pytest.raises(Stalled):
        loop.run_until_complete(main())
    loop.unwind()
    node.dispose()


def test_cancelled_timers_do_not_pile_up() -> None:
    """A loop whose timers are set and cancelled again and again keeps few of them."""
    loop = world()
    node = NodeLoop(loop, "n1")

    def churn(left: int) -> None:
        for _ in range(100):
            node.call_later(1000, print).cancel()
        if left:
            node.call_later(0.1, churn, left - 1)

    async def main() -> None:
        node.call_soon(churn, 100)
        await asyncio.sleep(20)

    loop.run_until_complete(main())
    assert len(node.timers()) < 400
    loop.unwind()
    node.dispose()


def test_nodes_take_turns_in_an_order_that_is_drawn() -> None:
    """Over the seeds, loops that are ready at the same time run in every order."""
    orders: set[str] = set()
    for seed in range(60):
        loop = WorldLoop(steps_max=100_000, chance=random.Random(seed))
        nodes = [NodeLoop(loop, name) for name in "abc"]
        ran: list[str] = []

        async def main(nodes: list[NodeLoop] = nodes, ran: list[str] = ran) -> None:
            for node in nodes:
                node.call_soon(ran.append, node.name)
            await asyncio.sleep(1)

        loop.run_until_complete(main())
        orders.add("".join(ran))
        loop.unwind()
        for node in nodes:
            node.dispose()
    assert len(orders) == 6
