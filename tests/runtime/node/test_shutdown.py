"""Shutdown: phases, tasks that fail or hang, one deadline, and the signals that begin it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import cell_of
from trouper import Actor, ActorRef, CallerError, InvalidOption, Message, Node, NodeClosed, handler
from trouper.runtime.node.shutdown import (
    AFTER_STOP,
    BEFORE_STOP,
    STOP_EXTENSIONS,
    STOP_SYSTEM,
    STOP_USER_ACTORS,
    Phase,
    TaskReport,
    in_order,
)
from trouper.testing import run_virtual, virtual_time

STANDARD = (BEFORE_STOP, STOP_USER_ACTORS, STOP_EXTENSIONS, STOP_SYSTEM, AFTER_STOP)


class Go(Message[None]):
    """Do the actor's one task."""


class Quiet(Actor):
    """Records when it is stopped."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def on_stop(self) -> None:
        self.said.append(f"{self.ref.name} stops")


class Deaf(Actor):
    """Its handler takes an hour, and records whether it was cancelled."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    @handler
    async def go(self, _: Go) -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            self.said.append("cut short")


def says(said: list[str], what: str, seconds: float = 0) -> Callable[[], Coroutine[object, object, None]]:
    """Return a task that takes a while and then records a text."""

    async def task() -> None:
        await asyncio.sleep(seconds)
        said.append(what)

    return task


async def raises() -> None:
    """Fail."""
    raise ValueError("cannot say goodbye")


async def hangs() -> None:
    """Never return."""
    await asyncio.get_running_loop().create_future()


def outcomes(node: Node) -> dict[str, str]:
    """Return the outcome of each task."""
    return {report.name: report.outcome for report in node.shutdown.reports}


# --- order -----------------------------------------------------------------------------------------------------------


@virtual_time
async def test_phases_run_in_order_and_their_tasks_concurrently() -> None:
    """Tasks before the actors stop, the actors newest first, then what comes after them."""
    said: list[str] = []
    async with Node() as node:
        await node.spawn(Quiet, said, name="old")
        await node.spawn(Quiet, said, name="new")
        node.shutdown.add(BEFORE_STOP, "slow", says(said, "slow goodbye", 2))
        node.shutdown.add(BEFORE_STOP, "fast", says(said, "fast goodbye", 1))
        node.shutdown.add(AFTER_STOP, "last", says(said, "last word"))
        began = node.system.loop.time()
    assert said == ["fast goodbye", "slow goodbye", "new stops", "old stops", "last word"]
    assert node.system.loop.time() - began == 2
    assert node.shutdown.reason == "the block was left"
    assert TaskReport(BEFORE_STOP, "slow", "done", 2.0) in node.shutdown.reports


@virtual_time
async def test_an_added_phase_comes_where_it_says() -> None:
    """``after`` and ``before`` put a phase between others."""
    said: list[str] = []
    async with Node() as node:
        await node.spawn(Quiet, said, name="actor")
        node.shutdown.add_phase("flush", after=[STOP_USER_ACTORS], before=[STOP_EXTENSIONS])
        node.shutdown.add("flush", "flush", says(said, "flushed"))
        node.shutdown.add(STOP_SYSTEM, "beside", says(said, "beside the system"))
        assert node.shutdown.phases() == (*STANDARD[:2], "flush", *STANDARD[2:])
    assert said == ["actor stops", "flushed", "beside the system"]


def _has_ring(after: dict[str, frozenset[str]]) -> bool:
    """Whether a phase comes, over any number of steps, after itself."""
    reach = {name: set(names) for name, names in after.items()}
    for _ in after:
        for names in reach.values():
            names |= {further for name in list(names) for further in reach[name]}
    return any(name in names for name, names in reach.items())


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.frozensets(st.sampled_from("abcdefgh")), max_size=8))
def test_each_phase_comes_after_those_it_names(after: dict[str, frozenset[str]]) -> None:
    """For any graph: an order that keeps every edge, or an error that names what is wrong."""
    phases = [Phase(name, names) for name, names in after.items()]
    unknown = any(not names <= after.keys() for names in after.values())
    if unknown or _has_ring(after):
        with pytest.raises(InvalidOption, match="which is not a phase" if unknown else "in a cycle"):
            in_order(phases)
        return
    order = [phase.name for phase in in_order(phases)]
    assert sorted(order) == sorted(after)
    assert all(order.index(before) < order.index(name) for name, names in after.items() for before in names)


# --- what goes wrong -------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_task_that_fails_is_reported_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged, the report says failed, and everything else happens."""
    said: list[str] = []
    async with Node("house") as node:
        await node.spawn(Quiet, said, name="actor")
        node.shutdown.add(BEFORE_STOP, "rude", raises)
        node.shutdown.add(AFTER_STOP, "last", says(said, "last word"))
    assert said == ["actor stops", "last word"]
    assert TaskReport(BEFORE_STOP, "rude", "failed", 0.0, "ValueError: cannot say goodbye") in node.shutdown.reports
    head = "shutdown of node house (the block was left) phase before_stop: rude failed, and the rest goes on\n"
    assert [record.message.startswith(head) for record in caplog.records] == [True]


@virtual_time
async def test_a_task_that_hangs_is_cancelled_after_its_phase_s_time() -> None:
    """Five seconds by default, and never more than half of the time that is left."""
    said: list[str] = []
    async with Node(shutdown_s=100) as node:
        node.shutdown.add_phase("long", before=[BEFORE_STOP], timeout_s=70)
        node.shutdown.add("long", "hangs long", hangs)
        node.shutdown.add(BEFORE_STOP, "hangs", hangs)
        node.shutdown.add(AFTER_STOP, "last", says(said, "last word"))
    assert said == ["last word"]
    assert TaskReport("long", "hangs long", "timed_out", 50.0) in node.shutdown.reports
    assert TaskReport(BEFORE_STOP, "hangs", "timed_out", 5.0) in node.shutdown.reports


@virtual_time
async def test_a_phase_that_must_not_fail_skips_the_later_tasks_but_not_the_actors() -> None:
    """With recover=False what users added to later phases is skipped; no actor is left running."""
    said: list[str] = []
    async with Node() as node:
        await node.spawn(Quiet, said, name="actor")
        node.shutdown.add_phase("vital", before=[BEFORE_STOP], recover=False)
        node.shutdown.add("vital", "rude", raises)
        node.shutdown.add(BEFORE_STOP, "polite", says(said, "goodbye"))
    assert said == ["actor stops"]
    assert outcomes(node)["polite"] == "skipped"


@virtual_time
async def test_what_is_left_at_the_deadline_is_killed() -> None:
    """An actor whose handler goes on is killed, its task unwinds, and files are still closed."""
    said: list[str] = []
    async with Node(shutdown_s=4) as node:
        deaf = await node.spawn(Deaf, said, shutdown_s=None)
        deaf.tell(Go())
        await asyncio.sleep(1)
        node.shutdown.add(AFTER_STOP, "last", says(said, "last word", 0.5))
        began = node.system.loop.time()
    assert said == ["cut short", "last word"]
    assert node.system.loop.time() - began == 4.5
    assert await deaf.wait_stopped() == "killed"
    assert outcomes(node)["actors under /user"] == "timed_out"
    assert node.accounting().missing == 0


@virtual_time
async def test_a_task_whose_own_wait_was_cancelled_has_failed() -> None:
    """A CancelledError that was not sent to the task is an error of the task, not the end of the shutdown."""
    said: list[str] = []

    async def awaits_a_cancelled_one() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with Node() as node:
        node.shutdown.add(BEFORE_STOP, "odd", awaits_a_cancelled_one)
        node.shutdown.add(AFTER_STOP, "last", says(said, "last word"))
    assert outcomes(node)["odd"] == "failed"
    assert said == ["last word"]


# --- who begins it ---------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_second_call_waits_for_the_first() -> None:
    """The phases run once, and all callers return when the node is down."""
    said: list[str] = []
    async with Node() as node:
        node.shutdown.add(BEFORE_STOP, "once", says(said, "once", 3))
        first, second = asyncio.create_task(node.stop("first")), asyncio.create_task(node.stop("second"))
        await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
        assert node.system.root.gone
        await asyncio.gather(first, second)
    assert (said, node.shutdown.reason) == (["once"], "first")


class Ender(Actor):
    """Ends the node by a call in a handler."""

    @handler
    async def go(self, _: Go) -> None:
        with pytest.raises(
            CallerError, match=r"waits for its own end; call node\.shutdown\.begin\(reason\) and return"
        ):
            await self.node.stop()
        self.node.shutdown.begin("the actor says so")


@virtual_time
async def test_an_actor_begins_the_shutdown_without_waiting_for_it() -> None:
    """In a handler waiting is refused, since it would be for its own end; outside, `wait` returns at the end."""
    async with Node() as node:
        ender: ActorRef = await node.spawn(Ender)
        ender.tell(Go())
        await node.shutdown.wait()
        assert node.shutdown.reason == "the actor says so"


@virtual_time
async def test_nothing_is_added_once_it_has_begun() -> None:
    """Tasks, phases and actors are refused."""
    async with Node() as node:
        node.shutdown.add(BEFORE_STOP, "taken", hangs)
        with pytest.raises(InvalidOption, match=r"^phase before_stop has a task 'taken' already: choose another name$"):
            node.shutdown.add(BEFORE_STOP, "taken", hangs)
        with pytest.raises(
            InvalidOption, match=r"^there is no phase 'never'; the phases: before_stop, stop_user_actors,"
        ):
            node.shutdown.add("never", "task", hangs)
        with pytest.raises(InvalidOption, match=r"^the phases come after one another in a cycle: "):
            node.shutdown.add_phase("ring", after=[AFTER_STOP], before=[BEFORE_STOP])
        assert node.shutdown.phases() == STANDARD
        node.shutdown.remove(BEFORE_STOP, "taken")
        await node.stop("enough")
        with pytest.raises(NodeClosed, match=r"^the shutdown has begun \(enough\): nothing can be added to it$"):
            node.shutdown.add(BEFORE_STOP, "late", hangs)
        with pytest.raises(NodeClosed):
            await node.spawn(Ender)


def test_a_block_that_is_cancelled_twice_is_left_at_once() -> None:
    """The first cancellation goes down in order, the second kills what is left, and no task stays behind."""
    said: list[str] = []

    async def block() -> None:
        async with Node(shutdown_s=None) as node:
            deaf = await node.spawn(Deaf, said, shutdown_s=None)
            deaf.tell(Go())
            await hangs()

    async def main() -> float:
        task = asyncio.create_task(block())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return asyncio.get_running_loop().time()

    run_virtual(main)
    assert said == ["cut short"]


# --- a handler that wants to end the program -------------------------------------------------------------------------


class Quitter(Actor):
    """Raises an error that is not an Exception."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    @handler
    def go(self, _: Go) -> None:
        raise self.error


class SlowQuitter(Actor):
    """Does so in a task."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    @handler
    async def go(self, _: Go) -> None:
        await asyncio.sleep(1)
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("actor", [Quitter, SlowQuitter])
def test_a_handler_ends_the_program_in_order(error: BaseException, actor: type[Quitter | SlowQuitter]) -> None:
    """The actor fails as with any error, the node shuts down in order, and the block raises that error itself."""
    said: list[str] = []

    async def main() -> Node:
        node = Node()

        async def block() -> None:
            async with node:
                await node.spawn(Quiet, said, name="other")
                quitter = await node.spawn(actor, error)
                quitter.tell(Go())
                await hangs()

        with pytest.raises(type(error)) as raised:
            await block()
        assert raised.value is error
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        return node

    node = run_virtual(main)
    assert said == ["other stops"]
    assert node.system.dead_letters["failed"] == 1
    assert str(node.shutdown.reason).startswith(type(error).__name__)


class Odd(BaseException):
    """A BaseException that does not end the program."""


@virtual_time
async def test_any_other_base_exception_is_a_failure_like_any() -> None:
    """The actor is restarted, and the node goes on."""
    async with Node() as node:
        quitter = await node.spawn(Quitter, Odd())
        quitter.tell(Go())
        await asyncio.sleep(1)
        assert cell_of(quitter).restarts == 1


@virtual_time
async def test_an_idle_node_ends_without_a_wait() -> None:
    """Twenty nodes, each with an actor and a listener, are started and ended at one moment of the clock."""
    loop = asyncio.get_running_loop()
    for n in range(20):
        async with Node(f"idle-{n}", listen=f"inprocess://idle-{n}") as node:
            none: list[str] = []
            await node.spawn(Quiet, none)
            began = loop.time()
        assert loop.time() == began


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "trouper")
