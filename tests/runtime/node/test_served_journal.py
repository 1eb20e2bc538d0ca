"""A journal that a node serves to its peers: the same contract, the same errors, one writer for each stream."""

import asyncio

import msgspec
import pytest

from trouper import (
    EventSourcedActor,
    FileJournal,
    Journal,
    JournalFailed,
    MemoryJournal,
    Message,
    Node,
    Record,
    RecordsGone,
    RecordTooLarge,
    ServedJournal,
    Snapshot,
    StaleWriter,
    WrongSequence,
    applies,
    handler,
)
from trouper.runtime.journal import SimulatedDisk
from trouper.runtime.node.services.served_journal import REPLY_BYTES, streams_of
from trouper.runtime.session.identity import OWN_PROCESS, OWN_USER, Identity
from trouper.testing import virtual_time


class Added(Message, tag="served.added"):
    by: int


class Add(Message[int]):
    by: int


class Total(msgspec.Struct):
    n: int = 0


class Counter(EventSourcedActor[Total]):
    snapshot_every = 3

    @handler
    async def add(self, msg: Add) -> int:
        await self.persist(Added(msg.by))
        return self.state.n

    @applies
    def added(self, event: Added) -> None:
        self.state.n += event.by


def _serving(journal: Journal, *, serve: bool = True) -> Node:
    return Node("keeper", listen="inprocess://keeper", journal=journal, serve_journal=serve)


def _using(name: str) -> Node:
    return Node(name, listen=f"inprocess://{name}", join=["inprocess://keeper"], journal=ServedJournal("keeper"))


@virtual_time
async def test_each_call_does_what_the_journal_of_the_node_does() -> None:
    """Appends, reads in several replies, snapshots, truncation, the list of streams."""
    kept = FileJournal("j", disk=SimulatedDisk(), segment_bytes=100)
    async with _serving(kept), _using("user") as node:
        await node.network.wait_for_peer("keeper")
        journal = node.journal
        assert await journal.last_sequence("s") == 0
        assert [record async for record in journal.read("s")] == []
        assert await journal.append("s", [b"a", b"b"], 0) == 2
        big = [bytes((number,)) * (REPLY_BYTES // 3) for number in range(10)]
        assert await journal.append("s", big) == 12
        assert [record.payload async for record in journal.read("s")] == [b"a", b"b", *big]
        assert await anext(aiter(journal.read("s", 2))) == Record(2, b"b")
        assert await journal.load_snapshot("s") is None
        assert await journal.save_snapshot("s", Snapshot(2, b"two")) == 2
        assert await journal.load_snapshot("s") == Snapshot(2, b"two")
        assert await journal.streams() == ["s"] == await kept.streams()
        assert await journal.append("s", [b"c"]) == 13
        await journal.truncate("s", 12)
        with pytest.raises(RecordsGone, match="stream 's' was truncated"):
            _ = [record async for record in journal.read("s", 1)]
        with pytest.raises(WrongSequence, match="stream 's' ends with sequence 13, not 1"):
            await journal.append("s", [b"d"], 1)
        with pytest.raises(RecordTooLarge):
            await journal.append("s", [bytes(17 << 20)])
        assert await journal.append("t", [b"a", b"b", b"c"]) == 3
        epoch = await journal.claim("t")
        await journal.truncate_after("t", 1, epoch=epoch)
        assert [record async for record in kept.read("t")] == [Record(1, b"a")]
        with pytest.raises(StaleWriter):
            await journal.truncate_after("t", 0, epoch=epoch - 1)


@virtual_time
async def test_a_stream_has_one_writer_among_all_nodes() -> None:
    """An actor that starts elsewhere has the events; what is left of the earlier one is refused, and recovers."""
    kept = MemoryJournal()
    async with _serving(kept), _using("one") as one, _using("two") as two:
        for node in (one, two):
            await node.network.wait_for_peer("keeper")
        first = await one.spawn(Counter, name="it")
        assert [await first.ask(Add(1)) for _ in range(5)][-1] == 5
        second = await two.spawn(Counter, name="it")
        assert await second.ask(Add(10)) == 15
        with pytest.raises(StaleWriter, match="has been claimed by another writer"):
            await first.ask(Add(100))
        assert await kept.last_sequence("user/it") == 6
        assert await kept.load_snapshot("user/it") is not None


@virtual_time
async def test_a_journal_that_is_not_served_or_not_reached_says_so() -> None:
    """The error is a failure of the journal, which fails an actor, whose next start recovers."""
    async with _serving(MemoryJournal(), serve=False), _using("user") as node:
        with pytest.raises(JournalFailed, match="the journal is that of node keeper, which is not connected"):
            await Node("alone", journal=ServedJournal("keeper")).journal.last_sequence("s")
        await node.network.wait_for_peer("keeper")
        with pytest.raises(JournalFailed, match=r"^node keeper serves no journal: give it Node\(journal=\.\.\., "):
            await node.journal.append("s", [b"x"])


@virtual_time
async def test_a_serving_node_that_is_opened_again_refuses_the_writers_of_before() -> None:
    """They recover: whether their last append was made is in the stream."""
    disk = SimulatedDisk()
    async with _using("user") as node:
        async with _serving(FileJournal("j", disk=disk)):
            await node.network.wait_for_peer("keeper")
            counter = await node.spawn(Counter, name="it")
            assert await counter.ask(Add(1)) == 1
            epoch = await node.journal.claim("other")
        async with _serving(FileJournal("j", disk=disk)):
            await asyncio.wait_for(node.network.wait_for_peer("keeper"), 10)
            with pytest.raises(StaleWriter):
                await node.journal.append("other", [b"x"], 0, epoch=epoch)
            with pytest.raises(StaleWriter):
                await counter.ask(Add(1))
            assert await counter.ask(Add(1)) == 2


@virtual_time
async def test_a_peer_has_the_streams_of_its_identity_alone() -> None:
    """It reads, writes, truncates and lists no stream of the node itself, and none of another key; one key is one."""
    kept = MemoryJournal()
    identities = {name: Identity(f"key of {name}", name, frozenset({"member"})) for name in ("one", "two")}
    async with _serving(kept) as keeper, _using("one") as one, _using("two") as two, _using("three") as three:
        await kept.append("user/bank", [b"100"])
        for node in (one, two, three):
            await node.network.wait_for_peer("keeper")
            who = identities["one" if node is three else node.name]
            (await keeper.network.wait_for_peer(node.name)).authenticate(who)
        for node in (one, two):
            assert await node.journal.last_sequence("user/bank") == 0
            epoch = await node.journal.claim("user/bank")
            assert await node.journal.append("user/bank", [b"1"], 0, epoch=epoch) == 1
            await node.journal.truncate("user/bank", 1)
            assert await node.journal.save_snapshot("user/bank", Snapshot(1, b"one")) == 1
            assert await node.journal.streams() == ["user/bank"]
        assert await three.journal.load_snapshot("user/bank") == Snapshot(1, b"one")
        assert [record async for record in kept.read("user/bank")] == [Record(1, b"100")]
        assert await kept.streams() == ["peers/one/user/bank", "peers/two/user/bank", "user/bank"]


def test_what_an_identity_has_in_the_journal_is_told_by_its_name() -> None:
    """The cluster's key and no key are one identity each; processes of the same user have all."""
    assert streams_of(Identity("k", "ada")) == "peers/ada/"
    assert streams_of(Identity("k")) == "peers/cluster/"
    assert streams_of(Identity()) == "peers/anyone/"
    assert streams_of(OWN_PROCESS) == streams_of(OWN_USER) == ""
