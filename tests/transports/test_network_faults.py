from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.runtime.kernel.errors import InvalidOption
from trouper.transports.network_faults import RETRANSMISSIONS_MAX, NetworkFaults, Quality

HOSTS = "abc"


def _network(quality: Quality | None = None, seed: int = 0) -> NetworkFaults:
    return NetworkFaults(Random(seed).random, quality)


def test_frames_arrive_after_the_delay() -> None:
    """Without faults a frame arrives once, ``delay_s`` later."""
    assert _network(Quality(delay_s=0.25)).arrivals("a", "b", 100, 10.0) == (10.25,)


def test_bandwidth_is_shared_by_the_frames_of_a_path() -> None:
    """Each frame waits until those before it are through; the path back and idle time are not charged."""
    network = _network(Quality(delay_s=1.0, bandwidth_bytes_s=100.0))
    assert [network.arrivals("a", "b", 50, 0.0) for _ in range(3)] == [(1.5,), (2.0,), (2.5,)]
    assert network.arrivals("b", "a", 50, 0.0) == (1.5,)
    assert network.arrivals("a", "b", 50, 10.0) == (11.5,)
    network.arrivals("a", "b", 5_000, 20.0)
    network.forget("a", "b")
    assert network.arrivals("a", "b", 50, 21.0) == (22.5,)


def _times(network: NetworkFaults, count: int, *, reliable: bool = True) -> list[float]:
    """When frames arrive that are sent 10 ms apart."""
    found = [network.arrivals("a", "b", 10, number / 100, reliable=reliable) for number in range(count)]
    return [time for times in found if times is not None for time in times]


@given(st.integers(0, 1_000), st.floats(0, 1), st.floats(0, 0.3), st.floats(0, 1))
def test_a_connection_keeps_the_order(seed: int, jitter_s: float, loss: float, reorder: float) -> None:
    """Jitter, loss and reordering delay; no frame overtakes, is doubled, or is lost while the connection lasts."""
    network = _network(Quality(jitter_s=jitter_s, loss=loss, duplication=0.5, reorder=reorder), seed)
    for number in range(50):
        before = network.quality("a", "b")
        times = network.arrivals("a", "b", 10, number / 100)
        assert before is network.quality("a", "b")
        if times is None:
            return
        (time,) = times
        assert time >= number / 100
    assert network.duplicated == 0


def test_a_lost_packet_delays_what_is_behind_it() -> None:
    """It is sent again after 0.2 s, then twice as long; the frames behind it arrive no sooner."""
    chances = iter([0.9, 0.1, 0.1, 0.9, 0.9])
    network = NetworkFaults(lambda: next(chances), Quality(delay_s=0.01, loss=0.5))
    late = pytest.approx(0.01 + 0.2 + 0.4)
    assert [network.arrivals("a", "b", 10, 0.0) for _ in range(3)] == [(0.01,), (late,), (late,)]
    assert network.lost == 2


def test_a_connection_breaks_after_too_many_losses() -> None:
    """A packet that is lost each time breaks the connection; a longer path is waited for longer."""
    network = _network(Quality(loss=1.0))
    assert network.arrivals("a", "b", 1, 0.0) is None
    assert network.lost == RETRANSMISSIONS_MAX + 1
    chances = iter([0.1, 0.9])
    slow = NetworkFaults(lambda: next(chances), Quality(delay_s=1.0, loss=0.5))
    assert slow.arrivals("a", "b", 1, 0.0) == (3.0,)


@given(st.integers(0, 1_000))
def test_datagrams_out_of_order_are_late_by_no_more_than_was_said(seed: int) -> None:
    """A datagram that is overtaken arrives within ``reorder_s`` of its time, and others do overtake it."""
    network = _network(Quality(delay_s=0.1, reorder=1.0, reorder_s=0.5), seed)
    times = [time for _ in range(20) for time in network.arrivals("a", "b", 10, 0.0, reliable=False) or ()]
    assert all(0.1 <= time <= 0.6 for time in times)
    assert times != sorted(times)
    assert network.reordered == 20


def test_datagrams_are_lost_and_doubled() -> None:
    """A chance of 1 loses or doubles every one, and of 0.5 about every other one."""
    assert _times(_network(Quality(loss=1.0)), 1, reliable=False) == []
    assert len(_times(_network(Quality(duplication=1.0)), 1, reliable=False)) == 2
    network = _network(Quality(loss=0.5, duplication=0.5))
    arrived = len(_times(network, 1_000, reliable=False))
    assert 400 < network.lost < 600
    assert arrived == 1_000 - network.lost + network.duplicated


def test_one_seed_is_one_network() -> None:
    """The same numbers give the same faults."""
    quality = Quality(jitter_s=1.0, loss=0.2, duplication=0.2, reorder=0.2)
    first, second = _network(quality, 5), _network(quality, 5)
    assert [first.arrivals("a", "b", 9, n) for n in range(50)] == [second.arrivals("a", "b", 9, n) for n in range(50)]


def test_the_most_particular_quality_holds() -> None:
    """A setting for two hosts goes before one for the source, one for the target, and the one for all."""
    network = _network(Quality(delay_s=1))
    network.set_quality(Quality(delay_s=2), "a")
    network.set_quality(Quality(delay_s=3), "a", "b")
    found = {(x, y): network.quality(x, y).delay_s for x in HOSTS for y in HOSTS if x != y}
    assert found == dict.fromkeys([("a", "b"), ("b", "a")], 3) | dict.fromkeys([("a", "c"), ("c", "a")], 2) | {
        ("b", "c"): 1,
        ("c", "b"): 1,
    }
    network.set_quality(Quality(delay_s=5))
    assert network.quality("b", "c").delay_s == 5


def _cut_paths(network: NetworkFaults) -> set[str]:
    return {x + y for x in HOSTS for y in HOSTS if x != y and network.is_cut(x, y)}


def test_partitions_and_cuts() -> None:
    """A partition is both ways, a cut is one, and a host alone stands for all of its paths."""
    network = _network()
    network.partition("a", "b")
    assert _cut_paths(network) == {"ab", "ba"}
    network.cut("b", "c")
    assert _cut_paths(network) == {"ab", "ba", "bc"}
    network.repair("b", "a")
    assert _cut_paths(network) == {"bc"}
    network.partition("a")
    assert _cut_paths(network) == {"bc", "ab", "ba", "ac", "ca"}
    network.repair("a")
    assert _cut_paths(network) == {"bc"}
    network.partition(None)
    assert len(_cut_paths(network)) == 6
    network.repair()
    assert _cut_paths(network) == set()
    network.cut("a")
    assert _cut_paths(network) == {"ab", "ac"}


def test_holds_are_like_partitions() -> None:
    """``hold`` names hosts as ``partition`` does, and ``release`` as ``repair``."""
    network = _network()
    network.hold("a")
    network.hold("b", "c")
    assert [network.is_held(*pair) for pair in ("ab", "ca", "bc", "cb")] == [True] * 4
    network.release("a")
    assert [network.is_held(*pair) for pair in ("ab", "ca", "bc", "cb")] == [False, False, True, True]
    network.release()
    assert not network.is_held("b", "c")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay_s": -1.0}, "times must be 0 or more"),
        ({"loss": 1.5}, "chances must be from 0 to 1"),
        ({"bandwidth_bytes_s": 0.0}, "bandwidth_bytes_s must be above 0, or None for no limit"),
    ],
)
def test_a_quality_out_of_range_is_refused(options: dict[str, float], message: str) -> None:
    """The error shows the whole quality and the range."""
    with pytest.raises(InvalidOption, match=rf"^Quality\(.*\): {message}$"):
        Quality(**options)
