"""Rows that only their owner writes: copies converge, stale deltas have no effect, limits hold."""

import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.runtime.gossip.content_digest import row_bytes
from trouper.runtime.gossip.messages import Stamp
from trouper.runtime.gossip.versioned_table import (
    Applied,
    Delta,
    RowChanged,
    RowFull,
    TableLimits,
    VersionedTable,
)
from trouper.runtime.kernel.errors import InvalidOption

Writes = list[tuple[str, int | None]]
WRITES = st.lists(st.tuples(st.sampled_from("xyz"), st.one_of(st.none(), st.integers(0, 3))), max_size=30)


class Rows(VersionedTable[str, int]):
    """One node's copy, with what a test does with it."""

    def __init__(self, node: str, changes_max: int = 1_000, rows_max: int = 100, generation: int = 1) -> None:
        self.ids = {"a": 1, "b": 1, "c": 1, node: generation}
        super().__init__(node, self.ids, TableLimits(changes_max=changes_max, rows_max=rows_max))

    def lacking(self, stamps: Mapping[str, Stamp]) -> list[Delta[str, int]]:
        """What a copy with these stamps lacks."""
        return [delta for owner in self.owners() for delta in self.deltas_for(owner, stamps.get(owner, (-1, 0)))]

    def become(self, node: str, generation: int) -> tuple[RowChanged[str, int], ...]:
        """Learn that a node is in another generation."""
        self.ids[node] = generation
        return self.drop(node)


def _rows(node: str, changes_max: int = 1_000, rows_max: int = 100) -> Rows:
    return Rows(node, changes_max, rows_max)


def _write(rows: Rows, writes: Writes) -> list[Delta[str, int]]:
    deltas: list[Delta[str, int]] = []
    for key, value in writes:
        before = rows.stamp(rows.node)
        if rows.put(key, value) is not None:
            deltas += rows.deltas_for(rows.node, before)
    return deltas


def _take(rows: Rows, deltas: Sequence[Delta[str, int]]) -> list[Applied[str, int]]:
    return [rows.apply(delta) for delta in deltas]


def _version(rows: Rows) -> int:
    return rows.stamps().get("a", (1, 0))[1]


def _all(rows: Rows) -> dict[str, dict[str, int]]:
    return {node: dict(rows.rows_of(node)) for node in "abc"}


@given(WRITES, WRITES, WRITES, st.integers(1, 5))
def test_copies_merge_in_any_order_any_number_of_times(one: Writes, two: Writes, three: Writes, log: int) -> None:
    """Merging is commutative, associative and idempotent, and gives the rows of the owners."""
    owners = {node: _rows(node, log) for node in "abc"}
    for node, writes in zip("abc", (one, two, three), strict=True):
        _write(owners[node], writes)
    wholes = {node: owners[node].lacking({}) for node in "abc"}
    results: list[dict[str, dict[str, int]]] = []
    for order in ("abc", "cba", "bac", "aabbccabc"):
        copy = _rows("z")
        for node in order:
            _take(copy, wholes[node])
        results.append(_all(copy))
    assert all(result == results[0] for result in results)
    assert results[0] == {node: dict(owners[node].rows_of(node)) for node in "abc"}


@given(WRITES, st.integers(1, 5), st.data())
def test_a_copy_follows_its_owner_through_any_network(writes: Writes, log: int, data: st.DataObject) -> None:
    """Deltas that are late, duplicated, lost or out of order do no harm, and one exchange makes the copy equal.

    At every moment a copy is what the owner was at that version, and it never goes back.  It may catch up from another
    copy, which has other changes in its log than the owner.
    """
    owner, relay, copy = _rows("a", log), _rows("b", log), _rows("c", log)
    news: list[Delta[str, int]] = []
    past: dict[int, dict[str, int]] = {0: {}}
    for key, value in writes:
        news += _write(owner, [(key, value)])
        past[len(news)] = dict(owner.rows_of("a"))
    for delta in data.draw(st.lists(st.sampled_from(news), max_size=40)) if news else []:
        target = data.draw(st.sampled_from([relay, copy]))
        before = _version(target)
        applied = target.apply(delta)
        if applied.gap and data.draw(st.booleans()):
            _take(target, owner.lacking(target.stamps()))
        if data.draw(st.booleans()):
            _take(copy, relay.lacking(copy.stamps()))
        assert _version(target) >= max(before, 0 if applied.gap else delta.version)
        for each in (relay, copy):
            assert dict(each.rows_of("a")) == past[_version(each)]
    _take(relay, owner.lacking(relay.stamps()))
    _take(copy, relay.lacking(copy.stamps()))
    assert dict(copy.rows_of("a")) == dict(relay.rows_of("a")) == dict(owner.rows_of("a"))
    assert not owner.lacking(copy.stamps())


@given(WRITES, st.integers(1, 5))
def test_changes_add_up_to_the_row(writes: Writes, log: int) -> None:
    """The changes that a copy reports add up to its row, whichever way the deltas came."""
    owner, copy = _rows("a", log), _rows("b", log)
    mirror: dict[str, int] = {}
    for number, (key, value) in enumerate(writes):
        owner.put(key, value)
        if number % 3:
            continue
        for delta in owner.lacking(copy.stamps()):
            for change in copy.apply(delta).changes:
                assert mirror.get(change.key) == change.before
                mirror.pop(change.key, None)
                if change.after is not None:
                    mirror[change.key] = change.after
        assert mirror == dict(copy.rows_of("a"))


def test_a_gap_is_reported() -> None:
    """A delta that does not connect leaves a gap and changes nothing; the owner is to be asked."""
    owner, copy = _rows("a"), _rows("b")
    first, _, third = _write(owner, [("x", 1), ("y", 1), ("z", 1)])
    assert copy.apply(third) == Applied(gap=True)
    assert copy.apply(first).changes
    assert copy.apply(third).gap
    deltas = owner.lacking(copy.stamps())
    assert [(delta.base, len(delta.changes)) for delta in deltas] == [(1, 2)]
    assert not copy.apply(deltas[0]).gap
    assert len(copy.rows_of("a")) == 3


def test_a_new_generation_begins_with_an_empty_row_and_deltas_of_the_old_one_are_ignored() -> None:
    """Stale gossip brings back neither an earlier generation nor a node that is no member."""
    owner, copy = _rows("a"), _rows("b")
    old = _write(owner, [("x", 1), ("y", 2)])
    _take(copy, old)
    assert {change.key for change in copy.become("a", 2)} == {"x", "y"}
    _take(copy, old)
    assert copy.rows_of("a") == {}
    del copy.ids["a"]
    copy.drop("a")
    assert copy.apply(Delta("a", 2, 0, 1, (("x", 1),), 1)) == Applied()
    copy.ids["a"] = 2
    assert copy.apply(Delta("a", 2, 0, 1, (("x", 1),), 1)).changes


@given(st.integers(1, 30), st.integers(1, 5), st.randoms(use_true_random=False), st.data())
def test_a_long_row_comes_in_parts(size: int, part: int, order: random.Random, data: st.DataObject) -> None:
    """No delta is longer than the log, and a copy replaces a row as a whole, from whichever node the parts come.

    The old row stays until then, so no entry that still exists ever disappears.
    """
    owner, relay, copy = _rows("a", part), _rows("b", part), _rows("c", part)
    keys = [f"key{number}" for number in range(size)]
    _write(owner, [(key, 0) for key in keys])
    _take(copy, owner.lacking({}))
    _write(owner, [(key, 1) for key in [*keys[1:], "more"]])
    _take(relay, order.sample(owner.lacking({}), len(owner.lacking({}))))
    parts = owner.lacking({}) + relay.lacking({})
    assert all(len(delta.changes) <= part for delta in parts)
    before = dict(copy.rows_of("a"))
    for delta in data.draw(st.permutations(parts)):
        changes = copy.apply(delta).changes
        assert dict(copy.rows_of("a")) in (before, dict(owner.rows_of("a")))
        assert all(change.after is not None for change in changes)
    assert dict(copy.rows_of("a")) == dict(owner.rows_of("a"))


def test_parts_of_a_row_that_has_changed_meanwhile_are_not_mixed() -> None:
    """Only parts of one version make a row; older ones are dropped, and so is a row that does not add up."""
    owner, copy = _rows("a", changes_max=1), _rows("b")
    _write(owner, [("x", 1), ("y", 1), ("z", 1)])
    old = owner.lacking({})
    _write(owner, [("x", None), ("y", 2)])
    new = owner.lacking({})
    _take(copy, [old[0], old[1], new[0], old[2]])
    assert dict(copy.rows_of("a")) == {}
    _take(copy, [new[1]])
    assert dict(copy.rows_of("a")) == {"z": 1, "y": 2}
    wrong: Delta[str, int] = Delta("c", 1, 0, 5, (("x", 1), ("y", 1)), 1)
    assert "2 rows and announced 1" in copy.apply(wrong).refused
    assert dict(copy.rows_of("c")) == {}


def test_parts_of_a_generation_that_has_ended_are_not_mixed_with_those_of_the_next() -> None:
    """Also where both have the same version."""
    old, copy = _rows("a", changes_max=1), _rows("b")
    new = Rows("a", changes_max=1, generation=2)
    for owner, value in ((old, 1), (new, 2)):
        _write(owner, [("x", value), ("y", value)])
    _take(copy, old.lacking({})[:1])
    copy.become("a", 2)
    _take(copy, new.lacking({})[1:])
    assert dict(copy.rows_of("a")) == {}
    _take(copy, new.lacking({}))
    assert dict(copy.rows_of("a")) == {"x": 2, "y": 2}


def test_the_limit_in_bytes_holds_for_owner_and_copy() -> None:
    """Exactly: rows that are replaced or removed make place; a copy refuses what is above it, whole or as changes."""
    size = len(row_bytes("x", 1))
    owner, copy = _rows("a"), _rows("b")
    owner.limits = copy.limits = TableLimits(rows_max=100, bytes_max=3 * size)
    _take(copy, _write(owner, [("x", 1), ("y", 1), ("z", 1), ("x", 2), ("y", None), ("w", 1)]))
    with pytest.raises(RowFull, match="bytes_max"):
        owner.put("v", 1)
    assert dict(copy.rows_of("a")) == dict(owner.rows_of("a")) == {"x": 2, "z": 1, "w": 1}
    _, version = owner.stamp("a")
    changes = tuple((key, 3) for key in ("x", "z", "w"))
    assert copy.apply(Delta("a", 1, version, version + 1, changes)).refused == ""
    assert copy.apply(Delta("a", 1, version + 1, version + 2, (("v", 1),))).refused
    whole = tuple((f"key {number}", 1) for number in range(3))
    assert "bytes_max" in copy.apply(Delta("a", 1, 0, version + 9, whole, 3)).refused
    assert dict(copy.rows_of("a")) == dict(changes)


def test_a_nodes_own_row_is_written_by_no_other_node() -> None:
    """Deltas of this node's own row have no effect on it."""
    rows = _rows("a")
    rows.put("x", 1)
    assert rows.apply(Delta("a", 1, 0, 99, ())) == Applied()
    assert dict(rows.rows_of("a")) == {"x": 1}


def test_limits_hold() -> None:
    """An owner at its limit gets an error that names it, and a delta beyond the limit is refused, whole or in part."""
    with pytest.raises(InvalidOption, match="changes_max=0"):
        _rows("a", changes_max=0)
    rows = _rows("a", rows_max=2)
    _write(rows, [("x", 1), ("y", 1)])
    with pytest.raises(RowFull, match="rows_max"):
        rows.put("z", 1)
    rows.put("x", 2)
    large, small = _rows("b"), _rows("c", rows_max=1)
    news = _write(large, [("x", 1), ("y", 1)])
    assert [applied.refused != "" for applied in _take(small, news)] == [False, True]
    whole = large.lacking({})[0]
    refused = small.apply(whole)
    assert "rows_max" in refused.refused
    assert dict(small.rows_of("b")) == {"x": 1}


def test_a_write_that_changes_nothing_makes_no_version() -> None:
    """Such as to write the present value, or to remove a key that is not there."""
    rows = _rows("a")
    assert rows.put("x", None) is None
    rows.put("x", 1)
    assert rows.put("x", 1) is None
    assert rows.stamps()["a"] == (1, 1)
    assert list(rows.items()) == [("a", "x", 1)]


@given(WRITES, WRITES, st.integers(1, 2**62), st.integers(1, 2**62))
def test_generations_are_not_ordered(old: Writes, new: Writes, one: int, other: int) -> None:
    """The present member decides which generation holds, whichever number is larger."""
    if one == other:
        return
    owners = {generation: Rows("a", generation=generation) for generation in (one, other)}
    copy = _rows("b")
    for generation, writes in ((one, old), (other, new)):
        _write(owners[generation], writes)
        copy.become("a", generation)
        _take(copy, owners[generation].lacking(copy.stamps()))
        assert dict(copy.rows_of("a")) == dict(owners[generation].rows_of("a"))
    _take(copy, owners[one].lacking(copy.stamps()))
    assert dict(copy.rows_of("a")) == dict(owners[other].rows_of("a"))
