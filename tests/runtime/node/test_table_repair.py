"""What a node could not send of its tables arrives later, in clusters and without one."""

import asyncio

import msgspec
import pytest

from tests.actors.cluster.stage import PLAIN
from trouper import Actor, Message, Node, handler
from trouper.lowlevel import Extension, NodeContext, ReplicatedTable, TableLimits
from trouper.testing import virtual_time


class Entry(msgspec.Struct, frozen=True):
    """A row."""

    value: int


class Load(Message[None]):
    """Keeps a session busy."""


class Sink(Actor):
    """Takes load."""

    @handler
    def load(self, msg: Load) -> None:
        """Do nothing."""


class Entries(Extension, name="entries"):
    """Has a large table."""

    table: ReplicatedTable[str, Entry]

    async def start(self, ctx: NodeContext) -> None:
        """Begin with an empty table."""
        self.table = ctx.table("entries", Entry, TableLimits(rows_max=50_000))

    def of(self, owner: str) -> dict[str, int]:
        """Return the rows of a node."""
        return {key: entry.value for key, entry in self.table.rows_of(owner).items()}


@virtual_time
@pytest.mark.parametrize("in_cluster", [False, True])
async def test_a_table_of_many_messages_is_sent_in_turns_and_arrives_as_a_whole(in_cluster: bool) -> None:
    """A node that comes gets the rows of the others, which take more messages than one answer may have."""
    cluster = PLAIN if in_cluster else None
    join = ["inprocess://a"]
    async with Node("a", listen="inprocess://a", extensions=[Entries], cluster=cluster) as a:
        for number in range(20_000):
            a[Entries].table.put(f"key {number}", Entry(number))
        async with Node("b", listen="inprocess://b", join=join, extensions=[Entries], cluster=cluster) as b:
            await asyncio.sleep(10.0)
            assert len(b[Entries].of("a")) == 20_000
            a[Entries].table.put("key 0", Entry(-1))
            await asyncio.sleep(1.0)
            assert b[Entries].of("a") == a[Entries].of("a")


async def _backpressured(a: Node, b: Node) -> None:
    """Let more wait for node b than a session sends at once, until the loop has run."""
    sink = await b.spawn(Sink, name="sink")
    ref = await a.network.whereis("b", "user/sink")
    assert ref is not None
    for _ in range(20_000):
        ref.tell(Load())
    assert a.network.peers["b"].is_backpressured
    assert sink.address == ref.address


@virtual_time
@pytest.mark.parametrize("in_cluster", [False, True])
async def test_what_is_written_while_a_session_has_no_capacity_arrives_later(in_cluster: bool) -> None:
    """A row, the removal of a row, the end of a table, and a table that begins."""
    cluster = PLAIN if in_cluster else None
    join = ["inprocess://a"]
    async with (
        Node("a", listen="inprocess://a", extensions=[Entries], cluster=cluster) as a,
        Node("b", listen="inprocess://b", join=join, extensions=[Entries], cluster=cluster) as b,
    ):
        await a.network.wait_for_peer("b")
        await asyncio.sleep(10.0)
        context = {node.name: node[Entries].context for node in (a, b)}
        ended = {name: each.table("ended", Entry) for name, each in context.items()}
        late = context["b"].table("late", Entry)
        a[Entries].table.put("gone", Entry(1))
        a[Entries].table.put("kept", Entry(1))
        ended["a"].put("gone", Entry(1))
        await asyncio.sleep(1.0)
        assert b[Entries].of("a") == {"gone": 1, "kept": 1}
        assert len(ended["b"].rows_of("a")) == 1
        late.put("late", Entry(1))
        await asyncio.sleep(1.0)

        await _backpressured(a, b)
        a[Entries].table.remove("gone")
        a[Entries].table.put("new", Entry(2))
        a.tables.remove("ended")
        begun = context["a"].table("late", Entry)
        await asyncio.sleep(0)
        assert a.tables.exchange.refused["not_sent"] > 0
        await asyncio.sleep(15.0)
        assert b[Entries].of("a") == {"kept": 1, "new": 2}
        assert dict(ended["b"].rows_of("a")) == {}
        assert dict(begun.rows_of("b")) == {"late": Entry(1)}
        again = context["a"].table("ended", Entry)
        again.put("again", Entry(3))
        await asyncio.sleep(1.0)
        assert dict(ended["b"].rows_of("a")) == {"again": Entry(3)}
