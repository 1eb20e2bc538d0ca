import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import trouper
from trouper import Actor, ActorRef, Node, OneForOne, handler
from trouper.cli.demo.folder import FileCount
from trouper.cli.demo.workers import Coordinator, Counted, CounterReady, CountFile, GetTotals, Totals

FAILED = "its counters failed 2 times"


class FakeCounter(Actor):
    """Counts, crashes or stops, as `fates` says for each file; counts every file after those."""

    def __init__(self, coordinator: ActorRef, fates: Iterator[str]) -> None:
        self.coordinator, self.fates = coordinator, fates

    def on_start(self) -> None:
        self.coordinator.tell(CounterReady(self.ref))

    @handler
    def count(self, msg: CountFile) -> None:
        fate = next(self.fates, "count")
        if fate == "crash":
            raise RuntimeError(fate)
        if fate in ("count", "count and leave"):
            self.coordinator.tell(Counted(self.ref, msg.number, FileCount({msg.path: 1}, 1)))
        if fate in ("leave", "count and leave"):
            self.stop()


async def _count(files: int, fates: list[list[str]], *, last: bool = True) -> tuple[Totals, trouper.Accounting]:
    """Count with an actor for each list of fates, and a last one that only counts, so that the count ends."""
    async with Node(supervision=OneForOne(intensity=1_000)) as node:
        paths = [Path(str(number)) for number in range(files)]
        coordinator = await node.spawn(partial(Coordinator, paths, chaos=False))
        for each in [*fates, []] if last else fates:
            await node.spawn(partial(FakeCounter, coordinator, iter(each)))
        while True:
            totals = await coordinator.ask(GetTotals())
            if totals.progress.done == files:
                return totals, node.accounting()
            await asyncio.sleep(0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 12),
    st.lists(st.lists(st.sampled_from(["count", "crash", "leave", "count and leave"]), max_size=6), max_size=4),
)
def test_each_file_counts_once_whichever_counters_fail(files: int, fates: list[list[str]]) -> None:
    """Counters that crash or stop lose no file and double none; only a file that failed twice is skipped."""
    totals, accounting = trouper.run(partial(_count, files, fates))
    assert set(totals.counts.values()) <= {1}
    assert set(totals.skipped.values()) <= {FAILED}
    assert sorted([*totals.counts, *totals.skipped]) == sorted(map(str, range(files)))
    assert totals.progress.done == files
    assert totals.progress.size_bytes == len(totals.counts)
    assert accounting.missing == 0


def test_a_restart_hands_the_file_out_again_once() -> None:
    """One crash is one restart and one file handed out again, and no file is missing from the result."""
    totals, _ = trouper.run(partial(_count, 5, [["crash"]]))
    assert (totals.progress.restarts, totals.progress.reissued) == (1, 1)
    assert len(totals.counts) == 5


def test_a_file_that_fails_twice_is_skipped() -> None:
    """A file is handed out at most twice, so that one file cannot end all counters."""
    totals, _ = trouper.run(partial(_count, 2, [["crash", "crash"]], last=False))
    assert totals.skipped == {"0": FAILED}
    assert totals.counts == {"1": 1}
