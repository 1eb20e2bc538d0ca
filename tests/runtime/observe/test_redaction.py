"""Law 16: the value of a field that is marked secret is in no report, dead letter, introspection, trace or log."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Annotated

import msgspec
import pytest

from tests.runtime.stage import staged
from trouper import Actor, ActorRef, Message, Node, Secret, handler
from trouper.runtime.kernel.redaction import REDACTED, secret_names
from trouper.runtime.observe.reports import bounded_repr
from trouper.testing import settle
from trouper.transports.keys import KeyPair

if TYPE_CHECKING:
    from decimal import Decimal

PASSWORD = "correct horse battery staple"
"""What must not be seen."""


class Login(Message[None]):
    """Has a secret of each shape."""

    user: str
    password: Secret[str]
    spare: Secret[str] | None = None
    tokens: dict[str, Secret[str]] = msgspec.field(default_factory=dict[str, str])


class Unresolved(Message[None]):
    """Its annotations name a type that only a checker imports."""

    price: Decimal | None = None
    pin: Secret[str] = ""


@dataclasses.dataclass
class Account:
    """A dataclass with a field that its ``repr`` leaves out."""

    user: str
    password: str = dataclasses.field(repr=False)


@dataclasses.dataclass(repr=False)
class Closed:
    """A dataclass whose ``repr`` is its own."""

    password: str

    def __repr__(self) -> str:
        return "Closed()"


class Sealed(msgspec.Struct):
    """A struct whose ``repr`` is its own."""

    password: str

    def __repr__(self) -> str:
        return "Sealed()"


class Vault(Actor):
    """Keeps secrets, fails with messages that have some."""

    master: Secret[str]

    def __init__(self) -> None:
        self.master = PASSWORD
        self.account = Account("ada", PASSWORD)
        self.known = [Login("bob", PASSWORD)]
        self.seen = 0

    @handler
    def login(self, msg: Login) -> None:
        self.seen += 1
        raise ValueError("no")


LOGIN = Login("ada", PASSWORD, PASSWORD, {"a": PASSWORD})
VALUES = [
    (LOGIN, "Login(user='ada', password=<secret>, spare=<secret>, tokens=<secret>)"),
    (Account("ada", PASSWORD), f"Account(user='ada', password={REDACTED})"),
    (Closed(PASSWORD), "Closed()"),
    (Sealed(PASSWORD), "Sealed()"),
    ([{"x": LOGIN}], None),
]


@pytest.mark.parametrize(("value", "shown"), VALUES)
def test_a_secret_is_not_in_the_text_of_a_value(value: object, shown: str | None) -> None:
    """However deep it is; a class with a ``repr`` of its own is shown by that."""
    assert PASSWORD not in bounded_repr(value)
    assert shown in (None, bounded_repr(value))


def test_the_repr_of_a_message_has_no_secret() -> None:
    """In whatever text a program or an error puts it; one without secrets looks as ever."""
    assert repr(LOGIN) == "Login(user='ada', password=<secret>, spare=<secret>, tokens=<secret>)"
    assert PASSWORD not in f"{[LOGIN]!r} {LOGIN}"
    assert PASSWORD not in str(list(LOGIN.__rich_repr__()))
    assert repr(Unresolved()) == "Unresolved(price=None, pin=<secret>)"


def test_the_secret_of_a_key_pair_is_in_no_report() -> None:
    """Not even a part of it, with which the rest could be guessed."""
    pair = KeyPair.make()
    assert pair.secret[:8] not in bounded_repr({"pair": pair})


def test_a_part_of_an_annotation_that_is_secret_hides_the_field() -> None:
    """In a container, in a union, in another ``Annotated``, and in a class above."""

    class Child(Login):
        name: Annotated[Secret[str], "a name"] = ""

    assert secret_names(Child) == {"password", "spare", "tokens", "name"}


@staged
async def test_no_report_of_a_node_has_the_secret(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """A crash, its report, the dead letter, the state, the mailbox, the trace, the recorder and the log."""
    caplog.set_level(logging.DEBUG)
    reports: list[str] = []
    node.reports.on_crash.append(lambda _, __, text: reports.append(text))
    vault = await node.spawn(Vault)
    recorder, introspection = node.recorder, node.introspection
    seen = await traced(node, vault)
    introspection.suspend(vault)
    vault.tell(LOGIN)
    await settle()
    texts = [*reports, *seen, str(introspection.peek(vault)), str(introspection.stats(vault)), caplog.text]
    texts += [str(introspection.get_state(vault)), str(node.dead_letters.recent), str(list(recorder.entries()))]
    assert reports
    assert not [text for text in texts if PASSWORD in text]
    fields = introspection.get_state(vault).fields
    assert fields["master"] == REDACTED
    assert fields["account"] == f"Account(user='ada', password={REDACTED})"


async def traced(node: Node, vault: ActorRef) -> list[str]:
    """Return what a trace says of one message."""
    trace = node.introspection.trace(vault, 1)
    vault.tell(LOGIN)
    return [str([each async for each in trace])]
