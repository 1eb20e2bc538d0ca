from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.runtime.kernel.errors import InvalidOption
from trouper.transports.network_faults import NetworkFaults, Quality

HOSTS = "abc"


def _network(quality: Quality | None = None, seed: int = 0) -> NetworkFaults:
    return NetworkFaults(Random(seed).random, quality)


def test_frames_arrive_after_the_delay() -> None:
    """Without faults a frame arrives once, ``delay_s`` later."""
    assert _network(Quality(delay_s=0.25)).arrivals("a", "b", 100, 10.0) == (10.25,)


def test_bandwidth_is_shared_by_what_is_sent_on_a_way() -> None:
    """Each frame waits until those before it are through; the way back and idle time are not charged."""
    network = _network(Quality(delay_s=1.0, bandwidth_bytes_s=100.0))
    assert [network.arrivals("a", "b", 50, 0.0) for _ in range(3)] == [(1.5,), (2.0,), (2.5,)]
    assert network.arrivals("b", "a", 50, 0.0) == (1.5,)
    assert network.arrivals("a", "b", 50, 10.0) == (11.5,)
    network.arrivals("a", "b", 5_000, 20.0)
    network.forget("a", "b")
    assert network.arrivals("a", "b", 50, 21.0) == (22.5,)


@given(st.integers(0, 1_000), st.floats(0, 1))
def test_frames_keep_their_order_unless_reordered(seed: int, jitter_s: float) -> None:
    """Jitter delays, and overtakes nobody."""
    network = _network(Quality(jitter_s=jitter_s), seed)
    times = [network.arrivals("a", "b", 10, number / 100)[0] for number in range(20)]
    assert times == sorted(times)
    assert all(time >= number / 100 for number, time in enumerate(times))


@given(st.integers(0, 1_000))
def test_reordered_frames_are_late_by_no_more_than_was_said(seed: int) -> None:
    """A frame that is overtaken arrives within ``reorder_s`` of its time, and others do overtake it."""
    network = _network(Quality(delay_s=0.1, reorder=1.0, reorder_s=0.5), seed)
    times = [network.arrivals("a", "b", 10, 0.0)[0] for _ in range(20)]
    assert all(0.1 <= time <= 0.6 for time in times)
    assert times != sorted(times)
    assert network.reordered == 20


def test_loss_and_duplication_are_counted() -> None:
    """A chance of 1 loses or doubles every frame, and of 0.5 about every other one."""
    assert _network(Quality(loss=1.0)).arrivals("a", "b", 1, 0.0) == ()
    assert len(_network(Quality(duplication=1.0)).arrivals("a", "b", 1, 0.0)) == 2
    network = _network(Quality(loss=0.5, duplication=0.5))
    arrived = sum(len(network.arrivals("a", "b", 1, 0.0)) for _ in range(1_000))
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


def _cut_ways(network: NetworkFaults) -> set[str]:
    return {x + y for x in HOSTS for y in HOSTS if x != y and network.is_cut(x, y)}


def test_partitions_and_cuts() -> None:
    """A partition is both ways, a cut is one, and a host alone stands for all of its ways."""
    network = _network()
    network.partition("a", "b")
    assert _cut_ways(network) == {"ab", "ba"}
    network.cut("b", "c")
    assert _cut_ways(network) == {"ab", "ba", "bc"}
    network.repair("b", "a")
    assert _cut_ways(network) == {"bc"}
    network.partition("a")
    assert _cut_ways(network) == {"bc", "ab", "ba", "ac", "ca"}
    network.repair("a")
    assert _cut_ways(network) == {"bc"}
    network.partition(None)
    assert len(_cut_ways(network)) == 6
    network.repair()
    assert _cut_ways(network) == set()
    network.cut("a")
    assert _cut_ways(network) == {"ab", "ac"}


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
