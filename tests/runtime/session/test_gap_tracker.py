from math import inf

from hypothesis import given
from hypothesis import strategies as st

from trouper.runtime.session.gap_tracker import GapTracker
from trouper.runtime.session.settings import SessionSettings

SETTINGS = SessionSettings(resend_again_s=0.2, resend_least_s=0.01)


def _numbers(request: list[int], received: int) -> list[int]:
    """What a request asks for."""
    numbers, at = list[int](), received + 1
    for passed_over, asked in zip(request[1::2], request[2::2], strict=True):
        at += passed_over + asked
        numbers += range(at - asked, at)
    return numbers


def test_a_gap_is_asked_for_at_once_and_again_after_a_pause() -> None:
    """The first request goes with the sight of the gap, the next when its answer should have come."""
    missing = GapTracker(SETTINGS)
    missing.arrived(2, 6, 1.0)
    assert missing.due_at == 1.0
    assert missing.ask(2, 1.0, 9) == [1, 0, 3]
    assert missing.ask(2, 1.1, 9) == []
    missing.arrived(2, 4, 1.15)
    assert missing.ask(2, missing.due_at, 9) == []
    assert missing.ask(2, missing.due_at, 9) == [2, 0, 1, 1, 1]
    missing.arrived(2, 3, 1.6)
    missing.arrived(4, 5, 1.6)
    assert (missing.gaps, missing.due_at, missing.asked) == ([], inf, 2)


def test_gaps_that_show_together_are_asked_for_together() -> None:
    """Behind a request the next one waits for a moment, and then asks for all that has shown meanwhile."""
    missing = GapTracker(SETTINGS)
    missing.arrived(0, 2, 1.0)
    missing.ask(0, 1.0, 9)
    missing.arrived(0, 4, 1.000_2)
    missing.arrived(0, 7, 1.000_4)
    assert missing.due_at == 1.001
    assert missing.ask(0, 1.001, 9) == [2, 2, 1, 1, 2]


def test_a_request_has_a_limit_and_the_rest_follows() -> None:
    """What a request has no room for is asked for soon afterwards."""
    missing = GapTracker(SETTINGS)
    for sequence in range(2, 12, 2):
        missing.arrived(0, sequence, 1.0)
    assert missing.ask(0, 1.0, 2) == [1, 0, 1, 1, 1]
    assert missing.due_at == 1.001
    assert missing.ask(0, 1.001, 9) == [2, 4, 1, 1, 1, 1, 1]


def test_what_comes_twice_shows_that_it_was_asked_for_too_soon() -> None:
    """Each repeated request that was needless doubles the pause, until an answer to a first request comes."""
    missing = GapTracker(SETTINGS)
    missing.arrived(0, 3, 1.0)
    missing.ask(0, 1.0, 9)
    missing.came_twice()
    assert missing.ask(0, 1.2, 9)
    missing.came_twice()
    missing.came_twice()
    missing.ask(0, 1.2, 9)
    assert missing.due_at == 1.6
    missing.arrived(0, 5, 1.3)
    missing.ask(0, 1.3, 9)
    missing.arrived(0, 4, 1.35)
    assert missing.round_trip.timeout_s < 0.2
    assert missing.ask(0, 1.36, 9), "the pause is no longer the doubled one, which would last until 1.6"


def test_after_a_break_the_peer_sends_by_itself() -> None:
    """What is missing is not asked for before the peer has had time to send it."""
    missing = GapTracker(SETTINGS)
    missing.arrived(0, 3, 1.0)
    missing.defer(5.0)
    assert missing.due_at == 5.2
    assert missing.ask(0, 5.1, 9) == []
    assert missing.ask(0, 5.2, 9) == [1, 0, 2]


@given(st.permutations(range(1, 25)), st.data())
def test_exactly_what_has_not_come_is_asked_for(order: list[int], data: st.DataObject) -> None:
    """Whatever the order: a request names each number below the newest that has not come, and no other."""
    missing, come, received, now = GapTracker(SETTINGS), set[int](), 0, 1.0
    for sequence in order[: data.draw(st.integers(0, 24))]:
        if missing.gaps or sequence != received + 1:
            missing.arrived(received, sequence, now)
        come.add(sequence)
        while received + 1 in come:
            received += 1
        now += 100.0
        wanted = [number for number in range(received + 1, max(come)) if number not in come]
        request = missing.ask(received, now, 50)
        assert _numbers(request, received) == wanted if wanted else request == []
