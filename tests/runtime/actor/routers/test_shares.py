"""Where the routees of a pool run, as a pure function: laws over random histories of places and sizes."""

import random
from collections import Counter

import pytest

from trouper.runtime.actor.routers.shares import assign


@pytest.mark.parametrize("seed", range(20))
def test_places_are_even_and_nothing_moves_without_need(seed: int) -> None:
    """Over a hundred changes: two places differ by one at most, and only what must move does."""
    rng = random.Random(seed)
    present: dict[str, str] = {}
    for _ in range(100):
        routees = [str(number) for number in range(rng.randrange(12))]
        places = rng.sample("abcdefgh", rng.randint(1, 8))
        assigned = assign(routees, places, present)
        counts = Counter(dict.fromkeys(places, 0))
        counts.update(assigned.values())
        assert set(assigned) == set(routees)
        assert set(counts) == set(places)
        assert max(counts.values()) - min(counts.values()) <= 1
        stay = Counter(present[each] for each in routees if present.get(each) in places)
        share, more = divmod(len(routees), len(places))
        limits = [share + (number < more) for number in range(len(places))]
        could_stay = sum(map(min, limits, sorted((stay[place] for place in places), reverse=True)))
        assert sum(assigned[each] == present.get(each) for each in routees) == could_stay
        assert assign(routees, places, present) == assigned
        assert assign(routees, places, assigned) == assigned
        present = assigned


def test_a_new_place_gets_its_share_and_a_place_that_left_loses_it() -> None:
    """Six routees on two places, then three, then two again."""
    first = assign("123456", "ab", {})
    assert Counter(first.values()) == {"a": 3, "b": 3}
    second = assign("123456", "abc", first)
    assert Counter(second.values()) == {"a": 2, "b": 2, "c": 2}
    assert sum(first[each] != second[each] for each in first) == 2
    third = assign("123456", "ac", second)
    assert all(third[each] == second[each] for each in second if second[each] != "b")
