"""The contract of the port: what holds for every journal."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from trouper.runtime.journal import (
    FileJournal,
    Journal,
    MemoryJournal,
    Record,
    RecordsGone,
    SimulatedDisk,
    Snapshot,
    StaleWriter,
    WrongSequence,
)
from trouper.testing import virtual_time

Make = Callable[[Path], Journal]
MAKERS: dict[str, Make] = {
    "memory": lambda _: MemoryJournal(),
    "simulated": lambda _: FileJournal("journal", disk=SimulatedDisk(), segment_bytes=100),
    "real": lambda folder: FileJournal(folder / "journal", segment_bytes=100),
    "real_in_small_pieces": lambda folder: FileJournal(folder / "journal", fsync="never", read_bytes=3),
    "one_stream_open": lambda _: FileJournal("journal", disk=SimulatedDisk(), fsync="every_s", streams_open_max=1),
}
every_journal = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


async def _opened(make: Make, folder: Path) -> Journal:
    journal = make(folder)
    await journal.open()
    return journal


async def _all(journal: Journal, stream: str, from_sequence: int = 0) -> list[tuple[int, bytes]]:
    return [(record.sequence, record.payload) async for record in journal.read(stream, from_sequence)]


def _numbered(payloads: Sequence[bytes], first: int = 1) -> list[tuple[int, bytes]]:
    return list(enumerate(payloads, first))


@every_journal
@virtual_time
async def test_records_are_read_in_the_order_of_their_appends(make: Make, tmp_path: Path) -> None:
    """What was appended to each of two streams is read from it, numbered from 1, and from any number on."""
    journal = await _opened(make, tmp_path)
    payloads = [b"%d" % number * number for number in range(30)]
    for number, payload in enumerate(payloads, 1):
        assert await journal.append("a", [payload], number - 1) == number
        assert await journal.append("B/b", [payload, payload]) == 2 * number
    assert await _all(journal, "a") == _numbered(payloads)
    assert await _all(journal, "a", 17) == _numbered(payloads)[16:]
    assert await _all(journal, "a", 31) == []
    assert [payload for _, payload in await _all(journal, "B/b")] == [payload for payload in payloads for _ in "12"]
    assert await journal.last_sequence("B/b") == 60
    await journal.close()


@every_journal
@virtual_time
async def test_a_stream_that_does_not_exist_is_empty(make: Make, tmp_path: Path) -> None:
    """It has no records, ends with 0, has no snapshot, and truncating it is fine."""
    journal = await _opened(make, tmp_path)
    await journal.truncate("a", 7)
    assert await _all(journal, "a") == []
    assert await journal.last_sequence("a") == 0
    assert await journal.load_snapshot("a") is None
    await journal.close()


@every_journal
@virtual_time
async def test_an_append_that_expects_another_end_changes_nothing(make: Make, tmp_path: Path) -> None:
    """It raises ``WrongSequence`` with both numbers; an empty append only checks."""
    journal = await _opened(make, tmp_path)
    await journal.append("a", [b"x", b"y"], 0)
    with pytest.raises(WrongSequence, match=r"^stream 'a' ends with sequence 2, not 1: it has another writer"):
        await journal.append("a", [b"z"], 1)
    assert await journal.append("a", [], 2) == 2
    assert await _all(journal, "a") == [(1, b"x"), (2, b"y")]
    await journal.close()


@every_journal
@virtual_time
async def test_truncation_forgets_the_old_and_renumbers_nothing(make: Make, tmp_path: Path) -> None:
    """What comes after the sequence stays under its number; reading from what is gone is an error that says so."""
    journal = await _opened(make, tmp_path)
    payloads = [b"%02d" % number * 20 for number in range(1, 21)]
    for payload in payloads:
        await journal.append("a", [payload])
    await journal.truncate("a", 10)
    left = await _all(journal, "a")
    first = left[0][0]
    assert first <= 11
    assert left == _numbered(payloads)[first - 1 :]
    assert await _all(journal, "a", 11) == _numbered(payloads)[10:]
    if first > 1:
        with pytest.raises(
            RecordsGone, match=rf"^stream 'a' was truncated: it begins with sequence {first}, and 1 was"
        ):
            await _all(journal, "a", 1)
    await journal.truncate("a", 20)
    assert await journal.append("a", [b"new"], 20) == 21
    await journal.close()


@every_journal
@virtual_time
async def test_the_newest_snapshot_is_loaded_and_the_last_two_are_kept(make: Make, tmp_path: Path) -> None:
    """Saving returns the oldest sequence that is still kept: what comes before it is not needed any more."""
    journal = await _opened(make, tmp_path)
    await journal.append("a", [b"r"] * 9)
    assert await journal.save_snapshot("a", Snapshot(3, b"three")) == 3
    assert await journal.save_snapshot("a", Snapshot(6, b"six")) == 3
    assert await journal.save_snapshot("a", Snapshot(9, b"nine")) == 6
    assert await journal.save_snapshot("a", Snapshot(9, b"nine again")) == 6
    assert await journal.load_snapshot("a") == Snapshot(9, b"nine again")
    with pytest.raises(WrongSequence, match="ends with sequence 9, not 10"):
        await journal.save_snapshot("a", Snapshot(10, b"of what?"))
    await journal.close()


@every_journal
@virtual_time
async def test_a_writer_that_another_one_has_replaced_is_refused(make: Make, tmp_path: Path) -> None:
    """Only the last claim of a stream may append with its epoch; an append without one is not checked."""
    journal = await _opened(make, tmp_path)
    first = await journal.claim("a")
    assert await journal.append("a", [b"x"], 0, epoch=first) == 1
    second, other = await journal.claim("a"), await journal.claim("b")
    assert len({first, second, other}) == 3
    assert second > first
    with pytest.raises(StaleWriter, match=r"^stream 'a' has been claimed by another writer, or its journal was opened"):
        await journal.append("a", [b"y"], 1, epoch=first)
    with pytest.raises(StaleWriter):
        await journal.append("a", [b"y"], 1, epoch=other)
    assert await journal.append("a", [b"y"], 1, epoch=second) == 2
    assert await journal.append("a", [b"z"], 2) == 3
    assert await journal.append("b", [b"x"], 0, epoch=other) == 1
    await journal.close()


@every_journal
@virtual_time
async def test_the_streams_are_listed(make: Make, tmp_path: Path) -> None:
    """By their names, whatever is in them, in order."""
    journal = await _opened(make, tmp_path)
    assert await journal.streams() == []
    names = ["user/ada", "B", "b", "\u00fcber 100%", "a.log"]
    for name in names:
        await journal.append(name, [b"x"])
    assert await journal.streams() == sorted(names)
    await journal.close()


@every_journal
@virtual_time
async def test_a_read_sees_what_was_there_when_it_began(make: Make, tmp_path: Path) -> None:
    """Records that are appended while a reader is on its way are not read."""
    journal = await _opened(make, tmp_path)
    await journal.append("a", [b"x", b"y"])
    seen: list[Record] = []
    async for record in journal.read("a"):
        seen.append(record)
        await journal.append("a", [b"more"])
    assert seen == [Record(1, b"x"), Record(2, b"y")]
    assert await journal.last_sequence("a") == 4
    await journal.close()


@every_journal
@virtual_time
async def test_a_stream_is_cut_after_any_record_and_goes_on_there(make: Make, tmp_path: Path) -> None:
    """Also in the middle of an append; the numbers are given again, and snapshots of what is gone are gone."""
    journal = await _opened(make, tmp_path)
    payloads = [b"%02d" % number * 20 for number in range(1, 21)]
    for cut in (20, 19, 18, 11, 10, 9, 1, 0):
        stream = f"cut at {cut}"
        for first in (0, 3, 6, 9, 12, 15, 18):
            await journal.append(stream, payloads[first : first + 3])
            if first in (6, 12):
                await journal.save_snapshot(stream, Snapshot(first + 1, b"%d" % first))
        await journal.truncate_after(stream, 30)
        assert await journal.last_sequence(stream) == 20
        await journal.truncate_after(stream, cut)
        await journal.truncate_after(stream, cut)
        assert await _all(journal, stream) == _numbered(payloads[:cut])
        snapshot = await journal.load_snapshot(stream)
        assert (0 if snapshot is None else snapshot.sequence) == (13 if cut >= 13 else 7 if cut >= 7 else 0)
        assert await journal.append(stream, [b"new", b"newer"], cut) == cut + 2
        assert await _all(journal, stream, cut) == _numbered([*payloads[:cut], b"new", b"newer"])[max(0, cut - 1) :]
    await journal.close()


@every_journal
@virtual_time
async def test_a_cut_is_refused_to_a_stale_writer_and_before_what_is_kept(make: Make, tmp_path: Path) -> None:
    """Nothing changes then; cutting a stream that does not exist is fine."""
    journal = await _opened(make, tmp_path)
    await journal.truncate_after("new", 0)
    await journal.truncate_after("new", 3)
    assert await journal.last_sequence("new") == 0
    for number in range(10):
        await journal.append("a", [b"%02d" % number * 60])
    stale, epoch = await journal.claim("a"), await journal.claim("a")
    with pytest.raises(StaleWriter, match=r"^stream 'a' has been claimed by another writer"):
        await journal.truncate_after("a", 5, epoch=stale)
    with pytest.raises(WrongSequence, match=r"^stream 'a' cannot be truncated after -1"):
        await journal.truncate_after("a", -1, epoch=epoch)
    await journal.truncate("a", 5)
    first = (await _all(journal, "a"))[0][0]
    if first > 2:
        with pytest.raises(RecordsGone, match=rf"begins with sequence {first}; choose {first - 1} or more$"):
            await journal.truncate_after("a", first - 2, epoch=epoch)
    assert await journal.last_sequence("a") == 10
    await journal.truncate_after("a", first - 1, epoch=epoch)
    assert await _all(journal, "a") == []
    assert await journal.append("a", [b"x"], first - 1, epoch=epoch) == first
    await journal.close()


@every_journal
@virtual_time
async def test_a_reader_of_a_stream_that_is_cut_reads_no_other_record(make: Make, tmp_path: Path) -> None:
    """It reads what was there when it began, or says that this is gone; never what was appended since."""
    journal = await _opened(make, tmp_path)
    for number in range(8):
        await journal.append("a", [b"%02d" % number * 60])
    seen: list[Record] = []
    with suppress(RecordsGone):
        async for record in journal.read("a"):
            seen.append(record)
            if record.sequence == 3:
                await journal.truncate_after("a", 4)
                await journal.append("a", [b"other"] * 4)
                await journal.append("b", [b"another stream, which may close this one"])
    assert seen == [Record(number + 1, b"%02d" % number * 60) for number in range(len(seen))]
    assert len(seen) >= 3
    await journal.close()
