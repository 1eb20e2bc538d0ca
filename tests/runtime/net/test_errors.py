import sys

import pytest

from tests.runtime.net.stage import Add, Clerk, Custom, Ruin, Sum, paired, spawn_remote
from trouper import ActorFailed, Message, Node, Reject, Unhandled
from trouper.runtime.net.control import RemoteFailure
from trouper.runtime.net.errors import failure_of, raised_from, sendable_text
from trouper.runtime.observe.reports import Reports


class Nobody(Message[int]):
    """No actor knows it."""


@pytest.mark.parametrize(
    ("kind", "type_", "text"),
    [
        ("value", ValueError, "no such value"),
        ("key", KeyError, "'ada'"),
        ("reject", Reject, "not today"),
        ("custom", Custom, "7: seven"),
        ("group", ActorFailed, "ExceptionGroup on node b: two (2 sub-exceptions)"),
        ("local", ActorFailed, "Local on node b: unheard of"),
    ],
)
@paired
async def test_an_error_is_raised_typed_with_its_traceback(
    a: Node, b: Node, kind: str, type_: type[Exception], text: str
) -> None:
    """A class that is loaded here is used, any other is an ActorFailed; the traceback of the other node is a note."""
    ada = await spawn_remote(a, "b", Clerk)
    with pytest.raises(type_) as caught:
        await ada.ask(Ruin(kind))
    assert type(caught.value) is type_
    assert str(caught.value) == text
    (note,) = caught.value.__notes__
    assert note.startswith("Traceback on node b:\n")
    assert "raise _error(msg.kind)" in note


@paired
async def test_what_no_handler_takes_is_unhandled_there(a: Node, b: Node) -> None:
    """An error of the runtime's own comes as its own class too."""
    ada = await spawn_remote(a, "b", Clerk, name="ada")
    with pytest.raises(Unhandled) as caught:
        await ada.ask(Nobody())
    assert "has no handler for Nobody" in str(caught.value)
    assert await ada.ask(Add(1)) + await ada.ask(Sum()) == 2


def test_an_error_that_came_in_imports_and_runs_nothing() -> None:
    """A module that is not loaded stays so, and what is no exception class is not made one."""
    for kind in (
        "antigravity:Fly",
        "builtins:int",
        "builtins:SystemExit",
        "os:system",
        "nonsense",
        ":",
        "sys:modules.x",
    ):
        error = raised_from(RemoteFailure(kind, "why", "where"), "b")
        assert type(error) is ActorFailed
        assert str(error) == f"{kind.partition(':')[2]} on node b: why"
    assert "antigravity" not in sys.modules


def test_an_error_whose_text_cannot_travel_is_shown_escaped() -> None:
    """Half a surrogate pair is no UTF-8."""
    failure = failure_of(ValueError("half \ud800 a pair"), Reports())
    assert failure.text == r"half \ud800 a pair" == sendable_text("half \ud800 a pair")
    assert type(raised_from(failure, "b")) is ValueError
