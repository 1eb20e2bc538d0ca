import asyncio
import re
import threading
import time
from collections.abc import Callable, Coroutine

import pytest

from trouper import Actor, AskTimeout, Message, Node, handler
from trouper.testing import NotVirtual, Stalled, StepsExceeded, VirtualLoop, run_virtual, settle, virtual_time
from trouper.testing.virtual_time import START_S


class Ping(Message[int]):
    pass


class Tick(Message):
    pass


def now() -> float:
    """The time of the running loop."""
    return asyncio.get_running_loop().time()


def test_the_clock_starts_at_a_fixed_number() -> None:
    """Every run begins at the same time, so that its times can be compared with another run's."""

    async def main() -> float:
        return now()

    assert run_virtual(main) == run_virtual(main) == START_S


@virtual_time
async def test_sleeps_jump() -> None:
    """An hour of sleep takes an hour of the loop's time, and hardly any of ours."""
    begin = time.monotonic()
    await asyncio.sleep(3600)
    assert now() == START_S + 3600
    assert time.monotonic() - begin < 60


@virtual_time
async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    """The clock stops at each timer on its way."""
    woken: list[tuple[float, str]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((now() - START_S, name))

    await asyncio.gather(sleeper("late", 30.0), sleeper("soon", 1.0), sleeper("never mind", 2.0))
    assert woken == [(1.0, "soon"), (2.0, "never mind"), (30.0, "late")]


@virtual_time
async def test_timeouts_obey_virtual_time() -> None:
    """`asyncio.timeout` fires at its deadline, and not when real time has passed."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await asyncio.sleep(10)
    assert now() == START_S + 2


@virtual_time
async def test_timers_and_deadlines_of_actors_obey_virtual_time() -> None:
    """The timers of an unmodified actor, and the deadlines of asks, are timers of the loop."""
    ticks: list[float] = []

    class Clock(Actor):
        def on_start(self) -> None:
            self.timers.every("tick", 60.0, Tick())

        @handler
        def tick(self, msg: Tick) -> None:
            ticks.append(now() - START_S)

        @handler
        async def ping(self, msg: Ping) -> int:
            await asyncio.sleep(3600)
            return 1

    async with Node() as node:
        clock = await node.spawn(Clock, name="clock")
        await asyncio.sleep(181)
        assert ticks == [60.0, 120.0, 180.0]
        with pytest.raises(AskTimeout):
            await clock.ask(Ping(), timeout_s=90)
        assert now() == START_S + 271


@virtual_time
async def test_settling_waits_for_everything_but_the_clock() -> None:
    """After `settle` all that can happen now has happened, and the time is the same."""
    steps: list[int] = []

    async def walker() -> None:
        for step in range(50):
            steps.append(step)
            await asyncio.sleep(0)
        await asyncio.sleep(1)
        steps.append(-1)

    task = asyncio.create_task(walker())
    await settle()
    assert (steps, now()) == (list(range(50)), START_S)
    await task


def test_settling_on_another_loop_is_refused() -> None:
    """Only the virtual loop knows when nothing more can happen."""
    with pytest.raises(NotVirtual, match=r"^settle\(\) cannot tell when <.*> has nothing to do: use run_"):
        asyncio.run(settle())


def test_a_program_that_can_never_go_on_fails_at_once() -> None:
    """Nothing ready and no timer: the error says which tasks wait, where, and which actors have mail."""

    class Stuck(Actor):
        @handler
        async def ping(self, msg: Ping) -> int:
            await asyncio.get_running_loop().create_future()
            return 1

    async def main() -> None:
        async with Node("n") as node:
            stuck = await node.spawn(Stuck, name="stuck")
            stuck.tell(Ping())
            stuck.tell(Ping())
            await stuck.wait_stopped()

    with pytest.raises(Stalled) as caught:
        run_virtual(main)
    report = str(caught.value)
    assert report.startswith("everything waits and no timer is set, so nothing can happen any more (a virtual loop nev")
    assert re.search(r"\n  Task-1 at [^\n]+test_virtual_time\.py:\d+ in [^\n]+main\n", report), report
    assert re.search(r"\n  Task-\d+ at test_virtual_time\.py:\d+ in [^\n]+Stuck\.ping, called from", report), report
    assert report.endswith("  trouper://n/user/stuck#4: live, 1 queued, at work on Ping, next Ping()"), report


def test_a_program_that_never_waits_fails_after_its_steps() -> None:
    """A busy loop ends with an error that names the limit."""

    async def main() -> None:
        while True:  # noqa: ASYNC110  the fault that is meant
            await asyncio.sleep(0)

    expected = r"^no end after 500 steps, at 0 s of virtual time: look for a loop that never waits, or give step"
    with pytest.raises(StepsExceeded, match=expected):
        run_virtual(main, steps_max=500)


@virtual_time
async def test_work_for_threads_runs_in_the_loop() -> None:
    """Offloaded functions run one after the other, in this thread, and take no virtual time."""
    ran: list[int] = []

    def work(number: int) -> int:
        ran.append(number)
        assert threading.current_thread() is threading.main_thread()
        return number * 10

    assert await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(5))) == [0, 10, 20, 30, 40]
    assert (ran, now()) == ([0, 1, 2, 3, 4], START_S)
    async with Node() as node:
        assert await node.offload(work, 7) == 70


@virtual_time
async def test_work_for_threads_raises_what_it_raises() -> None:
    """A blocking function's error comes to who awaits it."""
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 // 0)


async def _connects() -> None:
    await asyncio.open_connection("localhost", 1)


async def _serves() -> None:
    await asyncio.get_running_loop().create_server(asyncio.Protocol, "localhost", 0)


async def _starts_a_process() -> None:
    await asyncio.create_subprocess_exec("true")


async def _takes_signals() -> None:
    asyncio.get_running_loop().add_signal_handler(15, lambda: None)


@pytest.mark.parametrize("real", [_connects, _serves, _starts_a_process, _takes_signals])
def test_the_real_world_is_refused(real: Callable[[], Coroutine[object, object, None]]) -> None:
    """Sockets, processes and signals are not available, and the error says so."""
    expected = r"^loop\.\w+\(\): a virtual loop has no sockets, processes or signals; run this for real$"
    with pytest.raises(NotVirtual, match=expected):
        run_virtual(real)


@virtual_time
async def test_a_virtual_loop_does_not_run_inside_another() -> None:
    """A nested run is refused before anything of it has started."""
    with pytest.raises(NotVirtual, match=r"^a virtual loop cannot be run inside a running loop: call this"):
        run_virtual(_connects)


def test_what_is_left_behind_is_cancelled() -> None:
    """Tasks that the main coroutine leaves get their cancellation, as from `asyncio.run`."""
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("cancelled")

    async def main() -> str:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        return f"done, {task.get_name()}"

    assert run_virtual(main) == "done, Task-2"
    assert ended == ["cancelled"]


@pytest.mark.parametrize("number", [3])
@virtual_time(steps_max=100)
async def test_the_decorator_passes_parameters_on(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Fixtures and parameters reach a decorated test, and a limit can be given."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    assert (number, loop.steps_max, capsys.readouterr().out) == (3, 100, "")


def test_the_decorator_wants_a_coroutine_function() -> None:
    """A plain function has nothing that could wait."""

    def plain() -> None: ...

    with pytest.raises(NotVirtual, match=r"^@virtual_time wants an `async def`, and <function .*> is none$"):
        virtual_time(plain)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  wrong on purpose


@virtual_time
async def test_sets_of_tasks_have_the_order_of_their_making() -> None:
    """A task group cancels its tasks in an order that does not depend on where they lie in memory."""
    cancelled: list[int] = []

    async def member(number: int) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            cancelled.append(number)

    async def group_that_fails() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(member(number))
            await asyncio.sleep(1)
            raise RuntimeError("the group ends")

    with pytest.raises(ExceptionGroup):
        await group_that_fails()
    assert cancelled == list(range(100))


@virtual_time
async def test_the_clock_leaps_ahead_only() -> None:
    """A leap makes all timers of that time due at once; going back is refused."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    sleeper = asyncio.create_task(asyncio.sleep(5))
    await settle()
    loop.leap(100)
    await sleeper
    assert now() == START_S + 100
    with pytest.raises(NotVirtual, match=r"^leap\(-1\): the clock of a loop cannot go back$"):
        loop.leap(-1)


@virtual_time(steps_max=1_000)
async def test_no_timer_fires_early() -> None:
    """Two callbacks that wait for times a hair apart, by turns, do not keep the clock from getting there."""
    loop = asyncio.get_running_loop()
    due = {"one": now() + 1 + 1e-10, "two": now() + 1 + 2e-10}
    seen: list[str] = []

    def look(name: str) -> None:
        if loop.time() < due[name]:
            loop.call_at(due[name], look_soon, name)
        else:
            seen.append(name)

    def look_soon(name: str) -> None:
        loop.call_soon(look, name)

    loop.call_at(now() + 1, look_soon, "one")
    loop.call_at(now() + 1, lambda: loop.call_soon(look_soon, "two"))
    await asyncio.sleep(2)
    assert seen == ["one", "two"]
