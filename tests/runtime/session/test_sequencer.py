from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.runtime.session.frames import CONTROL, NORMAL, FrameError, parse
from trouper.runtime.session.session import Sequencer
from trouper.runtime.session.settings import SessionSettings
from trouper.runtime.session.transport import Buffer

SETTINGS = SessionSettings(frame_bytes_max=600, window_bytes=1_000, window_frames=10, ack_frames=4, ack_bytes=400)


def _pair() -> tuple[Sequencer, Sequencer]:
    a, b = Sequencer(SETTINGS), Sequencer(SETTINGS)
    a.handle_header(parse(b.control_frame(), 1_000))
    b.handle_header(parse(a.control_frame(), 1_000))
    return a, b


def test_bodies_are_numbered_and_kept_until_they_are_acknowledged() -> None:
    """What the peer has not acknowledged is handed back at the end, oldest first."""
    a, b = _pair()
    frames = [parse(a.frame_of(a.append((body,), NORMAL, 1)), 1_000) for body in (b"1", b"2", b"3")]
    assert [b.take(frame) for frame in frames[:2]] == ["next", "next"]
    assert a.handle_header(parse(b.control_frame(), 1_000))
    assert (a.acknowledged, a.last, a.unacknowledged_bytes) == (2, 3, 1)
    assert [kept.parts for kept in a.drain()] == [(b"3",)]
    assert a.unacknowledged_bytes == 0


def test_only_the_next_number_is_taken() -> None:
    """A repetition is seen; a number above the next one is a gap, and nothing of it is kept."""
    a, b = _pair()
    frames = [parse(a.frame_of(a.append((b"x",), NORMAL, 1)), 1_000) for _ in range(4)]
    verdicts = [b.take(frames[number - 1]) for number in (2, 1, 1, 3, 2, 3, 4)]
    assert verdicts == ["gap", "next", "seen", "gap", "next", "next", "next"]
    assert b.received == 4


def test_a_body_beyond_the_credit_is_a_fault() -> None:
    """A peer that sends more than it was granted is not believed, and nothing is counted."""
    a, b = _pair()
    a.append((bytes(500),), NORMAL, 500)
    frames = [parse(a.frame_of(kept), 1_000) for kept in a.next_batch()]
    frames += [parse(a.frame_of(a.append((bytes(501),), NORMAL, 501)), 1_000)]
    assert b.take(frames[0]) == "next"
    with pytest.raises(FrameError, match=r"^body 2 makes 1001 bytes, granted are 1000 \(at byte 20 of the frame\)$"):
        b.take(frames[1])
    assert b.received == 1


def test_the_control_stream_needs_no_credit() -> None:
    """Bodies of the control stream are numbered with the others and counted by nobody."""
    a, b = _pair()
    for _ in range(5):
        assert b.take(parse(a.frame_of(a.append((bytes(500),), CONTROL, 500)), 1_000)) == "next"
    b.control_frame()
    assert (a.capacity_bytes, b.granted) == (1_000, 1_000)


def test_going_back_hands_out_again_what_comes_after() -> None:
    """After a loss, what is kept behind it is handed out again; what is acknowledged never is."""
    a, _ = _pair()
    for _ in range(4):
        a.append((b"x",), NORMAL, 1)
    a.transmitted = 4
    a.go_back(2)
    assert [kept.sequence for kept in a.next_batch()] == [3, 4]
    a.go_back(3)
    assert a.transmitted == 3


@given(st.data())
def test_an_adversary_between_two_streams_changes_nothing(data: st.DataObject) -> None:
    """Frames lost, repeated and reordered at will, both ways: what comes out is a prefix of what went in."""
    a, b = _pair()
    went_in, came_out = list[bytes](), list[bytes]()
    to_b: deque[tuple[Buffer, ...]] = deque()
    to_a: deque[tuple[Buffer, ...]] = deque()
    for _ in range(data.draw(st.integers(0, 40))):
        action = data.draw(st.sampled_from(["send", "forward", "back", "again"]))
        if action == "send" and a.capacity_bytes >= 100:
            body = str(len(went_in)).encode().ljust(data.draw(st.integers(5, 100)))
            went_in.append(body)
            to_b.append(a.frame_of(a.append((body[:3], body[3:]), NORMAL, len(body))))
            a.transmitted = a.last
            assert a.unacknowledged_bytes <= SETTINGS.window_bytes
        elif action == "again" and data.draw(st.booleans()):
            a.go_back(data.draw(st.integers(0, a.last)))
            to_b.extend(a.frame_of(kept) for kept in a.next_batch())
            a.transmitted = a.last
        elif action == "forward" and to_b:
            at = data.draw(st.integers(0, len(to_b) - 1))
            frame = parse(to_b[at], 1_000)
            if b.take(frame) == "next":
                came_out.append(b"".join(bytes(part) for part in frame.parts))
                to_a.append(b.control_frame())
            if data.draw(st.booleans()):
                del to_b[at]
        elif action == "back" and to_a:
            a.handle_header(parse(to_a[data.draw(st.integers(0, len(to_a) - 1))], 1_000))
    assert came_out == went_in[: len(came_out)]
    assert a.acknowledged <= len(came_out)
    assert len(a.drain()) == len(went_in) - a.acknowledged
