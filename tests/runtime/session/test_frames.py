import json
import re
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.session.vectors import Vector, read_vectors
from trouper.runtime.session import frames
from trouper.runtime.session.endpoints import endpoint_problem
from trouper.runtime.session.frames import HEADER_BYTES, JOIN_BYTES_MAX, Frame, FrameError, Greeting, SessionRefusal

LIMIT = HEADER_BYTES + 200
"""The largest frame of the faulty vectors."""
NUMBERS = st.integers(0, 2**64 - 1)

any_frame = st.builds(
    Frame,
    kind=st.just(frames.DATA),
    stream=st.integers(0, frames.BULK),
    session=NUMBERS,
    sequence=NUMBERS,
    acknowledged=NUMBERS,
    credit=NUMBERS,
    parts=st.lists(st.binary(max_size=50), min_size=1, max_size=4).filter(any).map(tuple),
)
names = st.text("abcXYZ019_.@+~:=,-", min_size=1, max_size=20)
greetings = st.builds(
    Greeting,
    node=names,
    generation=NUMBERS,
    endpoint=st.from_regex(r"[a-z]{1,5}://[!-~]{1,50}", fullmatch=True).filter(lambda text: not endpoint_problem(text)),
    token=st.integers(1, 2**64 - 1),
    frame_bytes_max=st.integers(512, 2**31 - 1),
    attempt=st.integers(0, 2**32 - 1),
    echo=st.integers(0, 2**32 - 1),
    tentative=st.booleans(),
)


def _build(frame: Frame) -> list[bytes]:
    parts = frames.build(
        frame.kind, frame.session, frame.sequence, frame.acknowledged, frame.credit, frame.parts, frame.stream
    )
    return [bytes(part) for part in parts]


def _read(buffers: list[bytes], limit: int) -> object:
    frame = frames.parse(buffers, limit)
    if frame.kind in (frames.HELLO, frames.WELCOME):
        return frames.read_greeting(frame)
    if frame.kind in (frames.IDLE, frames.AGREE, frames.STAY):
        return frames.read_number(frame)
    return frames.read_refusal(frame) if frame.kind == frames.REFUSE else frame


def _body_of(kind: int, text: str) -> Greeting | SessionRefusal | int:
    fields = json.loads(text)
    if isinstance(fields, list):
        return msgspec.convert(fields, list[int])[0]
    return msgspec.convert(fields, SessionRefusal) if kind == frames.REFUSE else msgspec.convert(fields, Greeting)


@pytest.mark.parametrize("vector", read_vectors("frames.txt"), ids=lambda vector: vector.name)
def test_a_vector_is_built_and_parsed_byte_for_byte(vector: Vector) -> None:
    """The fields of a vector make exactly its bytes, and its bytes mean exactly its fields."""
    means = dict(pair.split("=") for pair in vector.lines["means"].split())
    kind, stream = frames.KIND_NAMES.index(means["kind"]), frames.STREAM_NAMES.index(means["stream"])
    session, sequence, acknowledged, credit = (
        int(means[name], 0) for name in ("session", "sequence", "acknowledged", "credit")
    )
    parsed = frames.parse(vector.buffers, 10_000)
    parts: tuple[bytes, ...] = tuple(bytes(part) for part in parsed.parts)
    expected = Frame(kind, stream, session, sequence, acknowledged, credit, parts)
    assert msgspec.structs.replace(parsed, parts=parts) == expected
    if "body" in vector.lines:
        body = _body_of(kind, vector.lines["body"])
        assert _read(vector.buffers, 10_000) == body
        assert frames.encode_body([body] if isinstance(body, int) else body) == parts[0]
    assert _build(expected) == vector.buffers


@pytest.mark.parametrize("vector", read_vectors("faults.txt"), ids=lambda vector: vector.name)
def test_a_faulty_vector_is_refused_with_its_message(vector: Vector) -> None:
    """Each way to be no frame has its message, with the offset of the byte that is wrong."""
    message = re.escape(vector.lines["fault"]).replace(r"\.\.\.", ".*")
    with pytest.raises(FrameError, match=f"^{message}$") as caught:
        _read(vector.buffers, LIMIT)
    assert f"(at byte {caught.value.offset} of the frame)" in str(caught.value)


@given(any_frame)
def test_what_was_built_is_parsed(frame: Frame) -> None:
    """A frame comes back with all its fields and the boundaries of its body."""
    parsed = frames.parse(_build(frame), 10_000)
    assert msgspec.structs.replace(parsed, parts=tuple(bytes(part) for part in parsed.parts)) == frame


@given(greetings)
def test_a_greeting_comes_back(greeting: Greeting) -> None:
    """What a HELLO says arrives as it was said."""
    parts = frames.build(frames.HELLO, 0, 0, 0, 0, (frames.encode_body(greeting),))
    assert frames.read_greeting(frames.parse(parts, 10_000)) == greeting


def test_a_large_first_part_is_not_copied() -> None:
    """A body part above the limit for joining travels as the very buffer that was given."""
    large = bytes(JOIN_BYTES_MAX + 1)
    header, body = frames.build(frames.DATA, 1, 1, 0, 0, (large,), frames.NORMAL)
    assert len(header) == HEADER_BYTES
    assert body is large
    assert frames.parse((header, body), 100_000).parts[0] is large


def test_keys_of_a_later_version_are_ignored() -> None:
    """A HELLO may say more than this version understands."""
    fields = msgspec.structs.asdict(Greeting("ada", 1, "sim://ada", 7, 1_000, attempt=1))
    body = msgspec.msgpack.encode({**fields, "colour": ["red", {"deep": [1, 2]}]})
    parsed = frames.parse(frames.build(frames.HELLO, 0, 0, 0, 0, (body,)), 10_000)
    assert frames.read_greeting(parsed).node == "ada"


def test_an_endless_nest_is_refused() -> None:
    """A value nested beyond all reason in a key that nobody knows is a fault, not a crash."""
    body = b"\x81\xa4nest" + b"\x91" * 100_000 + b"\xc0"
    parsed = frames.parse(frames.build(frames.HELLO, 0, 0, 0, 0, (body,)), 1_000_000)
    with pytest.raises(
        FrameError, match=r"^the body of a HELLO frame came in wrong: .*recursion.* \(at byte 44 of the frame\)$"
    ):
        frames.read_greeting(parsed)


def test_a_claimed_length_allocates_nothing() -> None:
    """Claims of gigabytes cost no memory."""
    claims = [b"\xdf\xff\xff\xff\xff", b"\x81\xa4node\xdb\xff\xff\xff\xff", b"\x81\xa5other\xc6\xff\xff\xff\xff"]
    tracemalloc.start()
    try:
        for claim in claims:
            with pytest.raises(FrameError, match=r"^the body of a HELLO frame came in wrong: .*truncated"):
                _read([bytes(part) for part in frames.build(frames.HELLO, 0, 0, 0, 0, (claim,))], 1_000)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000


@given(st.lists(st.binary(max_size=100), max_size=4))
def test_garbage_is_a_frame_error(buffers: list[bytes]) -> None:
    """Any bytes at all are a frame or a ``FrameError``."""
    try:
        _read(buffers, LIMIT)
    except FrameError:
        return
    assert sum(map(len, buffers)) >= HEADER_BYTES


@given(st.sampled_from(read_vectors("frames.txt")), st.data())
def test_a_damaged_frame_is_a_frame_error(vector: Vector, data: st.DataObject) -> None:
    """A frame with bytes changed, cut off or added is a frame or a ``FrameError``."""
    buffers = [bytearray(buffer) for buffer in vector.buffers]
    for _ in range(data.draw(st.integers(1, 4))):
        buffer = data.draw(st.sampled_from(buffers))
        at = data.draw(st.integers(0, len(buffer)))
        buffer[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        _read([bytes(buffer) for buffer in buffers], LIMIT)
    except FrameError:
        return
    assert buffers[0][:3] == b"TR\x01"
