"""The threads of executors: a system that refuses new ones, and what is kept of them when their actors have ended."""

import gc
import threading
import weakref
from collections.abc import Callable

import pytest

from tests.runtime.node.test_executors import Gate, Pinned, Wait, Where, entered, on_threads
from tests.runtime.node.test_threads import until
from trouper import Node, StartFailed, Threads
from trouper.runtime.node.executors import ExecutorInfo, ThreadPool


@pytest.fixture
def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Have the system refuse new threads of the pool ``few``, or give them again."""
    start, refused = threading.Thread.start, [False]

    def start_or_refuse(thread: threading.Thread) -> None:
        if refused[0] and "-few-" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_refuse)
    return lambda is_refused: refused.__setitem__(0, is_refused)


def test_a_pool_works_again_once_the_system_has_threads(refuse_threads: Callable[[bool], None]) -> None:
    """A call for which there is no thread fails with a sentence; nothing is left of it, and the next one is made."""

    async def scene(node: Node) -> None:
        refuse_threads(True)
        with pytest.raises(StartFailed, match=r"/user/pinned.* needs a thread of executor 'few': can't start"):
            await node.spawn(Pinned, name="pinned", executor="few")
        await until(lambda: node.executors[0] == ExecutorInfo("few", threads=0, busy=0, queued=0, abandoned=0))
        refuse_threads(False)
        ref = await node.spawn(Pinned, name="pinned", executor="few")
        assert await ref.ask(Where(), timeout_s=30.0) != threading.get_ident()
        assert node.executors[0].threads == 1

    on_threads(scene, few=Threads(1))


def test_a_pool_that_gets_no_further_thread_goes_on_with_what_it_has(refuse_threads: Callable[[bool], None]) -> None:
    """Calls wait for the one that is there, also while that one is abandoned to a handler that its actor left."""

    async def scene(node: Node) -> None:
        first, second = Gate(), Gate()
        second.open.set()
        hanging = await node.spawn(Pinned, first, executor="few")
        waiting = await node.spawn(Pinned, second, executor="few")
        refuse_threads(True)
        hanging.tell(Wait())
        await entered(first)
        reply = waiting.ask(Wait(7), timeout_s=30.0)
        await until(lambda: node.executors[0].queued == 1)
        hanging.kill()
        await until(lambda: node.executors[0].abandoned == 1)
        first.open.set()
        assert await reply == 7
        assert node.executors[0].threads == 1

    on_threads(scene, few=Threads(2))


def living_pools() -> list[ThreadPool]:
    """The pools of threads in this process that something holds."""
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, ThreadPool)]


def test_nothing_is_kept_of_an_actor_that_ended_while_its_thread_was_at_work() -> None:
    """Once the thread is free; nobody has to look at the executors for that."""

    async def scene(node: Node) -> None:
        gates = [Gate() for _ in range(5)]
        others = weakref.WeakSet(living_pools())  # of this process's other tests
        for gate in gates:
            ref = await node.spawn(Pinned, gate)
            ref.tell(Wait())
            await entered(gate)
            await ref.kill()
        pools = weakref.WeakSet(each for each in living_pools() if each not in others)
        assert len(pools) == len(gates)
        for gate in gates:
            gate.open.set()
        await until(lambda: gc.collect() >= 0 and not pools)

    on_threads(scene)
