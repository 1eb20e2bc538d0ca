"""``FileJournal``: the contract is in ``test_port.py``, crashes in ``test_file_crash.py``; here is what is its own."""

import asyncio
import logging
import re
import threading
from pathlib import Path, PurePath
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper import InvalidOption, Node
from trouper.runtime.journal import (
    FileJournal,
    InvalidStream,
    JournalClosed,
    JournalFailed,
    JournalLocked,
    RealDisk,
    RecordsGone,
    RecordTooLarge,
    SimulatedDisk,
    Snapshot,
    WrongSequence,
)
from trouper.runtime.journal.disk import AppendFile, DiskLock
from trouper.runtime.journal.file import STREAM_FOLDER_CHARS_MAX, folder_of
from trouper.testing import virtual_time


class CountingDisk(SimulatedDisk):
    """Counts the operations of each kind, and which files were open most at a time."""

    def __init__(self) -> None:
        super().__init__(fault=self._count)
        self.counts: dict[str, int] = {}
        self.files_open_max = 0
        self.refused: set[str] = set()
        self.refused_once = False
        """Whether the next fsync of a segment fails, and no other."""

    def _count(self, operation: str, path: PurePath) -> None:
        if operation in self.refused:
            raise OSError(5, f"{operation} of {path} refused")
        if self.refused_once and operation == "fsync" and path.suffix == ".log":
            self.refused_once = False
            raise OSError(5, f"{operation} of {path} refused once")
        self.counts[operation] = self.counts.get(operation, 0) + 1
        self.files_open_max = max(self.files_open_max, self.files_open)


async def _read(journal: FileJournal, stream: str) -> list[bytes]:
    return [record.payload async for record in journal.read(stream)]


@virtual_time
async def test_appends_that_arrive_together_share_an_fsync() -> None:
    """A hundred concurrent appends to one stream cost two fsyncs: the first one's, and one for all that waited."""
    disk = CountingDisk()
    async with FileJournal("j", disk=disk) as journal:
        await journal.append("s", [b"first"])
        before = disk.counts["fsync"]
        ends = await asyncio.gather(*(journal.append("s", [b"%d" % number]) for number in range(100)))
        assert ends == list(range(2, 102))
        assert disk.counts["fsync"] - before <= 2
        assert await _read(journal, "s") == [b"first", *(b"%d" % number for number in range(100))]


@virtual_time
async def test_only_the_append_that_expects_wrongly_fails_of_those_that_share_a_commit() -> None:
    """Each append of a commit is checked against those before it in the same commit."""
    async with FileJournal("j", disk=SimulatedDisk()) as journal:
        results = await asyncio.gather(
            *(journal.append("s", [b"%d" % expected], expected) for expected in (0, 0, 1, 2)), return_exceptions=True
        )
        assert [result if isinstance(result, int) else type(result) for result in results] == [1, WrongSequence, 2, 3]


@virtual_time
async def test_the_disk_is_asked_for_an_fsync_as_the_policy_says() -> None:
    """Under ``every_s`` one comes so long after the first append; under ``never`` none comes before the end."""
    disk, lazy = CountingDisk(), CountingDisk()
    async with (
        FileJournal("j", disk=disk, fsync="every_s", every_s=2.0) as journal,
        FileJournal("j", disk=lazy, fsync="never") as other,
    ):
        for number in range(3):
            await journal.append("s", [b"%d" % number])
            await other.append("s", [b"%d" % number])
        await asyncio.sleep(1.9)
        assert (disk.counts.get("fsync"), lazy.counts.get("fsync")) == (None, None)
        await asyncio.sleep(0.2)
        assert disk.counts["fsync"] == 1
        await asyncio.sleep(3_600)
        assert disk.counts["fsync"] == 1, "there was nothing new to make durable"
    assert lazy.counts["fsync"] == 1


@virtual_time
async def test_an_interval_fsync_that_fails_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """A warning names the stream; what was acknowledged stays readable."""
    disk = CountingDisk()
    async with FileJournal("j", disk=disk, fsync="every_s", every_s=2.0) as journal:
        await journal.append("s", [b"x"])
        disk.refused.add("fsync")
        with caplog.at_level(logging.WARNING):
            await asyncio.sleep(3)
        assert caplog.messages == ["stream s was not fsynced"], "nothing could be written to another file either"
        disk.refused.clear()
        assert await _read(journal, "s") == [b"x"]


@virtual_time
async def test_an_append_that_the_disk_refuses_fails_with_its_reason_and_the_next_one_succeeds() -> None:
    """The error names the stream and the cause; every append that shared the commit gets it, and none of it is read."""
    disk = CountingDisk()
    async with FileJournal("j", disk=disk) as journal:
        await journal.append("s", [b"x"])
        disk.refused.add("fsync")
        results = await asyncio.gather(*(journal.append("s", [b"lost"]) for _ in "12"), return_exceptions=True)
        for result in results:
            assert isinstance(result, JournalFailed)
            assert re.match(r"^stream 's' of j: \[Errno 5\] fsync of .*\.log refused$", str(result))
            assert isinstance(result.__cause__, OSError)
        disk.refused.clear()
        assert await journal.append("s", [b"y"], 1) == 2
        assert await _read(journal, "s") == [b"x", b"y"]


@virtual_time
async def test_an_append_that_is_given_up_is_there_whole_or_not_at_all() -> None:
    """Cancelling a caller neither breaks the stream nor stops the other callers."""
    async with FileJournal("j", disk=SimulatedDisk()) as journal:
        tasks = [asyncio.ensure_future(journal.append("s", [b"%d" % number] * 2)) for number in range(4)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError, int, asyncio.CancelledError, int]
        read = await _read(journal, "s")
        assert read in ([b"1", b"1", b"3", b"3"], [b"0", b"0", b"1", b"1", b"3", b"3"])


@virtual_time
async def test_no_more_files_are_open_than_streams_may_be() -> None:
    """Far more streams than handles: the least used is closed, its data stays, and all handles are gone at the end."""
    disk = CountingDisk()
    async with FileJournal("j", disk=disk, streams_open_max=3, fsync="never") as journal:
        for turn in range(3):
            for number in range(20):
                assert await journal.append(f"s{number}", [b"%d" % turn], turn) == turn + 1
        await asyncio.gather(*(journal.append(f"s{number}", [b"3"]) for number in range(20)))
        assert disk.files_open_max <= 3 + 8 + 1  # the limit, those at work at one time, and the one being made
        for number in range(20):
            assert await _read(journal, f"s{number}") == [b"0", b"1", b"2", b"3"]
    assert disk.files_open == 0


@virtual_time
async def test_a_folder_has_one_writer() -> None:
    """A second journal is refused until the first one is closed; opening and closing twice is fine."""
    disk = SimulatedDisk()
    first, second = FileJournal("j", disk=disk), FileJournal("j", disk=disk)
    await first.open()
    await first.open()
    with pytest.raises(JournalLocked, match=r"^j/journal\.lock is locked already"):
        await second.open()
    await first.close()
    await first.close()
    async with second:
        with pytest.raises(JournalClosed, match=r"^journal j is not open: use `async with`"):
            await first.append("s", [b"x"])


@virtual_time
async def test_a_folder_that_cannot_be_made_is_said_at_open(tmp_path: Path) -> None:
    """Opening names the journal and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalFailed, match=rf"^journal {tmp_path}/file/j cannot be opened: "):
        await FileJournal(tmp_path / "file" / "j").open()


@virtual_time
async def test_what_is_too_large_or_badly_named_is_refused_before_anything_is_written() -> None:
    """Limits are said with both numbers; so is what a stream cannot be called."""
    disk = SimulatedDisk()
    async with FileJournal("j", disk=disk, record_bytes_max=10, append_bytes_max=30, snapshot_bytes_max=5) as journal:
        with pytest.raises(
            RecordTooLarge, match="has a record of 11 bytes and 16 bytes in all, above record_bytes_max=10"
        ):
            await journal.append("s", [bytes(11)])
        with pytest.raises(
            RecordTooLarge, match=r"a record of 10 bytes and 45 bytes in all, above .* append_bytes_max=30"
        ):
            await journal.append("s", [bytes(10)] * 3)
        await journal.append("s", [bytes(10)] * 2)
        with pytest.raises(RecordTooLarge, match="a snapshot of stream 's' has 6 bytes, above snapshot_bytes_max=5"):
            await journal.save_snapshot("s", Snapshot(1, bytes(6)))
        for name in ("", "x" * STREAM_FOLDER_CHARS_MAX):
            with pytest.raises(InvalidStream, match=r"^a stream cannot be called '"):
                await journal.append(name, [b"x"])


@pytest.mark.parametrize(
    ("option", "value"),
    [("segment_bytes", 0), ("snapshots_kept", 0), ("streams_open_max", -1), ("every_s", 0.0), ("fsync", "sometimes")],
)
def test_a_setting_out_of_range_is_refused(option: str, value: object) -> None:
    """The error names the setting and the value."""
    with pytest.raises(InvalidOption, match=re.escape(f"{option}={value!r}")):
        FileJournal("j", **{option: value})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  wrong on purpose


@given(st.lists(st.text(min_size=1, max_size=12), unique=True))
def test_each_stream_has_a_folder_of_its_own_on_every_file_system(streams: list[str]) -> None:
    """Folders differ where names differ, also for a file system that knows no case, and are plain file names."""
    folders = [folder_of(stream) for stream in streams]
    assert len({folder.lower() for folder in folders}) == len(streams)
    assert all(re.fullmatch(r"stream-[a-z0-9%_.-]+", folder) for folder in folders)


@virtual_time
async def test_a_read_whose_file_is_truncated_away_meanwhile_says_so() -> None:
    """Between two reads a reader has no file open; when its file is gone it raises instead of skipping records."""
    async with FileJournal("j", disk=SimulatedDisk(), segment_bytes=60, read_bytes=40) as journal:
        for number in range(6):
            await journal.append("s", [b"%d" % number * 30])
        reading = journal.read("s")
        await anext(reading)
        await journal.truncate("s", 5)
        with pytest.raises(RecordsGone, match="stream 's' was truncated while it was read: read it again"):
            async for _ in reading:
                pass


def test_the_loop_goes_on_while_the_disk_is_slow(tmp_path: Path) -> None:
    """An fsync that takes for ever holds a thread of the node, not the loop; other streams are written meanwhile."""
    may_go_on = threading.Event()

    class SlowFile:
        def __init__(self, file: AppendFile, path: PurePath) -> None:
            self._file, self._slow = file, "stream-slow" in path.parts
            self.append, self.close = file.append, file.close

        def fsync(self) -> None:
            assert threading.current_thread().name.startswith("trouper-")
            assert not self._slow or may_go_on.wait(10)
            self._file.fsync()

    class SlowDisk(RealDisk):
        def open_append(self, path: PurePath) -> AppendFile:
            return SlowFile(super().open_append(path), path)

    async def main() -> None:
        journal = FileJournal(tmp_path, disk=SlowDisk())
        async with Node(journal=journal):
            slow = asyncio.ensure_future(journal.append("slow", [b"x"]))
            for number in range(5):
                await journal.append("quick", [b"%d" % number])
            assert not slow.done()
            may_go_on.set()
            assert await slow == 1
        with pytest.raises(JournalClosed):
            await journal.last_sequence("quick")

    asyncio.run(main())


@virtual_time
async def test_a_reopened_journal_makes_durable_what_it_found() -> None:
    """Data that an earlier process wrote without an fsync is durable before it can be read."""
    disk = SimulatedDisk()
    lost = FileJournal("j", disk=disk, fsync="never")
    await lost.open()
    await lost.append("s", [b"x"])
    disk.locks.clear()  # that process was killed: its lock ended with it, and what it wrote stayed in the system
    async with FileJournal("j", disk=disk) as journal:
        assert await _read(journal, "s") == [b"x"]
        disk.crash(Random(0))
    async with FileJournal("j", disk=disk) as journal:
        assert await _read(journal, "s") == [b"x"]


def test_an_append_does_not_wait_for_the_threads_of_the_node(tmp_path: Path) -> None:
    """A journal has threads of its own: blocking work that fills the pool of ``offload`` cannot delay a commit."""

    async def main() -> None:
        gate = threading.Event()
        async with Node(threads=1, journal=FileJournal(tmp_path / "j")) as node:
            blocked = asyncio.ensure_future(node.offload(gate.wait))
            try:
                async with asyncio.timeout(10):
                    assert await node.journal.append("s", [b"one"]) == 1
            finally:
                gate.set()
            await blocked

    asyncio.run(main())


def test_a_closed_journal_keeps_no_thread(tmp_path: Path) -> None:
    """Its threads end with ``close``, and when it could not be opened."""

    async def main() -> None:
        async with FileJournal(tmp_path / "j") as journal:
            await journal.append("s", [b"one"])
            with pytest.raises(JournalLocked):
                await FileJournal(tmp_path / "j").open()
            assert any(thread.name.startswith("trouper-journal") for thread in threading.enumerate())
        for thread in threading.enumerate():
            if thread.name.startswith("trouper-journal"):
                thread.join(10)
                assert not thread.is_alive()

    asyncio.run(main())


class StalledDisk(RealDisk):
    """A disk whose locks and fsyncs wait for ``works``; ``asked`` is set when one does."""

    def __init__(self) -> None:
        super().__init__()
        self.works, self.asked = threading.Event(), threading.Event()
        self.works.set()

    def stall(self) -> None:
        """Let nothing through from now on."""
        self.works.clear()
        self.asked.clear()

    def wait(self) -> None:
        """Wait as an operation of the disk."""
        self.asked.set()
        assert self.works.wait(10)

    def lock(self, path: PurePath) -> DiskLock:
        """Lock late."""
        self.wait()
        return super().lock(path)

    def open_append(self, path: PurePath) -> AppendFile:
        """Open a file with late fsyncs."""
        disk, file = self, super().open_append(path)

        class File:
            append, close = staticmethod(file.append), staticmethod(file.close)

            def fsync(self) -> None:
                disk.wait()
                file.fsync()

        return File()


async def _stalled(disk: StalledDisk) -> None:
    await asyncio.to_thread(disk.asked.wait, 10)


async def _can_be_opened(folder: Path) -> list[bytes]:
    """Open the folder as soon as it is free, and return what is in it."""
    async with asyncio.timeout(10):
        while True:
            try:
                async with FileJournal(folder) as journal:
                    return await _read(journal, "s")
            except JournalLocked:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("moment", ["open", "append", "close"])
def test_a_folder_is_unlocked_whatever_was_cancelled(tmp_path: Path, moment: str) -> None:
    """The caller of ``open``, ``append`` or ``close`` gives up while the disk stands still; then the folder is free."""

    async def main() -> None:
        disk = StalledDisk()
        journal = FileJournal(tmp_path / "j", disk=disk)
        if moment != "open":
            await journal.open()
            await journal.append("s", [b"one"])
        disk.stall()
        appending = asyncio.ensure_future(journal.append("s", [b"two"])) if moment != "open" else None
        call = asyncio.ensure_future(journal.open() if moment == "open" else journal.close())
        await _stalled(disk)
        if appending is not None and moment == "append":
            appending.cancel()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        disk.works.set()
        if appending is not None:
            await asyncio.wait([appending])
        assert await _can_be_opened(tmp_path / "j") == ([] if moment == "open" else [b"one", b"two"])

    asyncio.run(main())


def test_the_cancellation_of_every_task_leaves_the_journal_whole_and_the_folder_free(tmp_path: Path) -> None:
    """The job at work ends before another one touches its stream; who waited is told, and nothing is half done."""

    async def main() -> None:
        disk = StalledDisk()
        async with FileJournal(tmp_path / "j", disk=disk) as journal:
            await journal.append("s", [b"one"])
            disk.stall()
            calls = [asyncio.ensure_future(journal.append("s", [b"%d" % number])) for number in range(3)]
            await _stalled(disk)
            calls += [asyncio.ensure_future(journal.append("t", [b"%d" % number])) for number in range(20)]
            await asyncio.sleep(0)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)
            disk.works.set()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(result) for result in results} == {asyncio.CancelledError}
            assert await journal.append("s", [b"last"]) == len(await _read(journal, "s"))
            assert (await _read(journal, "s"))[0] == b"one"
        assert (await _can_be_opened(tmp_path / "j"))[-1] == b"last"

    asyncio.run(main())


def test_a_loop_that_ends_while_the_disk_stands_still_frees_the_folder(tmp_path: Path) -> None:
    """``asyncio.run`` cancels what is left; the next loop of the process can open the folder."""
    disk = StalledDisk()

    async def main() -> None:
        journal = FileJournal(tmp_path / "j", disk=disk)
        await journal.open()
        disk.stall()
        appending = asyncio.ensure_future(journal.append("s", [b"one"]))
        closing = asyncio.ensure_future(journal.close())
        await _stalled(disk)
        closing.cancel()
        threading.Timer(0.2, disk.works.set).start()
        assert not appending.done()

    asyncio.run(main())
    assert asyncio.run(_can_be_opened(tmp_path / "j")) == [b"one"]


@virtual_time
async def test_a_failed_fsync_loses_nothing_that_was_acknowledged_under_any_policy() -> None:
    """An fsync fails once, and later the power: every record whose append had returned and is synced is read."""
    for fsync in ("every_s", "every_append", "never"):
        for failing in range(1, 8):
            disk = CountingDisk()
            acknowledged: list[bytes] = []
            refused = 0
            async with FileJournal("j", disk=disk, fsync=fsync, every_s=0.05, segment_bytes=300) as journal:
                for number in range(30):
                    if disk.counts.get("fsync", 0) >= failing and not refused:
                        disk.refused_once, refused = True, number
                    try:
                        await journal.append("s", [b"%d" % number])
                        acknowledged.append(b"%d" % number)
                    except JournalFailed:
                        assert (fsync, number) == ("every_append", refused)
                    await asyncio.sleep(0.02)
            disk.crash(Random(failing))
            async with FileJournal("j", disk=disk) as journal:
                assert await _read(journal, "s") == acknowledged
