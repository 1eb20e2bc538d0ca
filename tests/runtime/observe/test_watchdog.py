"""The loop watchdog, on a real loop in real time that is really blocked.

A block waits for an event that never comes, for a few tenths of a second.  The tests assume only that a thread gets to
run within that time.
"""

from __future__ import annotations

import asyncio
import logging
import re
import selectors
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from itertools import islice

import pytest

from tests.runtime.stage import play
from trouper import Actor, InvalidOption, Message, Node, handler
from trouper.runtime.kernel.dispatcher import Dispatcher
from trouper.runtime.observe import watchdog
from trouper.runtime.observe.watchdog import LoopBlocked, LoopSample
from trouper.testing import Probe

HELD_S = 0.5
SLOW_S = 0.1
Next = Callable[[], Awaitable[LoopBlocked]]


def block(seconds: float = HELD_S) -> None:
    """Hold the loop without using the processor."""
    threading.Event().wait(seconds)


class Plain(Message[int]):
    """A plain handler that blocks."""


class Waits(Message[int]):
    """An async handler that blocks after an await."""


class Selects(Message[int]):
    """A plain handler that blocks where an idle loop blocks, too."""


class Quick(Message[int]):
    """A handler that does nothing."""


class Holder(Actor):
    @handler
    def plain(self, _: Plain) -> int:
        block()
        return 1

    @handler
    async def waits(self, _: Waits) -> int:
        await asyncio.sleep(0.01)
        block()
        return 1

    @handler
    def selects(self, _: Selects) -> int:
        with selectors.DefaultSelector() as selector:
            selector.select(HELD_S)
        return 1

    @handler
    def quick(self, _: Quick) -> int:
        return 1


class BlocksAtStart(Actor):
    def on_start(self) -> None:
        block()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what only another thread brings about."""
    while not condition():  # noqa: ASYNC110  there is no event for it
        await asyncio.sleep(0.01)


def watched(scene: Callable[[Node, Next], Coroutine[object, object, None]]) -> None:
    """Run a scene on a node in a real loop; it gets a function that waits for the next report."""

    async def main() -> None:
        async with Node("n1", slow_handler_s=SLOW_S) as node:
            stream = node.events.stream(LoopBlocked)
            await asyncio.wait_for(scene(node, lambda: anext(stream)), 30)

    asyncio.run(main())


def test_a_plain_handler_is_named_with_its_line(caplog: pytest.LogCaptureFixture) -> None:
    """The log names the actor, the time and the place; so do the event, the counters and the recorder."""
    caplog.set_level(logging.WARNING, "trouper")

    async def scene(node: Node, report: Next) -> None:
        holder = await node.spawn(Holder, name="holder")
        began = time.monotonic()
        holder.tell(Plain())
        stall = await report()
        assert (stall.actor, stall.handler) == (str(holder.address), "Holder.plain")
        assert stall.place is not None
        assert re.fullmatch(r"observe/test_watchdog\.py:\d+", stall.place)
        assert SLOW_S <= stall.blocked_s <= time.monotonic() - began
        assert node.watchdog is not None
        assert (node.watchdog.stalls, node.watchdog.blocked_s) == (1, stall.blocked_s)
        (entry,) = node.recorder.entries("loop_blocked")
        assert entry.text == f"{stall.blocked_s * 1_000:.0f} ms in Holder.plain ({stall.place})"

    watched(scene)
    (line,) = [record.message for record in caplog.records]
    assert re.fullmatch(
        r"trouper://n1/user/holder#\d+ blocked the loop for \d+ ms in Holder\.plain \(observe/test_watchdog\.py:\d+\)",
        line,
    )


@pytest.mark.parametrize(
    ("message", "name"), [(Waits(), "Holder.waits"), (Selects(), "Holder.selects"), (Plain(), "Holder.plain")]
)
def test_every_kind_of_handler_is_named(message: Message[int], name: str) -> None:
    """Async ones between their awaits, those that block in a selector as the loop does, those answered inline."""

    async def scene(node: Node, report: Next) -> None:
        holder = await node.spawn(Holder)
        holder.tell(Quick())  # wakes the thread: on an idle loop only a told message is found at once
        await asyncio.sleep(0)
        await holder.ask(message, timeout_s=20)
        stall = await report()
        assert (stall.actor, stall.handler) == (str(holder.address), name)

    watched(scene)


def test_a_hook_and_code_outside_of_actors_are_named() -> None:
    """Everything that blocks the loop is found, not handlers alone."""

    async def scene(node: Node, report: Next) -> None:
        holder = await node.spawn(Holder)
        holder.tell(Quick())
        await asyncio.sleep(0)
        blocker = await node.spawn(BlocksAtStart)
        stall = await report()
        assert (stall.actor, stall.handler) == (str(blocker.address), "BlocksAtStart.on_start")
        holder.tell(Quick())
        await asyncio.sleep(0)
        block()
        stall = await report()
        assert stall.actor is None

    watched(scene)


def test_one_place_is_logged_once_in_a_while_and_counted_each_time(caplog: pytest.LogCaptureFixture) -> None:
    """A handler that is always slow fills no log."""
    caplog.set_level(logging.WARNING, "trouper")

    async def scene(node: Node, report: Next) -> None:
        holder = await node.spawn(Holder)
        for _ in range(2):
            holder.tell(Plain())
            assert (await report()).handler == "Holder.plain"

    watched(scene)
    assert len([record for record in caplog.records if "blocked the loop" in record.message]) == 1


def test_a_stall_that_does_not_end_is_reported_while_it_lasts(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless block would otherwise never be reported."""
    caplog.set_level(logging.WARNING, "trouper")
    monkeypatch.setattr(watchdog, "ONGOING_REPORT_S", 0.2)

    async def scene(node: Node, report: Next) -> None:
        holder = await node.spawn(Holder)
        holder.tell(Plain())
        await report()

    watched(scene)
    first_line = caplog.records[0].message
    assert re.search(
        r"holder|\$\d+#\d+ has blocked the loop for 0 s and still does: Holder\.plain \(observe/test_watchdog",
        first_line,
    )


def test_an_idle_loop_is_left_asleep() -> None:
    """The thread goes to sleep, and stands where the first turn of the dispatcher wakes it."""

    async def scene(node: Node, _: Next) -> None:
        dispatcher = node.system.dispatcher
        await until(lambda: dispatcher.turn_callback != dispatcher.turn)
        holder = await node.spawn(Holder)
        holder.tell(Quick())
        await until(lambda: dispatcher.turn_callback == dispatcher.turn)

    watched(scene)


def test_the_thread_only_reads_what_it_shares_with_the_loop() -> None:
    """Every attribute of the watchdog and of the dispatcher is set in the loop's thread (law 3 of the file)."""
    writers: set[tuple[str, int]] = set()
    loop_thread = threading.get_ident()

    def noting(self: object, name: str, value: object) -> None:
        writers.add((name, threading.get_ident()))
        object.__setattr__(self, name, value)

    async def scene(node: Node, report: Next) -> None:
        dispatcher = node.system.dispatcher
        holder = await node.spawn(Holder)
        for _ in range(2):
            await until(lambda: dispatcher.turn_callback != dispatcher.turn)
            holder.tell(Plain())
            assert (await report()).handler == "Holder.plain"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watchdog.LoopWatchdog, "__setattr__", noting)
        patch.setattr(Dispatcher, "__setattr__", noting)
        watched(scene)
    assert {"turn_callback", "stalls", "_first"} <= {name for name, _ in writers}
    assert {thread for _, thread in writers} == {loop_thread}


def test_the_thread_ends_with_the_node() -> None:
    """No thread is left, and the dispatcher is as it was."""

    async def main() -> Node:
        async with Node("brief") as node:
            assert "trouper-watchdog-brief" in [thread.name for thread in threading.enumerate()]
            return node

    node = asyncio.run(main())
    assert "trouper-watchdog-brief" not in [thread.name for thread in threading.enumerate()]
    assert node.system.dispatcher.turn_callback == node.system.dispatcher.turn


def test_nothing_is_watched_where_it_makes_no_sense() -> None:
    """Not on virtual time, not when it is turned off; and 0 seconds are refused."""

    async def on_virtual_time() -> None:
        async with Node() as node:
            probe = Probe(node)
            assert (node.watchdog, probe.ref.name) == (None, probe.ref.name)

    async def turned_off() -> None:
        async with Node(slow_handler_s=None) as node:
            assert node.watchdog is None

    play(on_virtual_time)
    asyncio.run(turned_off())
    with pytest.raises(InvalidOption, match=r"^slow_handler_s=0 must be above 0, in seconds; None is no watch$"):
        Node(slow_handler_s=0)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("aaaa", "a"),
        ("aaab", "a"),
        ("ab", None),
        ("aabc", None),
        ("aa  ", None),
        ("aaa ", "a"),
        ("", None),
    ],
)
def test_only_a_handler_in_most_samples_is_named(lines: str, expected: str | None) -> None:
    """A loop that was busy with many short handlers has no such handler; a blank is a sample of no handler."""
    samples = [None if line == " " else LoopSample(None, line, "file.py", number) for number, line in enumerate(lines)]
    found = watchdog._main_sample(samples)  # noqa: SLF001  the decision alone, without a thread
    assert (None if found is None else found.handler) == expected


def test_the_line_where_it_was_seen_most_is_named() -> None:
    """A handler is sampled at several lines; the one that took longest stands for it."""
    samples: list[LoopSample | None] = [LoopSample(None, "slow", "file.py", line) for line in (3, 7, 7, 9)]
    found = watchdog._main_sample(samples)  # noqa: SLF001  the decision alone, without a thread
    assert found == next(islice(samples, 1, None))
