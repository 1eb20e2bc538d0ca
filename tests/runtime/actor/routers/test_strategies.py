import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper import ConsistentHash, InvalidOption, LeastMailbox, RandomChoice, RoundRobin, Routing
from trouper.runtime.actor.routers.strategies import HashRing, Picker, RoutingContext

LABELS = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True)
KEYS = [f"key-{number}" for number in range(1_000)]


def _begin(routing: Routing, loads: dict[str, int] | None = None) -> Picker[str]:
    return routing.make_picker(RoutingContext(random.Random(1).random, (loads or {}).__getitem__, str))


def _owners(ring: HashRing[str], labels: tuple[str, ...]) -> dict[str, str]:
    return {key: ring.owner(key, labels) for key in KEYS}


@given(LABELS, st.integers(0, 5))
def test_round_robin_gives_each_the_same(labels: list[str], rounds: int) -> None:
    """Of any N messages in a row, each of N routees gets one."""
    pick, routees = _begin(RoundRobin()), tuple(labels)
    got = [pick(None, routees) for _ in range(rounds * len(labels))]
    assert got == labels * rounds


@given(LABELS, LABELS)
def test_round_robin_is_fair_after_a_change(before: list[str], after: list[str]) -> None:
    """From a change on, every one of the routees that there are gets one of the next N messages."""
    pick = _begin(RoundRobin())
    for _ in range(len(before) + 1):
        pick(None, tuple(before))
    assert sorted(pick(None, tuple(after)) for _ in after) == sorted(after)


def test_random_choice_draws_from_the_node_s_seed() -> None:
    """The same random source gives the same choices, and each routee is chosen about as often."""
    routees = ("a", "b", "c", "d")
    one, two = _begin(RandomChoice()), _begin(RandomChoice())
    first = [one(None, routees) for _ in range(4_000)]
    assert first == [two(None, routees) for _ in range(4_000)]
    assert all(900 < count < 1_100 for count in Counter(first).values())


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 3), min_size=1, max_size=6))
def test_least_mailbox_gives_to_who_has_least(loads: dict[str, int]) -> None:
    """The chosen routee has no more to do than any other, also while the loads grow."""
    pick = _begin(LeastMailbox(), loads)
    for _ in range(20):
        chosen = pick(None, tuple(loads))
        assert loads[chosen] == min(loads.values())
        loads[chosen] += 1


def test_least_mailbox_takes_turns_among_equals() -> None:
    """Idle routees get one message each."""
    pick = _begin(LeastMailbox(), dict.fromkeys("abc", 0))
    assert [pick(None, ("a", "b", "c")) for _ in range(6)] == ["a", "b", "c"] * 2


@given(LABELS, st.data())
def test_a_routee_that_leaves_moves_only_its_own_keys(labels: list[str], data: st.DataObject) -> None:
    """Keys of the others stay where they were; the other way round, one that comes takes keys and moves none else."""
    leaving = data.draw(st.sampled_from(labels))
    rest = tuple(label for label in labels if label != leaving)
    ring = HashRing[str](str, 50)
    with_it = _owners(ring, tuple(labels))
    without = _owners(ring, rest) if rest else {}
    assert {key for key in without if with_it[key] != without[key]} == {
        key for key in without if with_it[key] == leaving
    }


@pytest.mark.parametrize("count", [2, 4, 8, 16])
def test_a_change_of_one_among_n_moves_about_one_nth_of_the_keys(count: int) -> None:
    """No routee owns much more than its share, so no change moves much more."""
    labels = tuple(f"local/user/pool/{number}" for number in range(1, count + 1))
    shares = Counter(_owners(HashRing(str, 100), labels).values())
    fair = len(KEYS) / count
    assert all(0.6 * fair < shares[label] < 1.5 * fair for label in labels)


@given(LABELS, st.randoms(use_true_random=False))
def test_the_ring_does_not_depend_on_the_order_of_routees(labels: list[str], chance: random.Random) -> None:
    """Every router with the same routees finds the same owner, on whichever node, in whichever order they came."""
    shuffled = labels[:]
    chance.shuffle(shuffled)
    assert _owners(HashRing(str, 20), tuple(labels)) == _owners(HashRing(str, 20), tuple(shuffled))


def test_places_on_the_ring_never_change() -> None:
    """The owners of some keys, written down: routers of different versions must agree."""
    ring, routees = HashRing[str](str, 100), ("a", "b", "c")
    keys: list[str | bytes | int] = ["ada", b"ada", "bob", 1, 2, 3, 10**30, ""]
    assert "".join(ring.owner(key, routees) for key in keys) == "bbaaaccb"


def test_a_key_of_another_type_is_refused() -> None:
    """What would hash differently in another process is no key."""
    pick = _begin(ConsistentHash(lambda message: message))
    with pytest.raises(TypeError, match=r"^the key 1\.5 is a float: return str, bytes or int$"):
        pick(1.5, ("a",))
    with pytest.raises(InvalidOption, match=f"^{re.escape('points=0 must be 1 or more')}$"):
        ConsistentHash(str, points=0)
