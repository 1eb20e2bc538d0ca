import logging
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import Double, Fail, Note, Player, cell_of, letters_of, staged
from trouper import Message, Node
from trouper.runtime.observe.reports import (
    BRIEF_CHARS_MAX,
    MESSAGE_CHARS_MAX,
    REPORT_CHARS_MAX,
    bounded,
    bounded_repr,
    brief,
    trace,
)
from trouper.testing import settle


class Cargo(Message):
    load: object


class Row(msgspec.Struct):
    cells: object


@dataclass
class Page:
    rows: object


class Mute:
    """Counts how often it is asked for its text, which it does not give."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


MARGIN = 100
"""What a mark such as "[... 1000000 characters in all]" may add."""


@pytest.mark.parametrize(
    "load",
    [
        "x" * 10_000_000,
        b"x" * 10_000_000,
        bytearray(10_000_000),
        memoryview(bytes(10_000_000)),
        list(range(1_000_000)),
        dict.fromkeys(range(1000), "x" * 1000),
        [[["x" * 1_000] * 100] * 100] * 100,
        Row("x" * 10_000_000),
        [Row(b"x" * 10_000_000)] * 10,
        Page(["x" * 10_000_000] * 10),
        10**4_000,
        Mute(),
        [Mute()],
    ],
    ids=lambda load: type(load).__name__,
)
def test_a_message_is_shown_in_a_bounded_text(load: object) -> None:
    """Whatever it holds, however deep, and whether or not that can be shown."""
    shown = bounded_repr(Cargo(load))
    assert shown.startswith(("Cargo(load=", "<Cargo"))
    assert len(shown) <= MESSAGE_CHARS_MAX + MARGIN


@given(st.text(), st.integers(0, 100))
def test_a_text_is_cut_and_says_so(text: str, chars_max: int) -> None:
    """A text that fits is itself; another one is its beginning, with the number of its characters."""
    cut = bounded(text, chars_max)
    if len(text) <= chars_max:
        assert cut == text
    else:
        assert cut == f"{text[:chars_max]}[... {len(text)} characters in all]"


def test_small_messages_are_shown_as_they_are() -> None:
    """The text is the one that Python would give."""
    for message in (Note(1), Double(-3), Fail("boom")):
        assert bounded_repr(message) == repr(message)


def test_a_failure_in_one_line() -> None:
    """The type and the text, bounded."""
    assert brief(ValueError("no luck")) == "ValueError: no luck"
    assert len(brief(ValueError("x" * 10_000_000))) <= BRIEF_CHARS_MAX + MARGIN


def _deep(depth: int) -> None:
    if depth:
        _deep(depth - 1)
    raise ValueError("at the bottom" + "!" * 1_000_000)


def test_a_traceback_is_bounded_and_keeps_its_end() -> None:
    """The innermost frames and the error are what a reader needs."""
    with pytest.raises(ValueError, match="at the bottom") as caught:
        _deep(500)
    text = trace(caught.value)
    assert len(text) <= REPORT_CHARS_MAX + MARGIN
    with pytest.raises(ZeroDivisionError) as simple:
        _ = 1 // 0
    assert trace(simple.value).endswith("ZeroDivisionError: integer division or modulo by zero")
    assert "_ = 1 // 0" in trace(simple.value)


@staged
async def test_a_crash_is_logged_with_address_message_and_traceback(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """One record at WARNING, by the logger `trouper`; handlers of logging do the rest."""
    ref = await node.spawn(Player, name="ada")
    ref.tell(Fail("why"))
    await settle()
    records = [record for record in caplog.records if record.getMessage().startswith(f"{ref.address} failed")]
    assert [(record.name, record.levelno) for record in records] == [("trouper", logging.WARNING)]
    lines = records[0].getMessage().splitlines()
    assert lines[0] == f"{ref.address} failed handling Fail(why='why')"
    assert lines[1] == "  | Traceback (most recent call last):"
    assert lines[-1] == "  | ValueError: why"


@staged
async def test_subscribers_hear_of_crashes_and_letters(node: Node) -> None:
    """Each one in turn; what a subscriber raises reaches neither the others nor the actors."""
    heard: list[str] = []

    def broken(*_: object) -> None:
        heard.append("broken")
        raise RuntimeError("a subscriber is broken")

    node.reports.on_crash.insert(0, broken)
    node.reports.on_letter.insert(0, broken)
    node.reports.on_crash.append(lambda cell, error, text: heard.append(f"{cell.name}: {error}"))
    letters = letters_of(node)
    ref = await node.spawn(Player, name="ada")
    ref.tell(Fail("why"))
    await settle()
    assert sorted(heard) == ["ada: why", "broken", "broken"]
    assert [letter.reason for letter in letters] == ["failed"]
    assert (cell_of(ref).phase, cell_of(ref).restarts) == ("live", 1)
