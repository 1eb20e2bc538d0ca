"""Tables of extensions: rows that one node writes each, read by all, in clusters and without one."""

import asyncio
import gc
import logging
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import msgspec
import pytest

from tests.actors.cluster.stage import PLAIN
from trouper import CallerError, InvalidOption, Message, Node, Secret, WrongThread
from trouper.lowlevel import Extension, NodeContext, ReplicatedTable, RowChanged, RowFull, TableLimits
from trouper.runtime.gossip.messages import DeltaOnWire, TableChecksums, TableDeltas, TableDigest
from trouper.runtime.node.services.tables import QUEUED_ROWS_MAX
from trouper.testing import Simulation, settle, simulate_extension, virtual_time


class Quota(msgspec.Struct, frozen=True):
    """How much a node has used."""

    used: int
    label: str = ""


LIMITS = TableLimits(rows_max=3, row_bytes_max=200)


class Quotas(Extension, name="quotas"):
    """Has a table, and remembers its changes."""

    table: ReplicatedTable[str, Quota]
    seen: list[RowChanged[str, Quota]]

    async def start(self, ctx: NodeContext) -> None:
        """Begin with an empty table."""
        self.seen = []
        self.table = ctx.table("quotas", Quota, LIMITS)
        self.table.subscribe(self.on_changes)

    def on_changes(self, changes: Sequence[RowChanged[str, Quota]]) -> None:
        """Fail by an own row that says so."""
        self.seen += changes
        if any((change.owner, change.key) == (self.context.node_id.name, "fail") for change in changes):
            raise RuntimeError("the subscriber fails")


def _rows(node: Node) -> dict[str, dict[str, int]]:
    rows: dict[str, dict[str, int]] = {}
    for owner, key, row in node[Quotas].table.rows():
        rows.setdefault(owner, {})[key] = row.used
    return rows


async def _scene(sim: Simulation) -> None:
    for number, node in enumerate(sim.nodes):
        node[Quotas].table.put("cpu", Quota(number))
    await asyncio.sleep(10.0)
    expected = {"n1": {"cpu": 0}, "n2": {"cpu": 1}, "n3": {"cpu": 2}}
    assert [_rows(node) for node in sim.nodes] == [expected] * 3
    assert sim["n1"][Quotas].table.find("cpu") == {"n1": Quota(0), "n2": Quota(1), "n3": Quota(2)}
    sim["n2"][Quotas].table.put("cpu", Quota(7))
    assert not sim["n3"][Quotas].table.remove("disk")
    assert sim["n3"][Quotas].table.remove("cpu")
    await asyncio.sleep(10.0)
    assert _rows(sim["n1"]) == {"n1": {"cpu": 0}, "n2": {"cpu": 7}}
    seen = [(change.owner, change.before, change.after) for change in sim["n1"][Quotas].seen[-2:]]
    assert sorted(seen) == [("n2", Quota(1), Quota(7)), ("n3", Quota(2), None)]
    sim.crash("n2")
    await asyncio.sleep(60.0)
    assert _rows(sim["n1"]) == {"n1": {"cpu": 0}}
    await sim.restart("n2")
    await asyncio.sleep(10.0)
    assert _rows(sim["n2"]) == {"n1": {"cpu": 0}}, "it has written nothing since it came back"


def _in_cluster(name: str) -> dict[str, object]:
    return {"cluster": PLAIN, "join": ["sim://n1"]}


@pytest.mark.parametrize("in_cluster", [False, True])
def test_rows_are_read_everywhere_and_end_with_their_node(in_cluster: bool) -> None:
    """In a cluster the members have copies, and without one the connected nodes."""
    if in_cluster:
        simulate_extension(Quotas, _scene, joins={}, options=_in_cluster)
    else:
        simulate_extension(Quotas, _scene)


@virtual_time
async def test_a_node_without_a_network_has_its_own_rows() -> None:
    """So an extension needs no second way for that case."""
    async with Node("a", extensions=[Quotas]) as node:
        node[Quotas].table.put("cpu", Quota(1))
        assert _rows(node) == {"a": {"cpu": 1}}
        assert node[Quotas].seen == [RowChanged("a", "cpu", None, Quota(1))]


@virtual_time
async def test_the_rows_of_an_extension_end_with_it_and_it_may_begin_anew(caplog: pytest.LogCaptureFixture) -> None:
    """A subscriber that raises fails the extension of its node, and no other one; the rows are gone everywhere."""
    caplog.set_level(logging.CRITICAL)
    async with (
        Node("a", listen="inprocess://a", extensions=[Quotas]) as a,
        Node("b", listen="inprocess://b", join=["inprocess://a"], extensions=[Quotas]) as b,
    ):
        await a.network.wait_for_peer("b")
        a[Quotas].table.put("cpu", Quota(1))
        b[Quotas].table.put("cpu", Quota(2))
        await settle()
        before = a[Quotas].table
        before.put("fail", Quota(0))
        await asyncio.sleep(1.0)
        assert {info.name: info.restarts for info in a.extensions}["quotas"] == 1
        assert _rows(a) == _rows(b) == {"b": {"cpu": 2}}
        with pytest.raises(CallerError, match="the table 'quotas' has ended"):
            before.put("cpu", Quota(3))
        a[Quotas].table.put("cpu", Quota(4))
        await settle()
        assert _rows(a) == _rows(b) == {"a": {"cpu": 4}, "b": {"cpu": 2}}


def test_a_table_is_for_the_thread_of_its_loop() -> None:
    """Calls of other threads raise ``WrongThread``, and touch nothing."""

    async def main() -> None:
        async with Node("a", extensions=[Quotas]) as node:
            table = node[Quotas].table
            calls: list[Callable[[], object]] = [
                partial(table.put, "x", Quota(1)), partial(table.remove, "x"), table.clear, table.rows,
                partial(table.rows_of, "a"), partial(table.find, "x"), partial(table.subscribe, print),
                lambda: table.own,
            ]  # fmt: skip
            for call in calls:
                with pytest.raises(WrongThread):
                    await asyncio.to_thread(call)
            assert _rows(node) == {}

    asyncio.run(main())


@virtual_time
async def test_what_a_table_does_not_take_is_an_error_that_says_why() -> None:
    """Its name, the type of its rows, a row that cannot travel, and the limits."""
    async with Node("a", extensions=[Quotas]) as node:
        context, table = node[Quotas].context, node[Quotas].table
        with pytest.raises(CallerError, match="another table 'quotas'"):
            context.table("quotas", Quota)
        for wrong in (dict, type("Loose", (msgspec.Struct,), {})):
            with pytest.raises(InvalidOption, match="frozen=True"):
                context.table("other", cast("type[Quota]", wrong))
        with pytest.raises(CallerError, match="a row of the table 'quotas' cannot travel"):
            table.put("x", cast("Quota", object()))
        with pytest.raises(RowFull, match="200 are the limit"):
            table.put("x", Quota(1, "x" * 200))
        for key in "xyz":
            table.put(key, Quota(1))
        with pytest.raises(RowFull, match="3 rows are the limit"):
            table.put("w", Quota(1))
        table.clear()
        table.put("w", Quota(1))


def _hostile(
    b: Node, changes: object, version: int = 1, rows: int = 1, owner: str = "b", table: str = "quotas"
) -> None:
    """Let node b, which is hostile, say this of a table to node a."""
    delta = DeltaOnWire(owner, b.network.node_id.generation, 0, version, rows, cast("msgspec.Raw", changes))
    b.network.peer("a").control(TableDeltas({table: (delta,), "nonsense": (delta,)}))


@virtual_time
async def test_a_bad_row_is_left_out_and_the_others_are_used(caplog: pytest.LogCaptureFixture) -> None:
    """Of another type, too large, or nothing like a row; and one line in the log, whatever the number."""
    good = ("good", {"used": 1})
    bad: list[object] = [
        ("wrong", {"used": "many"}),
        ("large", {"used": 1, "label": "x" * 300}),
        (7, {"used": 1}),
        "nothing like a row",
        None,
        ("deep", eval("[" * 50 + "]" * 50)),
    ]
    async with (
        Node("a", listen="inprocess://a", extensions=[Quotas]) as a,
        Node("b", listen="inprocess://b", join=["inprocess://a"]) as b,
    ):
        await b.network.wait_for_peer("a")
        for version, row in enumerate(bad, 1):
            _hostile(b, [good, row], version, rows=2)
            await settle()
            assert _rows(a) == {"b": {"good": 1}}
        refused = a.tables.exchange.refused
        assert (refused["row"], refused["unknown_table"]) == (len(bad), len(bad))
        assert len([line for line in caplog.messages if "what node b sent was left out in part (row)" in line]) == 1
        _hostile(b, "no rows at all", 100)
        _hostile(b, [good] * 2_000, 101, rows=2_000)
        _hostile(b, [good], 102, rows=50)
        _hostile(b, [good], 103, owner="a")
        await settle()
        assert _rows(a) == {"b": {"good": 1}}
        assert a[Quotas].table.own == {}


STAMPS = {f"node {number}": (1, 1) for number in range(1_000)}
FLOODS: dict[str, Message[None]] = {
    "stamps": TableDigest({"groups": STAMPS}, False, {}, None),
    "tables": TableDigest({name: {} for name in STAMPS}, False, {}, None),
    "unconfirmed": TableDigest({}, False, {"groups": dict.fromkeys(STAMPS, b"")}, None),
    "passed on": TableDigest({}, False, {}, tuple(STAMPS)),
    "checksums": TableChecksums(dict.fromkeys(STAMPS, 1)),
    "ended": TableChecksums({}, ended=dict.fromkeys(STAMPS, 1)),
}


@virtual_time
@pytest.mark.parametrize("kind", FLOODS)
async def test_what_a_peer_says_of_tables_does_not_queue_without_limit(kind: str) -> None:
    """It is left out and counted; what comes later is used."""
    async with (
        Node("a", listen="inprocess://a", extensions=[Quotas]) as a,
        Node("b", listen="inprocess://b", join=["inprocess://a"]) as b,
    ):
        await b.network.wait_for_peer("a")
        for _ in range(QUEUED_ROWS_MAX // 1_000 + 100):
            b.network.peer("a").control(FLOODS[kind])
        await settle()
        assert a.tables.exchange.refused["too_many_rows"] > 0
        _hostile(b, [("good", {"used": 1})])
        await settle()
        assert _rows(a) == {"b": {"good": 1}}


@virtual_time
async def test_rows_that_cannot_be_read_take_no_memory() -> None:
    """Of rows that wait for the others of their owner, whatever their size."""
    async with (
        Node("a", listen="inprocess://a", extensions=[Quotas]) as a,
        Node("b", listen="inprocess://b", join=["inprocess://a"]) as b,
    ):
        await b.network.wait_for_peer("a")
        large = a[Quotas].context.table("large", Quota)
        tracemalloc.start()
        try:
            for number in range(100):
                _hostile(b, [(number, "x" * 100_000)], rows=1_000, table="large")
                await settle()
                assert dict(large.rows_of("b")) == {}
            gc.collect()
            held_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held_bytes < 2_000_000
        assert a.tables.exchange.refused["row"] == 100


class LikeOthers(msgspec.Struct, frozen=True):
    """Does not show what it has."""

    password: Secret[str]

    def __repr__(self) -> str:
        return "LikeOthers(...)"


@virtual_time
async def test_refused_rows_that_look_alike_are_several() -> None:
    """So the rows of their owner are complete, and the others are used."""
    async with (
        Node("a", listen="inprocess://a") as a,
        Node("b", listen="inprocess://b", join=["inprocess://a"]) as b,
    ):
        await b.network.wait_for_peer("a")
        tables = [
            node.tables.add("alike", tuple[LikeOthers, bool | None], TableLimits(), lambda _, __, row: row is not False)
            for node in (a, b)
        ]
        for password, row in (("one", False), ("two", False), ("three", True)):
            tables[1].put(LikeOthers(password), row)
        await settle()
        assert dict(tables[0].rows_of("b")) == {LikeOthers("three"): True}
        assert a.tables.exchange.refused["row"] >= 2


@virtual_time
async def test_a_peer_has_no_more_rows_than_the_table_allows() -> None:
    """Whether they come at once, one after the other, or as changes; the copy stays what it was."""
    async with (
        Node("a", listen="inprocess://a", extensions=[Quotas]) as a,
        Node("b", listen="inprocess://b", join=["inprocess://a"]) as b,
    ):
        await b.network.wait_for_peer("a")
        rows = [(f"key {number}", {"used": 1}) for number in range(1_000)]
        _hostile(b, rows, 1, rows=1_000)
        _hostile(b, rows[:3], 2, rows=3)
        _hostile(b, rows[:4], 3, rows=3)
        generation = b.network.node_id.generation
        for version, row in enumerate(rows[3:900], 3):
            delta = DeltaOnWire("b", generation, version - 1, version, 0, cast("msgspec.Raw", [row]))
            b.network.peer("a").control(TableDeltas({"quotas": (delta,)}))
        await settle()
        assert _rows(a) == {"b": {"key 0": 1, "key 1": 1, "key 2": 1}}
        assert a.tables.exchange.refused["delta"] >= 3
