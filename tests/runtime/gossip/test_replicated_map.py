"""Maps agree after they have exchanged what they know, and report every change."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from trouper.runtime.gossip.replicated_map import Effect, EntryChanged, ReplicatedMap
from trouper.runtime.gossip.versioned_table import Announce, Change

WRITES = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.none() | st.integers(0, 3)), max_size=30)
Seen = dict[tuple[str, str], dict[str, int]]
"""What each node was told of each row, by node and owner."""


def _pair() -> dict[str, ReplicatedMap[str, int]]:
    maps = {node: ReplicatedMap[str, int](node, 1) for node in "ab"}
    maps["a"].up("b", 1)
    maps["b"].up("a", 1)
    return maps


@given(WRITES)
def test_the_reported_changes_add_up_to_the_entries(writes: list[tuple[str, str, int | None]]) -> None:
    """Whatever is written and whichever deltas are lost: after digests both are equal, and the changes give all."""
    maps = _pair()
    seen: Seen = {(node, owner): {} for node in "ab" for owner in "ab"}
    for number, (node, key, value) in enumerate(writes):
        for effect in maps[node].put(key, value):
            if isinstance(effect, Announce) and number % 3:
                _note(seen, "ab"[node == "a"], maps["ab"[node == "a"]].merge(effect.delta))
            _note(seen, node, [effect])
    for one, other in (("a", "b"), ("b", "a")):
        for delta in maps[one].table.deltas_for(maps[other].table.digest()):
            _note(seen, other, maps[other].merge(delta))
    for owner in "ab":
        assert maps["a"].table.row(owner) == maps["b"].table.row(owner)
        assert seen["a", owner] == seen["b", owner] == maps[owner].table.row(owner)


def _note(seen: Seen, node: str, effects: Sequence[Effect[str, int]]) -> None:
    for effect in effects:
        if isinstance(effect, EntryChanged):
            change = effect.change
            row = seen[node, change.owner]
            assert row.get(change.key) == change.before
            row.pop(change.key, None)
            if change.after is not None:
                row[change.key] = change.after


def test_the_entries_of_a_node_end_with_it() -> None:
    """And its later deltas are ignored."""
    maps = _pair()
    announced = [effect for effect in maps["a"].put("x", 1) if isinstance(effect, Announce)]
    for effect in announced:
        maps["b"].merge(effect.delta)
    assert maps["b"].down("a") == [EntryChanged(Change("a", "x", 1, None))]
    assert [maps["b"].merge(effect.delta) for effect in announced] == [[]]
    assert maps["a"].put("x", 1) == []
