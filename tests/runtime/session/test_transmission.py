import pytest

from trouper.runtime.session import frames
from trouper.runtime.session.effects import Effect, Transmit
from trouper.runtime.session.frames import CONTROL, NORMAL
from trouper.runtime.session.settings import SessionSettings
from trouper.runtime.session.stream import BATCH_FRAMES_MAX, Stream
from trouper.runtime.session.transmission import SessionClosed, Transmission

SETTINGS = SessionSettings()


def _flow() -> Transmission:
    """A flow that is up, to a peer that has granted a window."""
    flow = Transmission(SETTINGS, "x://b")
    flow.state, flow.body_bytes_max = "up", 1_000
    flow.stream.handle_header(frames.parse(Stream(SETTINGS).control_frame(), 1_000))
    return flow


def _send(flow: Transmission, count: int) -> list[Effect]:
    return [effect for _ in range(count) for effect in flow.send((b"x", b"yz"), NORMAL, 1.0) or ()]


def _numbers(effects: list[Effect]) -> list[int]:
    return [effect.sequence for effect in effects if isinstance(effect, Transmit)]


def test_a_full_wire_is_given_the_rest_piece_by_piece() -> None:
    """What waits is handed out a hundred frames at a time, with a tick between, not all for each free place."""
    flow = _flow()
    assert _numbers(_send(flow, 3)) == [1, 2, 3]
    flow.not_taken(3)
    assert _send(flow, 300) == []
    flow.wake_at = 99.0
    assert _numbers(flow.wire_ready(2.0)) == list(range(3, 3 + BATCH_FRAMES_MAX))
    assert flow.wake_at == 2.0
    flow.not_taken(10)
    assert _numbers(flow.wire_ready(2.0)) == list(range(10, 10 + BATCH_FRAMES_MAX))


def test_a_request_is_answered_once_with_just_what_it_asks_for() -> None:
    """Bodies of several parts come again as they were; a request that comes twice is one."""
    flow = _flow()
    first = _send(flow, 5)
    peer = Stream(SETTINGS)
    request = frames.parse(peer.control_frame(frames.RESEND, (frames.encode_body([1, 1, 1, 1, 2]),)), 1_000)
    answers = [flow.send_again(request, 2.0) for _ in range(2)]
    assert [_numbers(effects) for effects in answers] == [[2, 4, 5], []]
    assert answers[0][0] == first[1]
    assert flow.resends == 1


def test_it_takes_nothing_outside_of_a_session() -> None:
    """Before and after, and while the peer is asked whether it may end, sending is an error."""
    flow = _flow()
    for state in ("greeting", "leaving", "closing", "closed_idle", "closed"):
        flow.state = state
        with pytest.raises(SessionClosed, match=r": send only between its PeerUp and its PeerDown$"):
            _send(flow, 1)


def test_a_body_that_has_no_room_is_not_taken() -> None:
    """The normal lane says so and changes nothing; the control lane always has room."""
    flow = _flow()
    taken = 0
    while flow.send((bytes(100),), NORMAL, 1.0) is not None:
        taken += 1
    assert 0 < taken <= SETTINGS.window_frames
    assert flow.stream.last == taken
    assert _numbers(flow.send((bytes(100),), CONTROL, 1.0) or []) == [taken + 1]


def test_what_is_kept_while_the_peer_is_out_of_reach_goes_later() -> None:
    """A broken link takes bodies and hands none to the wire."""
    flow = _flow()
    flow.state = "broken"
    assert _send(flow, 2) == []
    flow.state = "up"
    assert _numbers(flow.wire_ready(2.0)) == [1, 2]
