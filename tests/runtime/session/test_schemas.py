from typing import Any, Optional

import msgspec

from trouper import ActorRef, Message
from trouper.runtime.session.schemas import FINGERPRINT_BYTES, fields_of, fingerprint


class Base(Message[int | None], tag="schemas.Base"):
    """Two fields, one of which may be left out."""

    a: int
    b: list[ActorRef] = []  # noqa: RUF012  msgspec copies it


class Text(Message[int | None], tag="schemas.Text"):
    """The same, with annotations that are text."""

    a: "int"
    b: "list[ActorRef]" = []  # noqa: RUF012  msgspec copies it


class Renamed(Message[int | None], tag="schemas.Renamed", rename="upper"):
    """Other names on the wire."""

    a: int
    b: list[ActorRef] = []  # noqa: RUF012  msgspec copies it


class Wider(Message[int | None], tag="schemas.Wider"):
    """Another type of one field."""

    a: float
    b: list[ActorRef] = []  # noqa: RUF012  msgspec copies it


class Required(Message[int | None], tag="schemas.Required"):
    """No field may be left out."""

    a: int
    b: list[ActorRef]


class Answered(Message[str], tag="schemas.Answered"):
    """Another reply."""

    a: int
    b: list[ActorRef] = []  # noqa: RUF012  msgspec copies it


class Child(Base, tag="schemas.Child"):
    """One field more."""

    c: dict[str, Any] = {}  # noqa: RUF012  msgspec copies it; Any: part of what is tested


def test_annotations_as_text_and_as_objects_are_alike() -> None:
    """A module with ``from __future__ import annotations`` is no other version of itself."""
    assert fields_of(Base) == fields_of(Text) == ["a: int", "b: list[ActorRef] = ..."]
    assert fingerprint(Base) == fingerprint(Text)
    assert len(fingerprint(Base)) == FINGERPRINT_BYTES


def test_whatever_the_other_side_must_know_makes_a_difference() -> None:
    """Names on the wire, types, what may be left out, the reply, more fields."""
    types = [Base, Renamed, Wider, Required, Answered, Child]
    assert len({fingerprint(type_) for type_ in types}) == len(types)
    assert fields_of(Renamed) == ["A: int", "B: list[ActorRef] = ..."]
    assert fields_of(Child) == ["a: int", "b: list[ActorRef] = ...", "c: dict[str,Any] = ..."]


def test_the_fingerprint_is_fixed() -> None:
    """It is the same in every process: nothing of it depends on hashes or ids."""

    class Point(msgspec.Struct):
        x: int

    class Odd(Message[None], tag="schemas.Odd"):
        none: None
        point: Point
        maybe: Optional[int]  # noqa: UP045  the old form is part of what is tested

    assert fields_of(Odd) == ["none: None", "point: Point", "maybe: Optional[int]"]
    assert fingerprint(Odd).hex() == "8fc5213d198d40a8"
