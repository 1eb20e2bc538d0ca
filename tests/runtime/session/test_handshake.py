from math import inf

import msgspec

from trouper.runtime.session.frames import Greeting
from trouper.runtime.session.handshake import Handshake, LocalNode
from trouper.runtime.session.settings import SessionSettings

LOCAL = LocalNode("ada", 7, "sim://ada")


def _handshake_state() -> Handshake:
    return Handshake(LOCAL, SessionSettings(jitter=0.0), 99, lambda: 0.5, "sim://ben")


def _read(body: bytes) -> Greeting:
    return msgspec.msgpack.decode(body, type=Greeting)


def _answer(attempt: int = 0, echo: int = 0) -> Greeting:
    return Greeting("bob", 1, "sim://bob", 5, 1_000, attempt=attempt, echo=echo)


def test_a_hello_says_all_about_the_node() -> None:
    """Each HELLO has the node's facts and the number of the attempt; a WELCOME has no attempt."""
    handshake = _handshake_state()
    hello = _read(handshake.hello(10.0, 0, tentative=False))
    assert hello == Greeting("ada", 7, "sim://ada", 99, 1_048_576, 2, 2, attempt=1)
    assert _read(handshake.welcome(4, tentative=True)) == msgspec.structs.replace(
        hello, attempt=0, echo=4, tentative=True
    )


def test_hellos_come_with_longer_and_longer_pauses() -> None:
    """The pause doubles in a row, and begins anew in the next row."""
    handshake, times = _handshake_state(), [0.0]
    assert handshake.next_at == inf
    for _ in range(4):
        handshake.hello(times[-1], 0, tentative=False)
        times.append(round(handshake.next_at, 9))
    assert times == [0.0, 0.1, 0.3, 0.7, 1.5]
    handshake.complete()
    assert handshake.next_at == inf
    handshake.hello(20.0, 0, tentative=False)
    assert handshake.next_at == 20.1


def test_only_answers_to_the_present_row_count() -> None:
    """An echo of an attempt before the break proves nothing about now."""
    handshake = _handshake_state()
    handshake.hello(0.0, 0, tentative=False)
    handshake.hello(1.0, 0, tentative=False)
    assert [handshake.is_answered(_answer(echo=echo)) for echo in (0, 1, 2, 3)] == [False, True, True, False]
    handshake.complete()
    handshake.hello(2.0, 0, tentative=False)
    assert [handshake.is_answered(_answer(echo=echo)) for echo in (1, 2, 3)] == [False, False, True]


def test_a_repeated_hello_is_known_by_its_number() -> None:
    """Numbers up to the last one heard are repetitions, until somebody else greets."""
    handshake = _handshake_state()
    handshake.note_attempt(2)
    assert [handshake.is_repeated(_answer(attempt=attempt)) for attempt in (0, 1, 2, 3)] == [False, True, True, False]
    handshake.reset_peer()
    assert not handshake.is_repeated(_answer(attempt=1))


def test_a_postponed_greeting_waits_for_the_longest_pause() -> None:
    """After a refusal the next HELLO, and those after it, come as late as they may."""
    handshake = _handshake_state()
    handshake.hello(0.0, 0, tentative=False)
    handshake.postpone(1.0)
    assert handshake.next_at == 6.0
    handshake.hello(6.0, 0, tentative=False)
    assert handshake.next_at == 11.0
    assert not handshake.is_quiet(6.01)
    assert handshake.is_quiet(6.05)
