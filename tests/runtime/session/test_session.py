import pytest

from trouper.runtime.session import frames
from trouper.runtime.session.effects import Deliver, Effect, PeerUnreachable, Transmit
from trouper.runtime.session.frames import CONTROL, NORMAL
from trouper.runtime.session.handshake import Handshake, LocalNode
from trouper.runtime.session.session import BATCH_FRAMES_MAX, Sequencer, Session, SessionClosed
from trouper.runtime.session.settings import SessionSettings
from trouper.runtime.session.transport import FrameTooLarge

SETTINGS = SessionSettings()


def _session() -> Session:
    """A session that is up, with a peer that has granted a window."""
    handshake = Handshake(LocalNode("a", 1, "x://a"), SETTINGS, 7, lambda: 0.5, "x://b")
    session = Session(handshake, SETTINGS, "x://b")
    session.state, session.body_bytes_max = "up", 1_000
    session.sequencer.handle_header(frames.parse(Sequencer(SETTINGS).control_frame(), 1_000))
    return session


def _send(session: Session, count: int) -> list[Effect]:
    return [effect for _ in range(count) for effect in session.send((b"x", b"yz"), NORMAL, 1.0) or ()]


def _numbers(effects: list[Effect]) -> list[int]:
    return [effect.sequence for effect in effects if isinstance(effect, Transmit)]


def test_a_full_wire_is_given_the_rest_in_batches() -> None:
    """A batch at a time goes out, with a tick between, not all of them for each frame that the wire takes."""
    session = _session()
    assert _numbers(_send(session, 3)) == [1, 2, 3]
    session.not_taken(3)
    assert _send(session, 300) == []
    session.wake_at = 99.0
    assert _numbers(session.wire_ready(2.0)) == list(range(3, 3 + BATCH_FRAMES_MAX))
    assert session.wake_at == 2.0
    session.not_taken(10)
    assert _numbers(session.wire_ready(2.0)) == list(range(10, 10 + BATCH_FRAMES_MAX))


def test_it_takes_nothing_outside_of_a_session() -> None:
    """Before and after, and while the peer is asked whether it may end, sending is an error."""
    session = _session()
    for state in ("greeting", "leaving", "closing", "closed_idle", "closed"):
        session.state = state
        with pytest.raises(SessionClosed, match=r": send only between its SessionUp and its SessionDown$"):
            _send(session, 1)


def test_a_body_above_the_capacity_is_not_taken() -> None:
    """The normal stream refuses it and changes nothing; the control stream always takes it."""
    session = _session()
    taken = 0
    while session.send((bytes(100),), NORMAL, 1.0) is not None:
        taken += 1
    assert 0 < taken <= SETTINGS.window_frames
    assert session.sequencer.last == taken
    assert _numbers(session.send((bytes(100),), CONTROL, 1.0) or []) == [taken + 1]


def test_bodies_for_an_unreachable_peer_are_kept() -> None:
    """A broken session takes bodies and gives none to the wire."""
    session = _session()
    session.state = "broken"
    assert _send(session, 2) == []
    session.state = "up"
    assert _numbers(session.wire_ready(2.0)) == [1, 2]


def test_a_datagram_waits_for_nothing() -> None:
    """It has no number and no credit, goes ahead of bodies that wait, and leaves what is to be acknowledged."""
    session = _session()
    while session.send((bytes(1_000),), NORMAL, 1.0) is not None:
        pass
    session.sequencer.unreported_frames = 1
    (effect,) = session.send_unreliable((b"ping",))
    assert isinstance(effect, Transmit)
    assert (effect.sequence, effect.reliable) == (0, False)
    assert frames.parse(effect.parts, 1_000).kind == frames.DATAGRAM
    assert session.sequencer.unreported_frames == 1


def test_a_datagram_is_dropped_where_it_would_have_to_wait() -> None:
    """While the peer is out of reach it is not sent, the wire drops it itself; outside of a session it is an error."""
    session = _session()
    session.not_taken(1)
    assert len(session.send_unreliable((b"x",))) == 1
    session.wire_ready(1.0)
    session.state = "broken"
    assert session.send_unreliable((b"x",)) == []
    with pytest.raises(FrameTooLarge, match=r"a body of 1001 bytes, it takes 1 to 1000$"):
        session.send_unreliable((bytes(1_001),))
    session.state = "closing"
    with pytest.raises(SessionClosed):
        session.send_unreliable((b"x",))


def test_a_datagram_that_overtakes_shows_no_gap() -> None:
    """It is delivered at once and each time that it comes, and nothing is taken for lost."""
    a, b = _session(), _session()
    _send(a, 3)
    (effect,) = a.send_unreliable((b"ping",))
    assert isinstance(effect, Transmit)
    for _ in range(2):
        (delivered,) = b.receive(frames.parse(effect.parts, 1_000), 2.0)
        assert isinstance(delivered, Deliver)
        assert (bytes(delivered.parts[0]), delivered.reliable) == (b"ping", False)
    assert b.state == "up"


def test_a_number_that_is_missing_begins_a_handshake() -> None:
    """A transport loses nothing while a connection lasts: the connection has broken, and nobody said so."""
    a, b = _session(), _session()
    _, second = (effect for effect in _send(a, 2) if isinstance(effect, Transmit))
    effects = b.receive(frames.parse(second.parts, 1_000), 2.0)
    assert [type(effect) for effect in effects] == [PeerUnreachable, Transmit]
    assert b.receive(frames.parse(second.parts, 1_000), 2.0) == [], "one break, one handshake"
