"""What a node could not send of its tables arrives later, in clusters and without one."""

import asyncio

import msgspec
import pytest

from tests.actors.cluster.stage import PLAIN
from trouper import Node
from trouper.lowlevel import Extension, NodeContext, ReplicatedTable, TableLimits
from trouper.testing import virtual_time


class Entry(msgspec.Struct, frozen=True):
    """A row."""

    value: int


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
