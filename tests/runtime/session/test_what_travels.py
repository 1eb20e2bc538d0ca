"""What travels to another node and what does not: each row of the guide, in both directions of the table."""

import enum
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import new_class
from typing import Annotated, Any, Literal, NamedTuple, TypedDict, cast
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from tests.layout.sources import ROOT
from trouper import Actor, Message, Node, WireError, handler
from trouper.runtime.session.copier import WireCopier
from trouper.testing import virtual_time


class Colour(enum.Enum):
    RED = "r"


class Bits(enum.IntFlag):
    A = 1
    B = 2


class Pair(NamedTuple):
    x: int
    y: str


class Keys(TypedDict):
    a: int


@dataclass
class Item:
    a: int
    b: list[int] = field(default_factory=list[int])


class Record(msgspec.Struct):
    a: int
    item: Item | None = None


class Tagged(msgspec.Struct, tag=True):
    a: int


class SubTagged(Tagged, tag=True):
    extra: int = 0


class SubRecord(Record):
    extra: int = 0


@dataclass
class SubItem(Item):
    c: int = 0


@dataclass
class RecordHolder:
    records: list[Record]


class Shape(Message):
    """A base class of messages."""


class Square(Shape):
    side: float


class Frame(Shape):
    inner: Shape
    others: dict[str, list[Shape | None]] | None = None


class Inside(Shape):
    record: Record


class Holder(msgspec.Struct):
    shape: Shape


class Local(Shape, local=True):
    """It does not leave its node."""


class Array:
    """An array of a package that implements DLPack."""

    def __init__(self, values: "npt.NDArray[np.float64]") -> None:
        self.values = values

    def __dlpack__(self, **options: object) -> object:
        return self.values.__dlpack__(**cast("Any", options))

    def __dlpack_device__(self) -> tuple[int, int]:
        return cast("tuple[int, int]", self.values.__dlpack_device__())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and bool(np.array_equal(self.values, other.values))

    def __hash__(self) -> int:
        return 0


class OtherArray(Array):
    """An array of the memory of a device, which numpy cannot read."""

    def __dlpack__(self, **options: object) -> object:
        raise BufferError("it is on a GPU")


UUID_5 = UUID(int=5)
NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)

ARRIVES: dict[str, list[tuple[object, object]]] = {
    "`None`, `bool`, `str`": [(None, None), (bool, True), (str, "é\0b"), (str | None, None)],
    "`int` from -2\\*\\*63 to 2\\*\\*64 - 1": [(int, -(2**63)), (int, 2**64 - 1)],
    "`float`": [(float, 1.5), (float, -math.inf), (int | float, 1)],
    "`bytes`, `bytearray`, `memoryview`": [
        (bytes, b"\xff"), (bytearray, bytearray(b"x")), (memoryview, memoryview(b"xy")),
    ],
    "`datetime` with a zone, and without": [(datetime, NOON), (datetime, datetime(2020, 1, 1))],  # noqa: DTZ001  a time without a zone is meant
    "`date`, `time`, `timedelta`": [(date, date(2020, 1, 1)), (time, time(1, 2)), (timedelta, timedelta(-1, 0, 1))],
    "`Decimal`, `UUID`": [(Decimal, Decimal("1.10")), (UUID, UUID_5)],
    "`Enum`, `Flag`, `Literal`": [(Colour, Colour.RED), (Bits, Bits.A | Bits.B), (Literal["a"], "a")],
    "`list`, `tuple`, `set`, `frozenset`": [
        (list[int], [1]), (tuple[int, str], (1, "a")), (set[int], {1}), (frozenset[str], frozenset("a")),
    ],
    "`dict`, of any hashable keys that travel": [
        (dict[tuple[int, int], str], {(1, 2): "a"}), (dict[int, str], {1: "a"}),
    ],
    "`NamedTuple`, `TypedDict`": [(Pair, Pair(1, "a")), (Keys, {"a": 1})],
    "dataclasses, `msgspec.Struct`": [(Item, Item(1, [2])), (Record, Record(1, Item(2)))],
    "a struct that is derived from another one that the field names too, both with a tag": [
        (Tagged | SubTagged, SubTagged(1, extra=7)), (list[Tagged | SubTagged], [Tagged(1), SubTagged(1)]),
    ],
    "messages": [(Square, Square(1.0)), (list[Square], [Square(1.0)])],
    "a class derived from the message class of a field": [
        (Shape, Square(1.0)), (Message, Square(1.0)), (Message[None], Square(2.0)), (Holder, Holder(Square(3.0))),
        (list[Shape], [Square(1.0), Frame(Frame(Square(2.0)), {"a": [Square(3.0), None]})]),
        (tuple[Shape, int], (Square(1.0), 2)), (tuple[Shape, ...], (Square(1.0),)), (Shape | int, 5),
        (Shape | int, Square(1.0)), (frozenset[Shape], frozenset([Square(1.0)])),
        (Annotated[Shape, msgspec.Meta(title="a shape")], Square(1.0)),
    ],
    "arrays of numpy": [(npt.NDArray[np.float64], np.arange(3.0)), (np.ndarray, np.arange(6).reshape(2, 3).T)],
    "scalars of numpy": [
        (np.float64, np.float64(1.5)), (np.int8, np.int8(-3)), (np.bool_, np.bool_(True)),
        (np.float32, np.float32(0.1)), (np.float64, np.float64("nan")), (np.complex128, np.complex128(1j)),
        (np.datetime64, np.datetime64("2020-01-01")),
    ],
    "arrays of other packages that implement DLPack": [(Array, Array(np.arange(3.0)))],
    "`pathlib.Path`, `PurePosixPath`, `PureWindowsPath`": [
        (Path, Path("/tmp/a")), (Path | None, Path("a")), (PurePosixPath, PurePosixPath("a")),
        (PureWindowsPath, PureWindowsPath("c:/a")), (object, Path("a")),
    ],
}  # fmt: skip

CHANGES: dict[str, list[tuple[object, object, object]]] = {
    "an `int` in a field of `float`": [(float, 1, 1.0)],
    "a scalar of numpy in a field of `int` or `float`": [(int, np.int64(3), 3), (float, np.float64(1.5), 1.5)],
    "a value in a field of `object` or `Any`": [
        (object, (1, 2), [1, 2]), (object, {1}, [1]), (object, Item(1), {"a": 1, "b": []}), (object, Colour.RED, "r"),
        (object, UUID_5, str(UUID_5)), (object, np.float64(1.5), 1.5), (Any, Square(1.0), {"$type": "*", "side": 1.0}),
    ],
}  # fmt: skip

REFUSED: dict[str, list[tuple[object, object]]] = {
    "an `int` beyond that": [(int, 2**64), (int, -(2**63) - 1)],
    "a struct or dataclass that is derived from that of the field, and is no message": [
        (Record, SubRecord(1, extra=7)), (list[Record | None], [None, SubRecord(1)]), (Item, SubItem(1)),
        (dict[str, tuple[Record, ...]], {"a": (Record(1), SubRecord(1))}), (Record, Record(1, SubItem(2))),
        (Shape, Inside(SubRecord(1))), (RecordHolder, RecordHolder([SubRecord(1)])),
    ],
    "text with lone surrogates": [(str, "\udcff")],
    "`complex`, `Fraction`, `range`": [(complex, 1j), (Fraction, Fraction(1, 3)), (object, range(3))],
    "functions, classes, exceptions as values": [(object, len), (object, int), (object, ValueError("x"))],
    "a value of another type than the field's": [
        (int, "a"), (Path, "a"), (np.int8, np.int16(300)),
        (Square, Frame(Square(1))), (Frame, Square(1)), (list[Shape], [Square(1), 5]), (Frame, Frame(cast("Any", 5))),
        (tuple[Shape, int], (Square(1),)), (Holder, Holder(cast("Any", None))),
    ],
    "more than 5,000 messages in fields of a base class": [(list[Shape], [Square(1.0)] * 5_001)],
    "a `local=True` message in a field": [(Shape, Local())],
    "arrays of objects or records": [
        (np.ndarray, np.array([object()], dtype=object)), (np.ndarray, np.zeros(1, dtype=[("a", "i4")])),
    ],
    "an array in the memory of a device": [(OtherArray, OtherArray(np.arange(3.0)))],
    "a type without a codec": [(Fraction, Fraction(1, 2))],
}  # fmt: skip

copier = WireCopier()


def message_of(annotation: object) -> type[Message[Any]]:
    """A message class with one field of a type."""
    number = len(made)
    namespace = {"__annotations__": {"v": annotation}, "__module__": __name__, "__qualname__": f"Field{number}"}
    class_ = new_class(f"Field{number}", (Message,), {}, lambda body: body.update(namespace))
    made.append(cast("type[Message[Any]]", class_))
    return made[-1]


made: list[type[Message[Any]]] = []


def sent(annotation: object, value: object) -> object:
    """The value as the other node has it, from a field of this type."""
    return cast("Any", copier.message(cast("Any", message_of(annotation))(value))).v


def is_same(one: Any, other: Any) -> bool:  # Any: values of whatever type
    """Whether two values are equal, and of one type."""
    if type(one) is np.ndarray:
        return type(other) is np.ndarray and bool(one.dtype == other.dtype) and bool(np.array_equal(one, other))
    if type(one) in (float, np.float64) and math.isnan(one):
        return type(other) is type(one) and math.isnan(other)
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize("row", ARRIVES)
def test_what_arrives_as_it_was_sent(row: str) -> None:
    """Equal, and of the same type."""
    for annotation, value in ARRIVES[row]:
        got = sent(annotation, value)
        assert is_same(got, value), f"{annotation}: {value!r} arrived as {got!r}"


@pytest.mark.parametrize("row", CHANGES)
def test_what_arrives_as_another_type(row: str) -> None:
    """As the table says."""
    for annotation, value, expected in CHANGES[row]:
        got: Any = sent(annotation, value)
        if isinstance(got, dict) and "$type" in got:
            got["$type"] = "*"
        assert is_same(got, expected), f"{annotation}: {value!r} arrived as {got!r}"


@pytest.mark.parametrize("row", REFUSED)
def test_what_does_not_travel_is_refused(row: str) -> None:
    """With a ``WireError``."""
    for annotation, value in REFUSED[row]:
        with pytest.raises(WireError):
            sent(annotation, value)


def test_the_guide_has_these_rows_and_no_others() -> None:
    """The table of the guide is that of the tests."""
    guide = (ROOT / "docs/guides/what-travels.md").read_text("utf-8").partition("## ")[0]
    rows = [re.split(r" \| ", line[2:])[0] for line in guide.splitlines() if line.startswith("| ")]
    assert [row for row in rows if row not in ("value", "---")] == [*ARRIVES, *CHANGES, *REFUSED]


def from_dlpack(array: "npt.NDArray[np.float64]") -> Array:
    """As the packages of such arrays have it."""
    return Array(np.asarray(np.from_dlpack(array), np.float64))


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module is the package of ``Array``: its first name is that of a loaded module."""
    import sys

    monkeypatch.setattr(sys.modules[__name__.partition(".")[0]], "from_dlpack", from_dlpack, raising=False)


class GetRecord(Message[Record]):
    """Ask for a record."""


class Keeper(Actor):
    @handler
    def get_record(self, msg: GetRecord) -> Record:
        return SubRecord(1, extra=7)


LOST = "SubRecord in a field of Record, where what it adds would be lost"


@virtual_time
async def test_a_reply_of_a_derived_class_is_refused_with_the_cure() -> None:
    """On a strict node and from another node the asker gets a `WireError` in its place."""
    async with Node(strict_wire=True) as two:
        keeper = await two.spawn(Keeper, name="keeper")
        with pytest.raises(WireError, match=LOST):
            await keeper.ask(GetRecord())
    async with (
        Node("two", listen="inprocess://two") as two,
        Node("one", listen="inprocess://one", join=["inprocess://two"]) as one,
    ):
        await two.spawn(Keeper, name="keeper")
        await one.network.wait_for_peer("two")
        far = await one.network.whereis("two", "user/keeper")
        assert far is not None
        with pytest.raises(WireError, match=LOST):
            await far.ask(GetRecord())


def test_the_error_names_the_path_to_the_value() -> None:
    """And the class that would lose a field."""
    with pytest.raises(WireError, match=r"v\['a'\]\[1\] is a SubRecord in a field of Record"):
        sent(dict[str, tuple[Record, ...]], {"a": (Record(1), SubRecord(1))})
