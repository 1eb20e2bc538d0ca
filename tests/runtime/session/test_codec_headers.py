"""Headers in the body of a frame: a sparse part of its own, bounded, and nothing where no item has any."""

import re

import msgspec
import pytest

from tests.runtime.session.vectors import Vector, read_vectors
from trouper import ActorRef, Message, WireError
from trouper.runtime.kernel.ask import ToldWithHeaders
from trouper.runtime.session.buffers import extract
from trouper.runtime.session.codec import Body, OutOfBandPayload, RefDefinition, SessionCodec

VECTORS = read_vectors("headers.txt")


class Note(Message, tag="vector.Note"):
    """The message of the vectors."""

    n: int


class Carry(Message, tag="vector.Carry"):
    """A message with a large buffer."""

    data: bytes


class Odd(Message, tag="vector.Odd"):
    """A message that may hold what cannot travel."""

    value: object


def _no_ref(definition: RefDefinition) -> ActorRef:
    raise AssertionError(definition)


def _describe(ref: ActorRef) -> tuple[str, int, str, int]:
    raise AssertionError(ref)


def codec() -> SessionCodec:
    """One end of a session whose own message is ``Note``, with the number 2."""
    return SessionCodec(_describe, _no_ref, [Note, Carry])


def told(n: int, headers: dict[str, bytes] | None) -> object:
    """The payload of a message with or without headers."""
    return Note(n) if headers is None else ToldWithHeaders(Note(n), headers)


def headers_of(body: Body) -> list[dict[str, bytes] | None]:
    """The headers of each item."""
    by_index = dict(body.headers)
    return [by_index.get(at) for at in range(len(body.items))]


@pytest.mark.parametrize("vector", [each for each in VECTORS if "means" in each.lines], ids=lambda vector: vector.name)
def test_a_vector_of_headers_is_read_and_written_byte_for_byte(vector: Vector) -> None:
    """Another language may be held against the same file."""
    expected = [
        None if given is None else {name: bytes.fromhex(value) for name, value in given.items()}
        for given in msgspec.json.decode(vector.lines["means"], type=list[dict[str, str] | None])
    ]
    (body,) = vector.buffers
    opened = codec().open(body)
    assert headers_of(opened) == expected
    end = codec()
    assert [end.read(number, payload) for _, _, number, payload in opened.items] == [
        Note(n) for n in range(len(expected))
    ]
    written = codec().encode([(5, 0, 2, told(n, given)) for n, given in enumerate(expected)], (), 10_000)
    assert written.hex(" ") == body.hex(" ")


@pytest.mark.parametrize("vector", [each for each in VECTORS if "fault" in each.lines], ids=lambda vector: vector.name)
def test_a_faulty_vector_of_headers_is_refused_as_a_whole(vector: Vector) -> None:
    """The error says what is wrong, and nothing of the body is applied."""
    with pytest.raises(WireError, match=re.escape(vector.lines["fault"])):
        codec().open(vector.buffers[0])


def test_headers_and_large_buffers_go_together() -> None:
    """An item may have both; each has its own part of the body."""
    sent = ToldWithHeaders(Carry(b"x" * 100), {"trace": b"t"})
    rest, buffers = extract(sent.message, 10)
    buffers[0].number = 9
    body = codec().encode([(5, 0, 2, Note(1)), (5, 0, 3, OutOfBandPayload(sent, rest, buffers))], (), 10_000)
    end = codec()
    opened = end.open(body)
    assert (opened.out_of_band, opened.headers) == ([(1, [9])], [(1, {"trace": b"t"})])
    _, _, number, payload = opened.items[1]
    assert end.read(number, payload, {9: memoryview(b"x" * 100)}) == Carry(b"x" * 100)


def test_a_body_without_headers_has_no_part_for_them() -> None:
    """The usual body is as long as it was before there were headers: four parts."""
    body = codec().encode([(5, 0, 2, Note(1))], (), 10_000)
    assert len(msgspec.msgpack.decode(body, type=list[object])) == 4


def test_a_message_with_headers_that_cannot_travel_is_named() -> None:
    """The error is that of the message itself."""
    end = codec()
    end.number_of(Odd)
    with pytest.raises(WireError, match=r"^Odd cannot travel: .*, in Odd\.value$"):
        end.check(ToldWithHeaders(Odd(object()), {"trace": b"t"}))


def test_headers_of_too_many_bytes_are_refused_with_their_body() -> None:
    """Each value is below the limit, and all together are above it."""
    headers = {"one": b"x" * 2_048, "two": b"x" * 2_048}
    body = codec().encode([(5, 0, 2, told(1, headers))], (), 10_000)
    with pytest.raises(WireError, match="the headers of a message take 4102 bytes, at most 4096 are allowed"):
        codec().open(body)
