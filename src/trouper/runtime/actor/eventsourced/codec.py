"""Encodes events with their tag, and decodes only the events that an actor class applies.

An event is a ``Message``.  A record may have been written by an older version of the program: a field added since takes
its default, an upcaster makes present events of an old one, and everything else that does not fit raises an error that
names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import msgspec

from ...kernel.errors import ActorError, CallerError, InvalidHandler
from ...kernel.message import Message, tag_of
from ...kernel.untrusted import decode_untrusted

Upcast = Callable[[dict[str, object]], Message[object] | Sequence[Message[object]]]
"""Makes present events of the fields of an old one."""
_NO_UPCASTERS: Mapping[str, Upcast] = {}


class InvalidEvent(CallerError, TypeError):
    """An event that this actor class does not apply, or an event or state that cannot be encoded."""


class EventUnreadable(ActorError):
    """A record that this version of the program cannot read; the text names the tag or the field."""


class EventCodec:
    """The codec of the events of one actor class.

    owner: the class's name, for errors.  types: the event types that it applies; subclasses are not included.
    Raises ``InvalidHandler`` for an ``array_like`` type: without the names of its fields it could never be changed.
    """

    def __init__(self, owner: str, types: Iterable[type]) -> None:
        self._owner = owner
        self._types = {tag_of(type_): cast("type[Message[object]]", type_) for type_ in types}
        self._decoders: dict[str, msgspec.msgpack.Decoder[Message[object]]] = {}
        self._fields: dict[str, frozenset[str]] = {}
        tag_fields: set[str] = set()
        for tag, type_ in self._types.items():
            config = type_.__struct_config__
            if config.array_like:
                raise InvalidHandler(
                    f"{owner} applies {type_.__qualname__}, an array_like struct: give its fields names"
                )
            names = [field.encode_name for field in msgspec.structs.fields(type_)]
            tag_fields.add(str(config.tag_field))
            self._fields[tag] = frozenset((*names, str(config.tag_field)))
            self._decoders[tag] = msgspec.msgpack.Decoder(type_)
        self._tag_fields = sorted(tag_fields)
        self._head = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
        self._untyped = msgspec.msgpack.Decoder(dict[str, object])
        self._text = msgspec.msgpack.Decoder(str)

    def encode(self, event: Message[object]) -> bytes:
        """Return an event as bytes; raises ``InvalidEvent`` for a type that is not applied, or cannot be encoded."""
        if tag_of(type(event)) not in self._types:
            raise InvalidEvent(f"{self._owner} does not apply {type(event).__qualname__}; it applies: {self._known()}")
        try:
            return msgspec.msgpack.encode(event)
        except Exception as error:  # a number above 64 bits, a nesting too deep, a user's type: each raises its own
            raise InvalidEvent(f"{type(event).__qualname__} cannot be encoded: {error}") from error

    def decode(
        self, payload: bytes, where: str, upcasters: Mapping[str, Upcast] = _NO_UPCASTERS
    ) -> Sequence[Message[object]]:
        """Return the events of a record: one, unless an upcaster makes more or none of it.

        where: names the record in the ``EventUnreadable`` that it may raise.  upcasters: by tag; one is called for each
        record with its tag.
        """
        head, tag = decode_untrusted(
            self._head_and_tag,
            payload,
            where,
            lambda _: EventUnreadable(f"{where} is no event: it must be a map with a tag"),
        )
        if tag in upcasters:
            return self._upcast(upcasters[tag], payload, f"{where}, a {tag!r}")
        fields = self._fields.get(tag)
        if fields is None:
            raise EventUnreadable(
                f"{where} has the tag {tag!r}, which {self._owner} does not apply; it applies: {self._known()}. "
                f"Keep the class of every event ever written, or write @upcasts({tag!r}); a class that moved keeps its "
                f"tag with tag={tag!r}"
            )
        unknown = sorted(head.keys() - fields)
        if unknown:
            raise EventUnreadable(
                f"{where}, a {tag!r}, has the field {unknown[0]!r}, which {self._types[tag].__qualname__} lacks: "
                "keep every field ever written, with a default, or write an upcaster"
            )
        event = decode_untrusted(
            self._decoders[tag].decode,
            payload,
            f"{where}, a {tag!r},",
            lambda text: EventUnreadable(f"{text}; give added fields a default"),
        )
        return (event,)

    def _head_and_tag(self, payload: bytes) -> tuple[dict[str, msgspec.Raw], str]:
        head = self._head.decode(payload)
        (tag,) = [self._text.decode(head[field]) for field in self._tag_fields if field in head]
        return head, tag

    def _upcast(self, upcast: Upcast, payload: bytes, where: str) -> Sequence[Message[object]]:
        fields = decode_untrusted(self._untyped.decode, payload, where, EventUnreadable)
        for tag_field in self._tag_fields:
            fields.pop(tag_field, None)
        try:
            made: object = upcast(fields)
            events: tuple[object, ...] = (
                (made,) if hasattr(made, "__reply__") else tuple(cast("Iterable[object]", made))
            )
        except Exception as error:
            raise EventUnreadable(f"{where}: its upcaster raised {type(error).__qualname__}: {error}") from error
        for event in events:
            if not hasattr(event, "__reply__") or tag_of(type(event)) not in self._types:
                raise EventUnreadable(
                    f"{where}: its upcaster returned a {type(event).__qualname__}, which {self._owner} does not apply; "
                    f"it applies: {self._known()}"
                )
        return cast("Sequence[Message[object]]", events)

    def _known(self) -> str:
        return ", ".join(sorted(self._types)) or "nothing"
