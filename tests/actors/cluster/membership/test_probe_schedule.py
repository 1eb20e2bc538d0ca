"""The probe list, and the steps of one probe."""

import random

from trouper.actors.cluster.membership.probe_schedule import ProbeSchedule, sample


def _prober(count: int, seed: int = 1) -> ProbeSchedule:
    schedule = ProbeSchedule(random.Random(seed).random)
    for number in range(count):
        schedule.insert(f"{number}")
    return schedule


def test_every_member_is_probed_once_in_a_pass_and_passes_differ() -> None:
    """SWIM 4.3: round robin, shuffled anew after each pass."""
    schedule = _prober(20)
    passes = [[schedule.next_target(lambda _name: True) for _ in range(20)] for _ in range(5)]
    assert all(len(set(names)) == 20 for names in passes)
    assert len({tuple(names) for names in passes}) == 5


def test_newcomers_are_put_at_random_places() -> None:
    """Over many seeds the last to come stands at every place of the list."""
    places: set[int] = set()
    for seed in range(200):
        schedule = _prober(8, seed)
        places.add([schedule.next_target(lambda _name: True) for _ in range(8)].index("7"))
    assert places == set(range(8))


def test_who_is_no_more_leaves_the_list_and_may_come_back() -> None:
    """The gone are passed over, dropped at the end of the pass, and stand there once after their return."""
    schedule = _prober(3)
    for _ in range(6):
        assert schedule.next_target(lambda name: None if name == "1" else True) != "1"
    schedule.insert("1")
    schedule.insert("1")
    names = [schedule.next_target(lambda _name: True) for _ in range(30)]
    assert all(9 <= names.count(name) <= 11 for name in "012")
    assert _prober(0).next_target(lambda _name: True) is None
    assert _prober(3).next_target(lambda _name: False) is None


def test_urgent_members_come_first_up_to_a_limit() -> None:
    """A doubted member is probed next, once."""
    schedule = _prober(30)
    for number in range(20):
        schedule.probe_soon(f"{number}")
    assert [schedule.next_target(lambda _name: True) for _ in range(8)] == [f"{number}" for number in range(8)]
    assert len({schedule.next_target(lambda _name: True) for _ in range(30)}) == 30, "and then it is everybody's turn"


def test_a_probe_goes_its_steps() -> None:
    """Direct, indirect, over; only the answer to the probe that runs ends it."""
    schedule = _prober(1)
    schedule.begin("0", 7, 10.0, 0.5, 1.0)
    assert (schedule.stage, schedule.wake_at, schedule.ends_at) == ("direct", 10.5, 11.0)
    schedule.nacked(7)
    schedule.go_indirect(3)
    schedule.nacked(7)
    schedule.nacked(6)
    assert (schedule.stage, schedule.wake_at, schedule.nacks_due, schedule.nacks) == ("indirect", 11.0, 3, 1)
    assert not schedule.acked(6)
    assert schedule.acked(7)
    assert not schedule.acked(7)
    assert (schedule.stage, schedule.wake_at) == ("idle", 11.0)


def test_a_sample_holds_different_names_that_fit() -> None:
    """And fewer than asked where there are no more."""
    chance = random.Random(1)
    for _ in range(50):
        found = sample(3, 60, lambda: chance.choice("abcde"), lambda name: name != "a")
        assert len(set(found)) == 3
        assert "a" not in found
    assert sample(3, 60, lambda: "a", lambda _name: True) == ["a"]
    assert sample(3, 60, lambda: None, lambda _name: True) == []
