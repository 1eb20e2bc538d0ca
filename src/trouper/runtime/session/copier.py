"""Copies values through the codec, as if they had travelled to another node (PURE)."""

from __future__ import annotations

from typing import TypeVar, cast

from ..kernel.errors import WireError
from ..kernel.message import Message, reply_annotation
from ..kernel.ref import ActorRef
from .codec import REPLY, RefDefinition, SessionCodec
from .derived import check_derived
from .frames import HEADER_BYTES
from .settings import SessionSettings

R = TypeVar("R")
BODY_BYTES_MAX = SessionSettings().frame_bytes_max - HEADER_BYTES
"""Bytes of the largest message, as between two nodes with default settings."""
NO_LIMIT = 2**32
"""For messages with large buffers, which travel outside of the body."""


class WireCopier:
    """Encodes values and decodes them again, to an equal copy or a ``WireError`` that names the field."""

    def __init__(self) -> None:
        self._tables = SessionCodec(self._describe, self._ref_of)
        self._refs: list[ActorRef] = []

    def message(self, message: Message[R]) -> Message[R]:
        """Return the message as another node would see it; raises ``WireError`` naming the type and the field.

        A value that is no message is returned as it is; its receiver refuses it.
        """
        type_ = type(message)
        if not hasattr(type_, "__reply__") or type_.__local__:
            return message
        number = self._tables.number_of(type_)
        bytes_max = NO_LIMIT if number in self._tables.carriers else BODY_BYTES_MAX
        return cast("Message[R]", self._round_trip((1, 0, number, message), type_, type_.__qualname__, bytes_max))

    def reply(self, asked: Message[R], value: R) -> R:
        """Return a reply as another node would see it; raises ``WireError`` naming what was asked."""
        if type(asked).__local__:
            return value
        check_derived(reply_annotation(type(asked)), value, f"the reply to {type(asked).__qualname__}")
        return cast("R", self._round_trip((0, 1, REPLY, value), type(asked), None, NO_LIMIT))

    def value(self, annotation: object, value: object, name: str) -> object:
        """Return any value as another node would read it by its annotation; raises ``WireError`` naming it."""
        check_derived(annotation, value, name)
        try:
            return self._round_trip((0, 0, REPLY, value), annotation, name, NO_LIMIT)
        except WireError as error:
            raise WireError(f"{name} cannot travel: {error.__cause__ or error}") from None

    def _round_trip(
        self, item: tuple[int, int, int, object], type_: object, name: str | None, bytes_max: int
    ) -> object:
        tables = self._tables
        try:
            try:
                body = tables.encode([item], (), bytes_max)
            except WireError:
                tables.check(item[3])  # it names the field
                raise
            payload = tables.open(body).items[0][3]
            return (
                tables.read_reply(cast("type", type_), payload)
                if name is None
                else tables.read_as(type_, payload, name)
            )
        finally:
            if self._refs:
                self._refs = []
                tables.forget_refs()

    def _describe(self, ref: ActorRef) -> tuple[str, int, str, int]:
        self._refs.append(ref)
        return "", len(self._refs) - 1, "", 0

    def _ref_of(self, definition: RefDefinition) -> ActorRef:
        return self._refs[definition.generation]
