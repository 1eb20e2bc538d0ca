"""``ServiceTable``: the services that actors offer to the whole cluster, and how each is described.

An offer carries the shapes of the messages that its actor handles, as text, so that a program without the classes can
list the services and build a message of the right shape.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

from ... import InvalidOption
from ...lowlevel import ReplicatedTable, TableLimits, fields_of, reply_annotation, tag_of

Ref = TypeVar("Ref", bound=Hashable)
OFFER_BYTES_MAX = 8_192
"""The largest encoded size of one offer."""
SERVICES_LIMITS = TableLimits(rows_max=1_000, row_bytes_max=OFFER_BYTES_MAX + 1_024)


class MessageShape(msgspec.Struct, frozen=True):
    """The shape of a message type, as text.

    tag: its name on the wire.  fields: one line for each field: its name, its type as written in the source, and
    ``= ...`` if it has a default.  reply: the type of the reply, as written in the source.
    """

    tag: str
    fields: tuple[str, ...]
    reply: str


class Offer(msgspec.Struct, frozen=True):
    """One actor's offer of one service.

    capabilities: pairs that ``find`` compares.  topics: the topics whose messages the actor handles.
    messages: the shapes of the messages that it handles.
    """

    capabilities: dict[str, str]
    topics: tuple[str, ...]
    messages: tuple[MessageShape, ...]


class ServiceDescription(msgspec.Struct, frozen=True):
    """A service in plain values, to be written as JSON.

    name: of the service.  node: the node of its actor.  actor: the address of the actor.
    capabilities, topics, messages: as in ``Offer``.
    """

    name: str
    node: str
    actor: str
    capabilities: dict[str, str]
    topics: tuple[str, ...]
    messages: tuple[MessageShape, ...]


class Service(msgspec.Struct, Generic[Ref], frozen=True):
    """An actor that offers a service.  name: of the service.  node: of the actor.  ref: the actor."""

    name: str
    node: str
    ref: Ref
    offer: Offer

    @property
    def capabilities(self) -> dict[str, str]:
        """The capabilities of its offer."""
        return self.offer.capabilities

    def describe(self, actor: str) -> ServiceDescription:
        """Return the service in plain values.  actor: the text of the actor's address."""
        offer = self.offer
        return ServiceDescription(self.name, self.node, actor, offer.capabilities, offer.topics, offer.messages)


class ServiceTable(Generic[Ref]):
    """One node's view of the offers of all nodes.  table: the offers, by service and actor."""

    __slots__ = ("_services_of", "table")

    def __init__(self, table: ReplicatedTable[tuple[str, Ref], Offer]) -> None:
        self.table = table
        self._services_of: dict[Ref, dict[str, None]] = {}
        """The services that each actor of this node offers, so that its end costs no search."""

    def offer(self, name: str, ref: Ref, offer: Offer) -> None:
        """Write an offer of an actor of this node.  Raises ``RowFull`` at the limits of the table."""
        self.table.put((name, ref), offer)
        self._services_of.setdefault(ref, {})[name] = None

    def withdraw(self, name: str, ref: Ref) -> bool:
        """Withdraw an offer of an actor of this node; returns False when there is none."""
        services = self._services_of.get(ref, {})
        services.pop(name, None)
        if not services:
            self._services_of.pop(ref, None)
        return self.table.remove((name, ref))

    def actor_ended(self, ref: Ref) -> None:
        """Withdraw all offers of an actor of this node that has ended."""
        for name in tuple(self._services_of.get(ref, ())):
            self.withdraw(name, ref)


def make_offer(capabilities: Mapping[str, str], topics: Iterable[str], types: Iterable[type]) -> Offer:
    """Make an offer.  types: the message types that the actor handles.

    Raises ``InvalidOption`` when the encoded offer has more than ``OFFER_BYTES_MAX`` bytes.
    """
    shapes = sorted((_shape(type_) for type_ in types), key=lambda shape: shape.tag)
    offer = Offer(dict(capabilities), tuple(topics), tuple(shapes))
    size = len(msgspec.msgpack.encode(offer))
    if size > OFFER_BYTES_MAX:
        raise InvalidOption(
            f"the offer takes {size} bytes; {OFFER_BYTES_MAX} are the limit: give fewer or shorter capabilities and"
            " topics, or offer an actor that handles fewer message types"
        )
    return offer


def fits(offer: Offer, wanted: Mapping[str, str]) -> bool:
    """Return whether an offer has all these capabilities, with these values."""
    return all(offer.capabilities.get(key) == value for key, value in wanted.items())


def _shape(type_: type) -> MessageShape:
    reply = reply_annotation(type_)
    shown = "None" if reply is None else reply.__qualname__ if isinstance(reply, type) else str(reply)
    return MessageShape(tag_of(type_), tuple(fields_of(type_)), shown)
