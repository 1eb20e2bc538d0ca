from collections import OrderedDict

import msgspec
import pytest

from trouper.runtime.session.unencodable import DEPTH_MAX, unencodable_part

encode = msgspec.msgpack.Encoder().encode


class Line(msgspec.Struct):
    """A line of an order."""

    price: object


class Order(msgspec.Struct):
    """An order."""

    lines: list[Line]
    notes: dict[object, object]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Order([Line(1), Line(object())], {}), ".lines[1].price"),
        (Order([], {"a": 1, "b": (1, [object()])}), ".notes['b'][1][0]"),
        (Order([], OrderedDict({"a": 2**70})), ".notes['a']"),
        ([1, 2, 3], ""),
        (object(), ""),
        ([2**64], "[0]"),
    ],
)
def test_the_innermost_part_that_cannot_travel_is_named(value: object, path: str) -> None:
    """Fields, indexes and keys lead to it; a value that travels, or that has no parts, has no path."""
    assert unencodable_part(value, encode) == path


def test_a_key_that_cannot_travel_is_named_as_one() -> None:
    """It is told from its value."""
    assert unencodable_part({object: 1}, encode) == "[key <class 'object'>]"


def test_what_is_nested_without_end_is_named_by_its_beginning() -> None:
    """A list that holds itself ends the search at a depth."""
    endless: list[object] = []
    endless.append(endless)
    assert unencodable_part(endless, encode) == "[0]" * DEPTH_MAX
