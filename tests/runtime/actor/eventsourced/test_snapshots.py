"""Snapshots shorten a recovery, and change nothing else."""

import asyncio
import logging
import re

import msgspec
import pytest

from tests.runtime.actor.eventsourced.test_persist import (
    Deposit,
    GatedJournal,
    KeepNow,
    Thrifty,
    balance_in_a_new_node,
    start_account,
)
from trouper import JournalFailed, MemoryJournal, Node, Snapshot
from trouper.testing import virtual_time


@virtual_time
async def test_snapshots_shorten_the_recovery() -> None:
    """After a thousand events a start reads those since the last snapshot, not all of them."""
    journal = GatedJournal()
    async with Node(journal=journal) as node:
        account = await start_account(node)
        for _ in range(1_001):
            await account.ask(Deposit(1))
    journal.records_read = 0
    assert await balance_in_a_new_node(journal) == 1_001
    assert journal.records_read == 1


@virtual_time
async def test_a_snapshot_that_cannot_be_read_is_replaced_by_all_events(caplog: pytest.LogCaptureFixture) -> None:
    """The state's class has changed in a way that no snapshot can follow: it is said, and the events are the truth."""
    journal = MemoryJournal()
    async with Node(journal=journal) as node:
        account = await start_account(node)
        for _ in range(9):
            await account.ask(Deposit(1))
    await journal.save_snapshot("user/ada", Snapshot(9, msgspec.msgpack.encode({"cents": "nine"})))
    with caplog.at_level(logging.WARNING):
        assert await balance_in_a_new_node(journal) == 9
    assert "the snapshot of 'user/ada' at 9 is not used: it is no snapshot of an event-sourced actor: " in caplog.text


@virtual_time
async def test_events_that_no_snapshot_needs_are_forgotten_where_that_is_wanted() -> None:
    """With ``keep_events = False`` the journal keeps what the older of two snapshots needs."""
    journal = MemoryJournal()
    async with Node(journal=journal) as node:
        account = await start_account(node, Thrifty)
        for _ in range(10):
            await account.ask(Deposit(1))
            await asyncio.sleep(0.1)
    assert [record.sequence async for record in journal.read("user/ada")] == [7, 8, 9, 10]
    assert await balance_in_a_new_node(journal, Thrifty) == 10


@virtual_time
async def test_a_snapshot_that_fails_is_reported_and_fails_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The actor goes on, and says at which event there is no snapshot; one on demand raises at its caller."""

    class NoSnapshots(MemoryJournal):
        async def save_snapshot(self, stream: str, snapshot: Snapshot) -> int:
            raise JournalFailed(f"no room for {snapshot.sequence}")

    async with Node(journal=NoSnapshots()) as node:
        account = await start_account(node)
        with caplog.at_level(logging.WARNING):
            for _ in range(4):
                await account.ask(Deposit(1))
            await asyncio.sleep(1)
        assert [
            message
            for message in caplog.messages
            if re.search(r"ada#\d+: the snapshot at 4 failed: no room for 4", message)
        ]
        with pytest.raises(JournalFailed, match="no room for 4"):
            await account.ask(KeepNow())
