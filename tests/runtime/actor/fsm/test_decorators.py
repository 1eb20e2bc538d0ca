"""The decorators say what is wrong with a row when its class is made."""

from collections.abc import Callable

import pytest

from trouper import InvalidHandler, Message
from trouper.runtime.actor.fsm import StateMachine, on, on_enter, on_state_timeout
from trouper.runtime.actor.fsm.decorators import rows_of


class Ping(Message[int]):
    """A message."""


class Pong(Message[int]):
    """Another one."""


class Base(StateMachine[str]):
    initial = "a"
    states = ("a", "b")

    @on("a", to="b")
    @on("b", to="a")
    def both(self, msg: Ping | Pong) -> int:
        return 1


def nowhere() -> object:
    """No state in the decorator."""

    def ping(msg: Ping) -> int:
        return 1

    return on()(ping)


def stateless() -> object:
    """States without names."""
    return type("Stateless", (StateMachine,), {"initial": "a"})


def silent() -> object:
    """An override that is not marked."""

    class Silent(Base):
        def both(self, msg: Ping | Pong) -> int:
            return 2

    return Silent


def slow_entry() -> object:
    """An entry that would wait."""

    class SlowEntry(Base):
        @on_enter("a")
        async def enter(self) -> None: ...

    return SlowEntry


def with_message() -> object:
    """A time-out that wants a message."""

    class WithMessage(Base):
        @on_state_timeout("a", after_s=1)
        def late(self, msg: Ping) -> None: ...

    return WithMessage


def wrong_reply() -> object:
    """A reply that the message does not promise."""

    class WrongReply(StateMachine[str]):
        initial = "a"
        states = ("a",)

        @on("a")
        def ping(self, msg: Ping) -> str:
            return "no"

    return WrongReply


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (nowhere, r"name at least one state in its decorator$"),
        (stateless, r"^Stateless.initial is 'a', a str: list all states in states = \(\.\.\.\)$"),
        (silent, r"Silent\.both overrides a row of the table: decorate it too$"),
        (slow_entry, r"\.enter must be a plain `def`: a change of state cannot wait$"),
        (with_message, r"\.late must take nothing after self: it gets no message$"),
        (wrong_reply, r"\.ping returns str, but the reply to Ping is int: change one of the two$"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(make: Callable[[], object], sentence: str) -> None:
    """Each mistake has a sentence of its own."""
    with pytest.raises(InvalidHandler, match=sentence):
        make()


def test_one_method_may_stand_in_several_rows() -> None:
    """Decorators add up, and each state of one has its row, with all of the message types."""
    rows = [(row.state, row.targets, row.messages) for row in rows_of(Base)]
    assert rows == [("b", ("a",), (Ping, Pong)), ("a", ("b",), (Ping, Pong))]
