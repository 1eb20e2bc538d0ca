"""Bytes and texts from outside: one kind of failure, and nothing that a terminal obeys."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper import WireError
from trouper.runtime.kernel.untrusted import PROBLEM_CHARS_MAX, decode_untrusted, escaped, escaped_lines


class Account(msgspec.Struct):
    """Raises whatever it is told to when its field is checked."""

    owner: str

    def __post_init__(self) -> None:
        if self.owner == "out of memory":
            raise MemoryError
        if self.owner == "unspeakable":
            raise UnspeakableError


class UnspeakableError(Exception):
    """An error whose text raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


decode_account: Callable[[bytes], Account] = msgspec.msgpack.Decoder(Account).decode
decode_anything: Callable[[bytes], object] = msgspec.msgpack.Decoder().decode


def decode_text(data: bytes) -> str:
    """Decode UTF-8."""
    return data.decode()


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        pytest.param(decode_account, msgspec.msgpack.encode({"owner": 5}), id="a value of another type"),
        pytest.param(decode_account, b"\x81\xa5owner\xa2\xff\xff", id="text that is no UTF-8"),
        pytest.param(decode_anything, b"\x91" * 100_000, id="nesting beyond the stack"),
        pytest.param(decode_anything, b"\xdd\xff\xff\xff\xff", id="a length that is claimed"),
        pytest.param(decode_anything, b"\xd6\xff\xff\xff\xff\xff"[:3], id="a cut timestamp"),
        pytest.param(decode_anything, b"\xc7\x0c\xff" + b"\xff" * 12, id="a time beyond all years"),
        pytest.param(decode_account, msgspec.msgpack.encode({"owner": "out of memory"}), id="no memory"),
        pytest.param(decode_account, msgspec.msgpack.encode({"owner": "unspeakable"}), id="an error without a text"),
        pytest.param(int, b"9" * 5_000, id="a number of too many digits"),
        pytest.param(decode_text, b"\xff", id="bytes that are no text"),
    ],
)
def test_every_way_of_failing_is_one_kind_of_error(decode: Callable[[bytes], object], data: bytes) -> None:
    """Whatever a decoder raises, its caller gets a ``WireError`` that names the data and is bounded in size."""
    with pytest.raises(WireError, match="the record came in wrong") as caught:
        decode_untrusted(decode, data, "the record")
    assert len(str(caught.value)) < PROBLEM_CHARS_MAX + 100


def test_what_is_readable_is_returned() -> None:
    """Data without fault is decoded as the decoder does."""
    assert decode_untrusted(decode_account, msgspec.msgpack.encode({"owner": "ada"}), "it") == Account("ada")


def test_a_package_may_have_an_error_of_its_own() -> None:
    """``error`` makes the error that is raised."""
    with pytest.raises(LookupError, match="it came in wrong"):
        decode_untrusted(decode_account, b"", "it", LookupError)


@given(st.text(st.characters()))
def test_an_escaped_text_is_printable_and_one_line(text: str) -> None:
    """No character is left that ends a line, gives an order to a terminal, or turns the direction of the text."""
    assert escaped(text).isprintable()
    assert escaped(text) == text or not text.isprintable()


@given(st.text(st.characters() | st.sampled_from("\n\r\x1b\u2028")))
def test_a_text_of_lines_keeps_its_lines_and_marks_them(text: str) -> None:
    """Each line after the first begins with the bar, also where the text was escaped before."""
    lines = escaped_lines(text).split("\n")
    assert len(lines) == text.count("\n") + 1
    assert all(line.isprintable() for line in lines)
    assert all(line.startswith("  | ") for line in lines[1:])
    assert escaped_lines(escaped_lines(text)) == escaped_lines(text)
