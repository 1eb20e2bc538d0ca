import zmq
from hypothesis import given
from hypothesis import strategies as st

from trouper.transports.zeromq.zero_copy import ZeroCopyBuffers


class _Tracker(zmq.MessageTracker):
    """One whose buffer comes back when the test says so."""

    has_come_back = False

    @property
    def done(self) -> bool:
        return self.has_come_back


@given(sizes=st.lists(st.integers(1, 100), min_size=1, max_size=30), returns=st.integers(0, 30))
def test_what_is_out_is_what_was_lent_and_has_not_come_back(sizes: list[int], returns: int) -> None:
    """Lending stops at the limit, and goes on when so much has come back that the rest is below it."""
    zero_copy = ZeroCopyBuffers(200)
    trackers = [_Tracker() for _ in sizes]
    for tracker, size in zip(trackers, sizes, strict=True):
        zero_copy.add(tracker, size)
    assert zero_copy.is_full == (sum(sizes) >= 200)
    for tracker in trackers[:returns]:
        tracker.has_come_back = True
    assert zero_copy.is_full == (sum(sizes[returns:]) >= 200)


def test_a_buffer_that_comes_back_early_waits_for_those_before_it() -> None:
    """They are counted off in their order, which is ZeroMQ's."""
    zero_copy = ZeroCopyBuffers(10)
    first, second = _Tracker(), _Tracker()
    zero_copy.add(first, 6)
    zero_copy.add(second, 6)
    second.has_come_back = True
    assert zero_copy.is_full
    first.has_come_back = True
    assert not zero_copy.is_full
