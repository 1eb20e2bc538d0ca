"""A crash at any point: what was acknowledged is there, nothing was invented, and the order is kept."""

import asyncio
import itertools
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.runtime.journal import FileJournal, JournalError, SimulatedDisk, SimulatedPowerLoss, Snapshot
from trouper.runtime.journal.file import Fsync
from trouper.testing import run_virtual

Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 4)),
        st.tuples(st.just("burst"), st.integers(2, 5)),
        st.tuples(st.just("snapshot"), st.just(0)),
        st.tuples(st.just("truncate"), st.integers(0, 100)),
        st.tuples(st.just("drop"), st.integers(0, 100)),
        st.tuples(st.just("reopen"), st.just(0)),
    ),
    min_size=1,
    max_size=25,
)
EVERYTHING: list[Step] = [
    ("append", 2), ("burst", 3), ("snapshot", 0), ("append", 4), ("append", 1), ("snapshot", 0), ("truncate", 50),
    ("burst", 4), ("append", 3), ("snapshot", 0), ("truncate", 100), ("reopen", 0), ("append", 2), ("burst", 2),
    ("append", 4), ("burst", 4), ("snapshot", 0), ("append", 4), ("drop", 90), ("append", 2), ("drop", 97),
    ("burst", 5), ("append", 4), ("reopen", 0), ("drop", 60), ("append", 3), ("drop", 0), ("append", 1),
]  # fmt: skip


class Model:
    """What was handed to one stream, in order, and what of it was acknowledged."""

    def __init__(self, scale: int = 1) -> None:
        self.scale = scale
        self.submitted: list[bytes] = []
        self.acknowledged = 0
        self.truncated = 0
        self.snapshots: list[int] = []
        self._numbers = itertools.count()

    def payloads(self, count: int) -> list[bytes]:
        """Make records, each with a number of its own and a length of its own."""
        numbers = itertools.islice(self._numbers, count)
        return [b"%d " % number + bytes((number % 3,)) * (number % 13 * self.scale) for number in numbers]

    async def append(self, journal: FileJournal, payloads: list[bytes]) -> None:
        """Append one after what was submitted before it; its acknowledgement stands for all of those."""
        self.submitted += payloads
        last = len(self.submitted)
        assert await journal.append("s", payloads) == last
        self.acknowledged = max(self.acknowledged, last)

    async def check(self, journal: FileJournal, *, durable: bool) -> None:
        """Hold the journal, after a crash, against the model; then take it for what there is."""
        read = [(record.sequence, record.payload) async for record in journal.read("s")]
        first = read[0][0] if read else len(self.submitted) + 1
        kept = first - 1 + len(read)
        assert read == list(enumerate(self.submitted[first - 1 : kept], first))
        assert not read or first <= self.truncated + 1
        snapshot = await journal.load_snapshot("s")
        found = 0 if snapshot is None else snapshot.sequence
        assert found <= await journal.last_sequence("s")
        assert snapshot is None or snapshot.payload == self.snapshot_at(found)
        if durable:
            assert await journal.last_sequence("s") >= self.acknowledged
        assert found >= max(self.snapshots, default=0)
        del self.submitted[await journal.last_sequence("s") :]
        self.acknowledged, self.snapshots = len(self.submitted), [found] if found else []

    def snapshot_at(self, sequence: int) -> bytes:
        """Make the snapshot of the records up to a sequence; it differs once that record is another one."""
        return b"snapshot of " + b"".join(self.submitted[sequence - 1 : sequence])

    async def drop(self, journal: FileJournal, target: int) -> None:
        """Truncate after a sequence; until that is acknowledged, what comes after it may be there."""
        self.acknowledged = min(self.acknowledged, target)
        self.snapshots = [sequence for sequence in self.snapshots if sequence <= target]
        await journal.truncate_after("s", target)
        del self.submitted[target:]
        assert await journal.last_sequence("s") == len(self.submitted)


async def _perform(journal: FileJournal, model: Model, step: Step) -> None:
    action, number = step
    if action == "append":
        await model.append(journal, model.payloads(number))
    elif action == "burst":
        results = await asyncio.gather(
            *(model.append(journal, model.payloads(1 + each % 2)) for each in range(number)), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
    elif action == "snapshot":
        sequence = model.acknowledged
        await journal.save_snapshot("s", Snapshot(sequence, model.snapshot_at(sequence)))
        model.snapshots = sorted({*model.snapshots, sequence})[-2:]
    elif action == "truncate":
        model.truncated = max(model.truncated, number * model.acknowledged // 100)
        await journal.truncate("s", model.truncated)
    elif action == "drop":
        await model.drop(journal, max(model.truncated, number * len(model.submitted) // 100))
    else:
        await journal.close()
        await journal.open()


def _journal(disk: SimulatedDisk, fsync: Fsync, scale: int) -> FileJournal:
    return FileJournal("j", disk=disk, fsync=fsync, every_s=0.5, segment_bytes=120 * scale, read_bytes=37 * scale)


async def _live_and_crash(disk: SimulatedDisk, model: Model, steps: list[Step], rng: Random, fsync: Fsync) -> bool:
    """Go through the steps until the machine goes down, let it come up again, and check; says whether it went down."""
    journal = _journal(disk, fsync, model.scale)
    try:
        await journal.open()
        for step in steps:
            await _perform(journal, model, step)
    except (SimulatedPowerLoss, JournalError):
        assert disk.down
    crashed = disk.down
    disk.crash(rng)
    survivor = _journal(disk, fsync, model.scale)
    await survivor.open()
    await model.check(survivor, durable=fsync == "every_append")
    await survivor.close()
    return crashed


@pytest.mark.parametrize("scale", [1, 400])
@pytest.mark.parametrize("seed", range(4))
def test_a_crash_at_every_operation_of_a_full_program(seed: int, scale: int) -> None:
    """Every write, fsync, rename and removal is once the last one; records span sectors and pages, or share one."""
    for crash_at in itertools.count(1):
        disk, rng = SimulatedDisk(crash_at=crash_at), Random(f"{seed} {crash_at}")
        model = Model(scale)
        if not run_virtual(lambda: _live_and_crash(disk, model, EVERYTHING, rng, "every_append")):  # noqa: B023  run at once
            assert crash_at > 35, "the program was to be long enough to be worth it"
            return


@given(lives=st.lists(st.tuples(STEPS, st.integers(1, 60)), min_size=1, max_size=4), seed=st.integers(0, 1 << 32))
def test_acknowledged_appends_survive_many_lives(lives: list[tuple[list[Step], int]], seed: int) -> None:
    """Life after life on one disk, each ended by a crash somewhere: what was acknowledged in any of them is there."""

    async def main() -> None:
        disk, rng, model = SimulatedDisk(), Random(seed), Model()
        for steps, crash_after in lives:
            disk.crash_at = disk.operations + crash_after
            await _live_and_crash(disk, model, steps, rng, "every_append")

    run_virtual(main)


@given(
    lives=st.lists(st.tuples(STEPS, st.integers(1, 60)), min_size=1, max_size=4),
    fsync=st.sampled_from(["every_s", "never"]),
    seed=st.integers(0, 1 << 32),
)
def test_without_an_fsync_a_crash_takes_an_end_and_never_a_middle(
    lives: list[tuple[list[Step], int]], fsync: Fsync, seed: int
) -> None:
    """Under the other policies the last records may be gone; what is read is still a prefix of what was appended."""

    async def main() -> None:
        disk, rng, model = SimulatedDisk(), Random(seed), Model()
        for steps, crash_after in lives:
            disk.crash_at = disk.operations + crash_after
            await _live_and_crash(disk, model, steps, rng, fsync)

    run_virtual(main)


WRITER = """
import asyncio, sys
from trouper import FileJournal

async def main():
    async with FileJournal(sys.argv[1], fsync=sys.argv[2], segment_bytes=2_000) as journal:
        while True:
            print(await journal.append("s", [b"a record", b"and another"]), flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("fsync", ["every_append", "every_s", "never"])
def test_a_process_that_is_killed_loses_nothing_acknowledged(fsync: Fsync, tmp_path: Path) -> None:
    """A real process is killed while it appends; what was acknowledged is on the disk, under any policy."""
    last = 0
    for life in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), fsync], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(50 + life):
                last = int(writer.stdout.readline())
            writer.kill()

        async def read() -> list[bytes]:
            async with FileJournal(tmp_path) as journal:
                return [record.payload async for record in journal.read("s")]

        records = asyncio.run(read())
        assert len(records) >= last
        assert records == [b"a record", b"and another"] * (len(records) // 2)
