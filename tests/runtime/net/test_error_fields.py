"""An error has its arguments and attributes at the asker, where they can travel."""

import gc
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest

from tests.runtime.net.stage import paired, spawn_remote
from trouper import Actor, ActorFailed, Message, Node, Reject, handler
from trouper.runtime.net.control import RemoteFailure
from trouper.runtime.net.error_fields import read_fields, write_fields
from trouper.runtime.net.errors import failure_of, raised_from
from trouper.runtime.observe.reports import Reports


class Order(msgspec.Struct):
    """A typed part of an error."""

    number: int
    total: Decimal


class TooLittle(Reject):
    """A business "no" with what is missing; its constructor takes something else than its text."""

    order: Order
    limit: ClassVar[int] = 5
    paid: Decimal | None = None

    def __init__(self, missing: int, order: Order) -> None:
        super().__init__(f"{missing} cents are missing")
        self.missing, self.order, self.paid = missing, order, Decimal("1.10")
        self._secret, self.tags, self.object, self.args_of = 5, {"a": [1, None]}, object(), (1, 2)


class Coded(Exception):
    """An error whose arguments are its content."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code


def over(error: Exception) -> Exception:
    """The error as another node raises it."""
    return raised_from(failure_of(error, Reports()), "b")


def test_the_attributes_of_an_error_travel() -> None:
    """Those that are annotated as their annotation says, and plain ones as they are; others are left out."""
    got = over(TooLittle(5, Order(7, Decimal("2.50"))))
    assert isinstance(got, TooLittle)
    assert str(got) == "5 cents are missing"
    assert {name: value for name, value in vars(got).items() if name != "__notes__"} == {
        "missing": 5,
        "order": Order(7, Decimal("2.50")),
        "paid": Decimal("1.10"),
        "tags": {"a": [1, None]},
    }


@pytest.mark.parametrize(
    "error",
    [
        Coded(7, "x"),
        ValueError(),
        ValueError(1, [2.5]),
        KeyError("k"),
        KeyError(5),
        FileNotFoundError(2, "No such", "/x"),
    ],
)
def test_plain_arguments_travel(error: Exception) -> None:
    """The error is made of them again, without its constructor."""
    got = over(error)
    assert (type(got), got.args, str(got)) == (type(error), error.args, str(error))
    for name in ("code", "errno", "filename"):
        assert getattr(got, name, None) == getattr(error, name, None)


@pytest.mark.parametrize("error", [ValueError((1, 2)), ValueError({1}), ValueError("x" * 20_000), ValueError(2**80, 1)])
def test_what_cannot_travel_leaves_the_text(error: Exception) -> None:
    """The class is kept."""
    got = over(error)
    assert type(got) is ValueError
    assert len(got.args) == 1
    assert str(got)[:5] == str(error)[:5]


def test_an_attribute_of_another_type_than_its_annotation_is_left_out() -> None:
    """At the sender, where it is one, and at the receiver, from a peer that lies."""
    error = TooLittle(5, Order(7, Decimal(1)))
    error.paid = "much"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]  wrong on purpose
    got = over(error)
    assert isinstance(got, TooLittle)
    assert got.paid is None


def lying(attributes: dict[str, object], args: list[object] | None = None) -> bytes:
    """What a peer may send."""
    encoded = {name: msgspec.msgpack.encode(value) for name, value in attributes.items()}
    return msgspec.msgpack.encode((args or [], encoded))


@pytest.mark.parametrize(
    "name", ["_secret", "__class__", "__cause__", "args", "add_note", "with_traceback", "a b", "", "limit"]
)
def test_a_peer_cannot_set_what_hides_an_attribute_of_the_class(name: str) -> None:
    """Such names are passed over."""
    assert read_fields(TooLittle, lying({name: 1, "good": 2})) == ((), {"good": 2})


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"\xc1",
        b"\x90",
        b"x" * 20_000,
        msgspec.msgpack.encode(([], {"a": 5})),
        msgspec.msgpack.encode(([], {"a": b"\xc1"})),
        lying({f"a{number}": 1 for number in range(65)}),
        lying({}, [msgspec.msgpack.Ext(1, b"1234")]),
        lying({}, [msgspec.msgpack.Ext(3, b"")]),
        b"\x92\x91" + b"\x91" * 10_000,
    ],
)
def test_fields_that_are_none_leave_the_text(fields: bytes) -> None:
    """Whatever bytes a peer sends."""
    assert read_fields(TooLittle, fields) is None
    got = raised_from(RemoteFailure(f"{__name__}:TooLittle", "why", fields=fields), "b")
    assert (type(got), got.args) == (TooLittle, ("why",))


def test_a_class_whose_annotations_cannot_be_read_has_plain_attributes() -> None:
    """Such as one that names what is only imported for type checkers."""

    class Odd(Exception):
        where: "NoSuchName"  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]  wrong on purpose

    error = Odd("x")
    error.place = 5  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  as programs do
    assert read_fields(Odd, write_fields(error)) == (("x",), {"place": 5})
    gc.collect()


class Unreadable(Exception):
    """Its attributes cannot be looked at."""

    @property
    def __dict__(self) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  Any: it raises
        raise RuntimeError


def test_an_error_that_cannot_be_looked_at_has_no_fields() -> None:
    """Its text goes alone."""
    assert write_fields(Unreadable("x")) == b""


class Shape(Message):
    """A base class of messages."""


class Photo(Shape):
    pixels: bytes


class Draw(Message[Shape]):
    shape: Shape


class Group(Message[None]):
    """Raise a group of errors."""


class Canvas(Actor):
    """Gives back what it is to draw, or refuses it."""

    @handler
    def draw(self, msg: Draw) -> Shape:
        if not isinstance(msg.shape, Photo):
            raise TooLittle(5, Order(1, Decimal(2)))
        return msg.shape

    @handler
    def group(self, msg: Group) -> None:
        raise ExceptionGroup("many", [ValueError("a")])


@paired
async def test_derived_messages_and_typed_errors_between_nodes(a: Node, b: Node) -> None:
    """In a field, in a reply, with buffers out of band, and in a refusal."""
    canvas = await spawn_remote(a, "b", Canvas)
    for size in (1, 3_000_000):
        assert await canvas.ask(Draw(Photo(bytes(size)))) == Photo(bytes(size))
    with pytest.raises(TooLittle) as caught:
        await canvas.ask(Draw(Shape()))
    assert (caught.value.missing, caught.value.order.total) == (5, Decimal(2))
    with pytest.raises(ActorFailed, match="ExceptionGroup on node b: many"):
        await canvas.ask(Group())
