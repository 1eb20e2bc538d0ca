"""Codecs are registered by type and tag, and nothing that comes in goes around them."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from trouper import InvalidOption, Message, WireError
from trouper.lowlevel import register_codec
from trouper.runtime.session.buffers import extract, may_carry
from trouper.runtime.session.codec import SessionCodec
from trouper.runtime.session.codecs import CODEC_CODE
from trouper.runtime.session.copier import WireCopier


class Matrix:
    """A type of a user: a named array."""

    def __init__(self, name: str, values: "npt.NDArray[np.float64]", origin: Path | None = None) -> None:
        self.name, self.values, self.origin = name, values, origin


class Diagonal(Matrix):
    """A derived type, which has no codec."""


def take_apart(matrix: Matrix) -> list[object]:
    """Its parts, one of them of another codec."""
    return [matrix.name, matrix.values, matrix.origin]


def put_together(parts: Any) -> Matrix:  # Any: what came in
    """A matrix of its parts."""
    name, values, origin = parts
    return Matrix(name, values, origin)


register_codec(Matrix, "tests.Matrix", take_apart, put_together, buffers=True)


class Multiply(Message[Matrix]):
    matrix: Matrix


class Path2(Message[None]):
    path: Path


class Number:
    """A type whose codec fails in each way."""


def no_refs(ref: Any) -> Any:  # Any: never called
    """Neither makes nor describes one."""
    raise AssertionError


def session_codec() -> SessionCodec:
    """A codec without refs."""
    return SessionCodec(no_refs, no_refs)


def read(tag: object, payload: object, annotation: object = object) -> object:
    """What a receiver makes of an extension."""
    content = msgspec.msgpack.encode((tag, payload))
    written = msgspec.msgpack.encode(msgspec.msgpack.Ext(CODEC_CODE, content))
    return session_codec().read_as(annotation, msgspec.Raw(written), "it")


def test_a_value_of_a_registered_type_arrives_with_all_its_parts() -> None:
    """Arrays and values of other codecs within it included."""
    copy = WireCopier().message(Multiply(Matrix("a", np.arange(3.0), Path("/a"))))
    assert isinstance(copy, Multiply)
    got = copy.matrix
    assert (type(got), got.name, got.values.tolist(), got.origin) == (Matrix, "a", [0.0, 1.0, 2.0], Path("/a"))


def test_large_buffers_of_a_registered_type_go_out_of_band() -> None:
    """Where its codec says that it may have some; small ones stay in the payload."""
    assert may_carry(Multiply)
    assert not may_carry(Path2)
    message = Multiply(Matrix("a", np.arange(1000.0)))
    payload, buffers = extract(message, 4_000)
    assert [len(buffer.view) for buffer in buffers] == [8_000]
    buffers[0].number = 7
    codec = session_codec()
    written = codec.write(payload, "it")
    assert len(written) < 200
    number = codec.number_of(Multiply)
    codec.open(codec.encode([], (), 10_000))
    got = codec.read(number, msgspec.Raw(written), {7: buffers[0].view})
    assert isinstance(got, Multiply)
    assert got.matrix.values.tolist() == list(range(1000))
    assert extract(message, 10_000) == (message, [])


def test_a_codec_is_for_exactly_its_type() -> None:
    """A value of a derived class would arrive as another one, so it is refused."""
    with pytest.raises(WireError, match="Diagonal is no type that the wire knows"):
        WireCopier().message(Multiply(Diagonal("a", np.arange(3.0))))


@pytest.mark.parametrize("tag", ["", "x" * 201, "two\nlines"])
def test_a_tag_is_short_text(tag: str) -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidOption, match="is no tag"):
        register_codec(Number, tag, str, lambda _: Number())


@pytest.mark.parametrize("tag", ["path", "dlpack", "tests.Matrix"])
def test_a_tag_has_one_owner(tag: str) -> None:
    """The error names it; the same type may be registered again."""
    with pytest.raises(InvalidOption, match=f"the tag '{tag}' belongs to the codec of "):
        register_codec(Number, tag, str, lambda _: Number())
    register_codec(Matrix, "tests.Matrix", take_apart, put_together, buffers=True)


def half(_: object) -> Fraction:
    """A function of a codec that returns what has none."""
    return Fraction(1, 2)


def fail(_: object) -> Any:  # Any: it never returns
    """A function of a codec that fails."""
    raise RecursionError("too deep")


@pytest.mark.parametrize(("encode", "problem"), [(fail, "too deep"), (half, "Fraction is no type")])
def test_a_codec_that_fails_at_the_sender_is_an_error_of_the_message(
    encode: Callable[[object], object], problem: str
) -> None:
    """It names the type."""
    register_codec(Number, "tests.Number", encode, lambda _: Number())
    with pytest.raises(WireError, match=f"a number cannot travel: .*{problem}"):
        session_codec().write(Number(), "a number")


@pytest.mark.parametrize(
    ("tag", "payload", "problem"),
    [
        ("tests.unknown", 1, "no codec has the tag 'tests.unknown': import the module that registers it"),
        (5, 1, "no codec has the tag 5"),
        ("tests.Fails", 1, "too deep"),
        ("tests.Wrong", 1, "the codec tests.Wrong made a int, not a Other"),
        ("path", 5, "came in wrong"),
        ("tests.Matrix", ["a"], "not enough values to unpack"),
        ("dlpack", 5, "an array of DLPack has a package and an array"),
        ("dlpack", ["os", 5], "and no such package with from_dlpack is loaded here"),
        ("dlpack", ["no_such_package", 5], "and no such package with from_dlpack is loaded here"),
        ("dlpack", [None, 5], "and no such package with from_dlpack is loaded here"),
        ("dlpack", ["numpy", 5], "an array of DLPack has a package and an array"),
    ],
)
def test_what_comes_in_wrong_is_one_error(tag: object, payload: object, problem: str) -> None:
    """Whatever the codec of the receiver raises or returns."""

    class Other:
        """Its codecs fail."""

    class Another:
        """Its codec fails too."""

    Other.__qualname__, Another.__qualname__ = "Other", "Another"
    register_codec(Other, "tests.Wrong", str, lambda _: 5)  # type: ignore[arg-type, return-value]  # wrong on purpose
    register_codec(Another, "tests.Fails", str, fail)
    with pytest.raises(WireError) as caught:
        read(tag, payload)
    assert problem in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x05", b"\x91\x05", b"\x93\x01\x02\x03"])
def test_an_extension_without_a_tag_and_a_payload_is_refused(content: bytes) -> None:
    """It is an error of that message."""
    written = msgspec.msgpack.encode(msgspec.msgpack.Ext(CODEC_CODE, content))
    with pytest.raises(WireError):
        session_codec().read_as(object, msgspec.Raw(written), "it")


def test_nesting_without_end_is_refused() -> None:
    """Extensions within extensions, a megabyte of them."""
    content = b"\x01"
    for _ in range(20_000):
        content = msgspec.msgpack.encode(("path", msgspec.msgpack.Ext(CODEC_CODE, content)))
        if len(content) > 200_000:
            break
    written = msgspec.msgpack.encode(msgspec.msgpack.Ext(CODEC_CODE, content))
    with pytest.raises(WireError):
        session_codec().read_as(object, msgspec.Raw(written), "it")


def test_an_annotation_that_msgspec_does_not_take_is_an_error_of_the_message() -> None:
    """And not one that ends the session."""
    with pytest.raises(WireError, match="came in wrong"):
        session_codec().read_as(Matrix | Fraction | dict[str, int], msgspec.Raw(b"\x80"), "it")
