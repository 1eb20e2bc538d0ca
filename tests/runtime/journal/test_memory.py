"""``MemoryJournal``: the contract is in ``test_port.py``; here is what is its own."""

from trouper.runtime.journal import MemoryJournal, Record
from trouper.testing import virtual_time


@virtual_time
async def test_it_keeps_its_records_when_it_is_closed_and_opened() -> None:
    """A node closes its journal; the next node that is given the same one finds everything."""
    journal = MemoryJournal()
    await journal.append("a", [b"x"])
    await journal.close()
    await journal.open()
    assert [record async for record in journal.read("a")] == [Record(1, b"x")]


@virtual_time
async def test_truncation_is_exact() -> None:
    """Exactly the records up to the sequence are gone."""
    journal = MemoryJournal()
    await journal.append("a", [b"x", b"y", b"z"])
    await journal.truncate("a", 2)
    assert [record async for record in journal.read("a")] == [Record(3, b"z")]
