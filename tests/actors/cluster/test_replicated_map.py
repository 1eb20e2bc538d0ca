"""Boards agree after they have exchanged what they know, and tell of every change."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.replicated_map import Effect, EntryChanged, ReplicatedMap
from trouper.runtime.gossip.versioned_table import Announce, Change

POSTS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.none() | st.integers(0, 3)), max_size=30)
Seen = dict[tuple[str, str], dict[str, int]]
"""What each node was told of each row."""


def _pair() -> dict[str, ReplicatedMap[str, int]]:
    boards = {node: ReplicatedMap[str, int](node, 1) for node in "ab"}
    boards["a"].up("b", 1)
    boards["b"].up("a", 1)
    return boards


@given(POSTS)
def test_what_is_told_adds_up_to_what_stands_there(posts: list[tuple[str, str, int | None]]) -> None:
    """Whatever is posted and whichever news is lost: after digests both are equal, and the told changes give it all."""
    boards = _pair()
    seen: Seen = {(node, owner): {} for node in "ab" for owner in "ab"}
    for place, (node, key, value) in enumerate(posts):
        for effect in boards[node].put(key, value):
            if isinstance(effect, Announce) and place % 3:
                _note(seen, "ab"[node == "a"], boards["ab"[node == "a"]].merge(effect.delta))
            _note(seen, node, [effect])
    for one, other in (("a", "b"), ("b", "a")):
        for delta in boards[one].table.deltas_for(boards[other].table.digest()):
            _note(seen, other, boards[other].merge(delta))
    for owner in "ab":
        assert boards["a"].table.row(owner) == boards["b"].table.row(owner)
        assert seen["a", owner] == seen["b", owner] == boards[owner].table.row(owner)


def _note(seen: Seen, node: str, effects: Sequence[Effect[str, int]]) -> None:
    for effect in effects:
        if isinstance(effect, EntryChanged):
            change = effect.change
            row = seen[node, change.owner]
            assert row.get(change.key) == change.before
            row.pop(change.key, None)
            if change.after is not None:
                row[change.key] = change.after


def test_a_node_that_is_down_takes_its_posts_with_it() -> None:
    """And what it says afterwards is not listened to."""
    boards = _pair()
    announced = [effect for effect in boards["a"].put("x", 1) if isinstance(effect, Announce)]
    for effect in announced:
        boards["b"].merge(effect.delta)
    assert boards["b"].down("a") == [EntryChanged(Change("a", "x", 1, None))]
    assert [boards["b"].merge(effect.delta) for effect in announced] == [[]]
    assert boards["a"].put("x", 1) == []
