"""A table that cannot work is refused with a sentence, and a look-up finds the nearest base."""

import pytest

from trouper import InvalidHandler, Message
from trouper.runtime.actor.fsm.table import END, State, TableRow, TransitionTable, name_of


class Ping(Message):
    """A message."""


class LoudPing(Ping):
    """A kind of it."""


def one() -> None:
    """A method."""


def two() -> None:
    """Another one."""


GO = TableRow("message", "a", one, (Ping,), ("b",))
BACK = TableRow("message", "b", two, (Ping,), ("a",))


@pytest.mark.parametrize(
    ("initial", "rows", "postponed", "sentence"),
    [
        ("x", [GO], {}, r"^M: initial names the state 'x', which does not exist; the states are: a, b$"),
        ("a", [TableRow("message", "x", one, (Ping,))], {}, r"^M: one names the state 'x', which does not exist"),
        (
            "a",
            [TableRow("message", "a", one, (Ping,), ("y",))],
            {},
            r"^M: one names the state 'y', which does not exist",
        ),
        ("a", [GO], {"z": [Ping]}, r"^M: postponed names the state 'z', which does not exist"),
        (
            "a",
            [GO, TableRow("message", "a", two, (Ping,))],
            {},
            r"^M has two rows for Ping in a: one and two; remove one",
        ),
        (
            "a",
            [GO, TableRow("enter", "b", one), TableRow("enter", "b", two)],
            {},
            r"^M has two rows for enter in b: one and two",
        ),
        ("a", [GO], {"a": [Ping]}, r"^M postpones Ping in a and has a row for it there, one; remove one of them$"),
        ("a", [BACK], {}, r"^M never reaches b: no row leads there from a; add one, or remove the state$"),
        ("a", [GO, TableRow("state_timeout", "b", one, after_s=0)], {}, r"^one: after_s=0 must be above 0$"),
        (
            "a",
            [GO, TableRow("event_timeout", "b", one, after_s=float("nan"))],
            {},
            r"^one: after_s=nan must be above 0$",
        ),
    ],
)
def test_what_cannot_work_is_said(
    initial: str, rows: list[TableRow], postponed: dict[State, list[type]], sentence: str
) -> None:
    """Unknown states, two rows for one place, a state that is never reached, a time that cannot be."""
    with pytest.raises(InvalidHandler, match=sentence):
        TransitionTable("M", ["a", "b"], initial, rows, postponed)


def test_a_state_is_reached_by_a_timeout_too() -> None:
    """Each kind of row leads somewhere; an end is no state."""
    for kind in ("state_timeout", "event_timeout"):
        table = TransitionTable("M", ["a", "b"], "a", [TableRow(kind, "a", one, targets=("b", END), after_s=1)], {})
        assert list(table.states) == ["a", "b"]
    assert (name_of(END), name_of("a")) == ("END", "a")


def test_the_nearest_base_decides() -> None:
    """A subclass meets the row of its base, unless it has one of its own or is postponed itself."""
    table = TransitionTable("M", ["a", "b"], "a", [GO, BACK], {"a": [LoudPing]})
    assert table.find("a", Ping) is GO
    assert table.find("a", LoudPing) == "postpone"
    assert table.find("b", LoudPing) is BACK
    assert table.find("b", Message) is None
    assert table.message_types() == {Ping, LoudPing}
