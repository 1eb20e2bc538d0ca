"""What actors offer to the whole cluster: offers, how one is found, and how one is described to strangers (PURE).

An offer travels with the types of messages that its actor handles, in words, so that a program which knows none of the
classes can still list what there is, and make a message of the right shape.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

from ...runtime.kernel.errors import InvalidOption
from ...runtime.kernel.message import reply_annotation, tag_of
from ...runtime.session.schemas import fields_of

Ref = TypeVar("Ref", bound=Hashable)
OFFER_BYTES_MAX = 8_192
"""Of one offer, as it travels."""


class MessageShape(msgspec.Struct, frozen=True):
    """A type of message, for those who do not have the class.

    tag: its name on the wire.  fields: one line for each, its name, its type as written, and whether it may be left
    out.  reply: the type of the reply, as written.
    """

    tag: str
    fields: tuple[str, ...]
    reply: str


class Offer(msgspec.Struct, frozen=True):
    """What an actor offers under one name.

    capabilities: what it can do, in words that ``find`` compares.  topics: those whose messages it handles.
    """

    capabilities: dict[str, str]
    topics: tuple[str, ...]
    messages: tuple[MessageShape, ...]


class ServiceDescription(msgspec.Struct, frozen=True):
    """A service in plain values, to be written as JSON.

    name, capabilities, topics, messages: see ``Offer``.  node, actor: where it is, and its address.
    """

    name: str
    node: str
    actor: str
    capabilities: dict[str, str]
    topics: tuple[str, ...]
    messages: tuple[MessageShape, ...]


class Service(msgspec.Struct, Generic[Ref], frozen=True):
    """An actor that offers something.  ref: to tell and ask it."""

    name: str
    node: str
    ref: Ref
    offer: Offer

    @property
    def capabilities(self) -> dict[str, str]:
        """What it can do."""
        return self.offer.capabilities

    def describe(self, actor: str) -> ServiceDescription:
        """Put it into plain values; ``actor`` is the text of its address."""
        offer = self.offer
        return ServiceDescription(self.name, self.node, actor, offer.capabilities, offer.topics, offer.messages)


def make_offer(capabilities: Mapping[str, str], topics: Iterable[str], types: Iterable[type]) -> Offer:
    """Make an offer; raises ``InvalidOption`` when it would take more than ``OFFER_BYTES_MAX`` bytes.

    types: of the messages that the actor handles.
    """
    shapes = sorted((_shape(type_) for type_ in types), key=lambda shape: shape.tag)
    offer = Offer(dict(capabilities), tuple(topics), tuple(shapes))
    size = len(msgspec.msgpack.encode(offer))
    if size > OFFER_BYTES_MAX:
        raise InvalidOption(
            f"the offer takes {size} bytes, {OFFER_BYTES_MAX} are the most: say less in capabilities and topics, or"
            " offer an actor with fewer types of messages"
        )
    return offer


def fits(offer: Offer, wanted: Mapping[str, str]) -> bool:
    """Return whether an offer has all these capabilities, with these values."""
    return all(offer.capabilities.get(key) == value for key, value in wanted.items())


def _shape(type_: type) -> MessageShape:
    reply = reply_annotation(type_)
    shown = "None" if reply is None else reply.__qualname__ if isinstance(reply, type) else str(reply)
    return MessageShape(tag_of(type_), tuple(fields_of(type_)), shown)
