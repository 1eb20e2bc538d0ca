"""The gossip queue against a naive model, and its order."""

from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.membership import Accusation
from trouper.actors.cluster.membership.broadcasts import BroadcastQueue
from trouper.actors.cluster.membership.packets import update_bytes


def _news(name: str, incarnation: int = 0) -> Accusation:
    return Accusation(name, 1, incarnation, "x")


SIZE = update_bytes(_news("a"))


def test_what_was_sent_least_goes_first_and_of_those_the_newest() -> None:
    """Memberlist's order by transmit count; among equals the one that came to that count last."""
    queue = BroadcastQueue(3)
    for name in "abc":
        queue.put(_news(name))
    assert [update.name for update in queue.take(2 * SIZE)] == ["c", "b"]
    assert [update.name for update in queue.take(2 * SIZE)] == ["a", "c"]
    queue.put(_news("d"))
    assert [update.name for update in queue.take(2 * SIZE)] == ["d", "a"]


def test_a_newer_update_about_a_member_replaces_the_older_one() -> None:
    """There is one update for each generation of a member; a replacement counts as not sent yet."""
    queue = BroadcastQueue(2)
    queue.put(_news("a", 1))
    queue.take(SIZE)
    queue.put(_news("a", 2))
    assert len(queue) == 1
    assert [queue.take(SIZE), queue.take(SIZE), queue.take(SIZE)] == [(_news("a", 2),), (_news("a", 2),), ()]


def test_what_does_not_fit_waits_and_what_fits_goes() -> None:
    """A large piece does not stop a small one behind it."""
    queue = BroadcastQueue(2)
    queue.put(_news("b"))
    queue.put(_news("long" * 50))
    assert [update.name for update in queue.take(SIZE)] == ["b"]
    assert len(queue) == 2
    assert queue.holds(("long" * 50, 1))
    queue.drop(("b", 1))
    assert not queue.holds(("b", 1))


@given(st.lists(st.one_of(st.sampled_from("abcdef"), st.integers(1, 4)), max_size=60), st.integers(1, 4))
def test_everything_is_sent_to_its_limit_and_the_least_sent_first(steps: list[str | int], limit: int) -> None:
    """Against a list with a count for each piece: the counts of what is taken are the least there are."""
    queue, counts = BroadcastQueue(limit), dict[str, int]()
    for step in steps:
        if isinstance(step, str):
            queue.put(_news(step))
            counts[step] = 0
            continue
        taken = [update.name for update in queue.take(step * SIZE)]
        assert len(taken) == len(set(taken)) == min(step, len(counts))
        assert sorted(counts[name] for name in taken) == sorted(counts.values())[: len(taken)]
        for name in taken:
            counts[name] += 1
        counts = {name: count for name, count in counts.items() if count < limit}
        assert len(queue) == len(counts)
