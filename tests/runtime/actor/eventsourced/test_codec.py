"""Events as bytes: what was added since takes its default, and what does not fit is named."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper import InvalidHandler, Message
from trouper.runtime.actor.eventsourced.codec import EventCodec, EventUnreadable, InvalidEvent


class Opened(Message, tag="account.opened"):
    owner: str


class Moved(Message, tag="account.moved"):
    cents: int
    note: str = ""
    labels: tuple[str, ...] = ()


class Renamed(Message, tag="account.renamed", rename="camel"):
    new_owner: str


class Other(Message):
    value: object = None


CODEC = EventCodec("Account", [Opened, Moved, Renamed])
EVENTS = st.one_of(
    st.builds(Opened, owner=st.text()),
    st.builds(Moved, cents=st.integers(-(2**63), 2**64 - 1), note=st.text(), labels=st.tuples(st.text())),
    st.builds(Renamed, new_owner=st.text()),
)


@given(EVENTS)
def test_an_event_comes_back_as_it_was(event: Message) -> None:
    """Type and fields are those that were encoded."""
    assert CODEC.decode(CODEC.encode(event), "record 1") == (event,)


def test_a_field_that_was_added_takes_its_default() -> None:
    """An event that was kept before the field was there can be read."""
    old = msgspec.msgpack.encode({"$type": "account.moved", "cents": 7})
    assert CODEC.decode(old, "record 1") == (Moved(7, note="", labels=()),)


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (
            {"$type": "account.closed"},
            "the tag 'account.closed', which Account does not apply; it applies: account.moved, account.op",
        ),
        (
            {"$type": "account.moved", "cents": 7, "currency": "EUR"},
            "record 1, a 'account.moved', has the field 'currency', which Moved lacks: keep every field",
        ),
        ({"$type": "account.renamed", "new_owner": "x"}, "has the field 'new_owner', which Renamed lacks"),
        (
            {"$type": "account.moved"},
            "record 1, a 'account.moved', came in wrong: Object missing required field `cents`",
        ),
        ({"$type": "account.moved", "cents": "7"}, "came in wrong: Expected `int`, got `str` - at `$.cents`"),
        ({"cents": 7}, "record 1 is no event: it must be a map with a tag"),
        ({"$type": 7}, "record 1 is no event"),
        ([1, 2], "record 1 is no event"),
    ],
)
def test_what_does_not_fit_is_named(kept: object, said: str) -> None:
    """An unknown tag, an unknown field, a missing one, a wrong type, no event at all: each says what and where."""
    with pytest.raises(EventUnreadable, match=re.escape(said)):
        CODEC.decode(msgspec.msgpack.encode(kept), "record 1")


def test_bytes_that_are_no_msgpack_are_no_event() -> None:
    """Garbage says so."""
    with pytest.raises(EventUnreadable, match=r"^record 9 is no event"):
        CODEC.decode(b"\xc1", "record 9")


def test_an_event_that_nobody_applies_or_that_cannot_be_encoded_is_refused() -> None:
    """The error names the type, and what there is instead, or what the matter is."""
    with pytest.raises(InvalidEvent, match=r"^Account does not apply Other; it applies: account\.moved, "):
        CODEC.encode(Other())
    with pytest.raises(
        InvalidEvent, match=r"^Other cannot be encoded: Encoding objects of type object is unsupported$"
    ):
        EventCodec("A", [Other]).encode(Other(object()))
    with pytest.raises(InvalidEvent, match=r"^Moved cannot be encoded: can't serialize ints "):
        CODEC.encode(Moved(2**70))


def test_an_event_without_field_names_is_refused() -> None:
    """Its fields could never be told apart after a change."""

    class Row(Message, array_like=True):
        cents: int

    with pytest.raises(InvalidHandler, match=r"^A applies .*Row, an array_like struct: give its fields names"):
        EventCodec("A", [Row])
