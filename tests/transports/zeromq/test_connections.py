import random

import pytest

from trouper.transports.zeromq.connections import FailedHandshake, UnverifiedConnections

NO_PROTOCOL = "it does not speak this protocol"


def test_a_failed_handshake_is_told_with_its_address() -> None:
    """The reason that was reported directly before the end, or that it ended without one."""
    connections = UnverifiedConnections(8, None)
    assert connections.accepted(5, "10.0.0.5", "10.0.0.5") is None
    connections.failed("its key does not fit")
    assert connections.ended(5) == FailedHandshake("10.0.0.5", "its key does not fit")
    assert connections.accepted(5, "10.0.0.6", "10.0.0.6") is None
    assert connections.ended(5) == FailedHandshake("10.0.0.6", NO_PROTOCOL)
    assert connections.ended(5) is None


def test_a_verified_connection_ends_without_a_word() -> None:
    """It is verified when as many handshakes succeeded as were under way, or when a frame has come over it."""
    connections = UnverifiedConnections(8, None)
    connections.accepted(5, "a", "a")
    connections.succeeded()
    assert len(connections) == 0
    assert connections.ended(5) is None
    for descriptor in (5, 6):
        connections.accepted(descriptor, "a", "a")
    connections.succeeded()
    assert len(connections) == 2, "it is not known which"
    connections.received(6)
    assert len(connections) == 1
    assert connections.ended(6) is None
    assert connections.ended(5) == FailedHandshake("a", NO_PROTOCOL)


def test_a_connection_that_the_authenticator_refused_is_not_told_twice() -> None:
    """It has logged the connection itself: there is no reason to log."""
    connections = UnverifiedConnections(8, None)
    connections.accepted(5, "a", "a")
    connections.refused()
    assert connections.ended(5) == FailedHandshake("a", "")
    connections.accepted(5, "a", "a")
    assert connections.ended(5) == FailedHandshake("a", NO_PROTOCOL)


def test_the_source_of_most_connections_gives_way() -> None:
    """Its oldest is dropped, not the one connection of another source."""
    connections = UnverifiedConnections(4, None)
    assert connections.accepted(1, "honest", "honest") is None
    for descriptor in (2, 3, 4):
        assert connections.accepted(descriptor, "flood", "flood") is None
    assert connections.accepted(5, "flood", "flood") == (2, "flood")
    assert connections.accepted(6, "other", "other") == (3, "flood")
    assert connections.ended(2) is None, "that it was dropped has been logged"
    assert connections.drop_one() == (4, "flood")
    assert len(connections) == 3


def test_verified_connections_are_never_dropped() -> None:
    """With as many open as there may be, newcomers make way."""
    connections = UnverifiedConnections(4, 3)
    for descriptor in range(3):
        assert connections.accepted(descriptor, "member", "member") is None
        connections.received(descriptor)
    assert connections.accepted(3, "flood", "flood") == (3, "flood")
    assert connections.drop_one() is None


def test_sources_with_a_verified_connection_are_known() -> None:
    """As long as one is open, however it was verified."""
    connections = UnverifiedConnections(8, None)
    for descriptor in (1, 2):
        connections.accepted(descriptor, "a", "a")
    connections.accepted(3, "b", "b")
    connections.received(1)
    assert (connections.has_verified("a"), connections.has_verified("b")) == (True, False)
    for _ in range(3):
        connections.succeeded()
    assert connections.has_verified("b")
    for descriptor in (1, 3):
        assert connections.ended(descriptor) is None
    assert (connections.has_verified("a"), connections.has_verified("b")) == (True, False)
    connections.ended(2)
    assert not connections.has_verified("a")


@pytest.mark.parametrize("seed", range(20))
def test_counts_stay_true_and_bounded_whatever_happens(seed: int) -> None:
    """Against a model of which connections are open: never more unverified than allowed, none that has ended."""
    rng = random.Random(seed)
    connections = UnverifiedConnections(8, 20)
    alive: dict[int, bool] = {}  # descriptor -> whether a frame has come over it
    for _ in range(1_000):
        move = rng.random()
        if move < 0.5:
            descriptor = next(number for number in range(100) if number not in alive)
            alive[descriptor] = False
            dropped = connections.accepted(descriptor, "x", str(rng.randrange(3)))
            if dropped is not None:
                assert not alive.pop(dropped[0]), "a verified connection was dropped"
                assert connections.ended(dropped[0]) is None
        elif move < 0.7 and alive:
            chosen = rng.choice(list(alive))
            alive[chosen] = True
            connections.received(chosen)
        elif alive:
            chosen = rng.choice(list(alive))
            was_verified = alive.pop(chosen)
            told = connections.ended(chosen)
            assert (told is None) == was_verified
        assert len(connections) == sum(not verified for verified in alive.values()) <= 8
        assert len(alive) <= max(20, sum(alive.values()))


def test_a_success_that_is_reported_after_the_first_frame_is_no_other_connections() -> None:
    """The frame has verified the connection; one that stays silent is not verified by its success."""
    connections = UnverifiedConnections(8, None)
    connections.accepted(5, "honest", "honest")
    connections.accepted(6, "silent", "silent")
    connections.received(5)
    connections.succeeded()
    assert not connections.has_verified("silent")
    assert len(connections) == 1
    assert connections.ended(5) is None
    connections.accepted(5, "other", "other")
    connections.succeeded()
    connections.received(5)
    assert not connections.has_verified("silent")


@pytest.mark.parametrize("seed", range(20))
def test_no_silent_connection_is_ever_verified(seed: int) -> None:
    """Whatever others do meanwhile, and in whichever order ZeroMQ's reports and their frames are read."""
    rng = random.Random(seed)
    connections = UnverifiedConnections(None, None)
    to_come: dict[int, list[str]] = {}  # descriptor -> what will be read of it
    silent: set[int] = set()
    for descriptor in range(1_000):
        move = rng.random()
        if move < 0.1 and len(silent) < 5:
            silent.add(descriptor)
            connections.accepted(descriptor, "silent", "silent")
        elif move < 0.4 and len(to_come) < 6:
            connections.accepted(descriptor, "x", "honest" if move < 0.3 else "stranger")
            ends = ["succeeded", "frame"] if rng.random() < 0.5 else ["frame", "succeeded"]
            to_come[descriptor] = [*ends, "ended"] if move < 0.3 else [rng.choice(["failed", "refused"]), "ended"]
        elif to_come:
            chosen = rng.choice(list(to_come))
            event = to_come[chosen].pop(0)
            if event == "succeeded":
                connections.succeeded()
            elif event == "frame":
                connections.received(chosen)
            elif event == "refused":
                connections.refused()
            elif event == "failed":  # it is reported directly before the end
                connections.failed("its key does not fit")
                assert connections.ended(chosen) is not None
                del to_come[chosen]
            else:
                connections.ended(chosen)
                del to_come[chosen]
        assert not connections.has_verified("silent")
        assert len(connections) >= len(silent)
