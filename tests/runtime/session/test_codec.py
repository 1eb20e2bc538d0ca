import math
import re
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper import ActorRef, Message, WireError
from trouper.runtime.session import codec
from trouper.runtime.session.buffers import extract
from trouper.runtime.session.codec import (
    REF_CODE,
    TAGS_FROM,
    BodyTooLarge,
    Item,
    OutOfBandPayload,
    RefDefinition,
    SessionCodec,
    TagDefinition,
)
from trouper.runtime.session.schemas import fingerprint


class Pair(Message[list[int]], tag="codec.Pair"):
    """Two fields of which one has a type that is checked."""

    n: int
    text: str = ""


class Free(Message[object], tag="codec.Free"):
    """A field that may hold anything."""

    value: object


class Other(Message, tag="codec.Other"):
    """A second type."""


class Touchy(Message[None], tag="codec.Touchy"):
    """Raises when it is made."""

    n: int

    def __post_init__(self) -> None:
        raise LookupError(f"{self.n} is not for me")


class Directory:
    """Refs without actors, for both ends."""

    def __init__(self) -> None:
        self.refs: dict[int, ActorRef] = {}
        self.uids: dict[int, int] = {}

    def ref(self, uid: int) -> ActorRef:
        """The ref of this number, always the same."""
        if uid not in self.refs:
            ref = self.refs[uid] = ActorRef.__new__(ActorRef)
            self.uids[id(ref)] = uid
        return self.refs[uid]

    def describe(self, ref: ActorRef) -> tuple[str, int, str, int]:
        uid = self.uids[id(ref)]
        return "a", 1, f"user/{uid}", uid

    def ref_of(self, definition: RefDefinition) -> ActorRef:
        return self.ref(definition.uid)


def ends(known: Sequence[type] = ()) -> tuple[SessionCodec, SessionCodec, Directory]:
    """Two ends of one direction, and the refs that they know.  known: types whose numbers are fixed."""
    directory = Directory()
    return (
        SessionCodec(directory.describe, directory.ref_of, known),
        SessionCodec(directory.describe, directory.ref_of, known),
        directory,
    )


def item(tables: SessionCodec, message: Message[object]) -> Item:
    """A message to one actor, as a send buffer holds it."""
    return (1, 0, tables.number_of(type(message)), message)


def carried(out: SessionCodec, into: SessionCodec, *messages: Message[object]) -> list[Message[object]]:
    """What the other end reads."""
    body = into.open(out.encode([item(out, message) for message in messages], [], 1_000_000))
    return [into.read(number, payload) for _, _, number, payload in body.items]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(st.lists(values, max_size=4), max_size=4))
def test_what_goes_in_comes_out(frames: list[list[object]]) -> None:
    """Over several bodies of one session, whatever a message holds."""
    out, into, _ = ends()
    for frame in frames:
        messages = [Free(value) for value in frame]
        assert carried(out, into, *messages) == messages


@given(st.lists(st.lists(st.integers(0, 20), max_size=6), max_size=12), st.integers(6, 12))
def test_refs_are_the_same_ones_however_often_they_are_numbered_anew(frames: list[list[int]], limit: int) -> None:
    """The table of refs begins anew when it is full; no ref is ever taken for another one."""
    out, into, directory = ends()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "REFS_MAX", limit)
        for frame in frames:
            messages = [Free([directory.ref(uid)]) for uid in frame]
            assert carried(out, into, *messages) == messages


def test_names_travel_once() -> None:
    """A tag and an address are defined by the first body that needs them."""
    out, into, directory = ends()
    first = into.open(out.encode([item(out, Free(directory.ref(7)))], [], 1_000))
    second = into.open(out.encode([item(out, Free(directory.ref(7)))], [], 1_000))
    assert first.tags == [TagDefinition(TAGS_FROM, "codec.Free", fingerprint(Free))]
    assert first.refs == [RefDefinition(0, "a", 1, "user/7", 7)]
    assert (second.tags, second.refs) == ([], [])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "object is no type that the wire knows"),
        (2**64, "can't serialize ints < -2**63 or > 2**64 - 1"),
        ("\ud800", "'utf-8' codec can't encode character '\\ud800' in position 0: surrogates not allowed"),
    ],
)
def test_what_cannot_travel_says_why_and_defines_nothing(value: object, why: str) -> None:
    """The refs beside it are defined by the next body that holds them."""
    out, into, directory = ends()
    with pytest.raises(WireError) as caught:
        out.check(Free([directory.ref(1), value]))
    assert str(caught.value).casefold() == f"Free cannot travel: {why}, in Free.value[1]".casefold()
    with pytest.raises(WireError):
        out.encode([item(out, Free([directory.ref(1), value]))], [], 1_000)
    assert carried(out, into, Free(directory.ref(1))) == [Free(directory.ref(1))]


def test_a_body_that_is_too_large_defines_nothing() -> None:
    """Its definitions go with the next body; otherwise a message of many refs would stop the link for good."""
    out, into, directory = ends()
    with pytest.raises(BodyTooLarge, match=r"^it takes \d+ bytes, a frame holds 500$"):
        out.encode([item(out, Free([directory.ref(uid) for uid in range(100)]))], [], 500)
    body = into.open(out.encode([item(out, Free(directory.ref(99)))], [], 500))
    assert body.refs == [RefDefinition(0, "a", 1, "user/99", 99)]
    assert [tag.tag for tag in body.tags] == ["codec.Free"]


def test_deep_nesting_is_refused_on_both_sides() -> None:
    """Neither end runs out of stack."""
    out, into, _ = ends()
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(WireError, match=r"^Free cannot travel: maximum recursion depth exceeded"):
        out.check(Free(deep))
    with pytest.raises(WireError, match=r"^nested came in wrong: maximum recursion depth exceeded"):
        into.read_as(object, msgspec.Raw(b"\x91" * 100_000 + b"\x01"), "nested")
    with pytest.raises(WireError, match=r"^the body of a frame came in wrong: "):
        into.open(b"\x91" * 100_000)


def read_payload(payload: object, type_: type[Message[object]] = Pair) -> Message[object]:
    """Have a table read a payload that somebody else made."""
    out, into, _ = ends()
    number = out.number_of(type_)
    into.open(out.encode([], [], 1_000))
    return into.read(number, msgspec.Raw(msgspec.msgpack.encode(payload)))


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"$type": "codec.Pair", "n": "7"}, "Pair came in wrong: Expected `int`, got `str` - at `$.n`"),
        ({"$type": "codec.Pair"}, "Pair came in wrong: Object missing required field `n`"),
        ({"$type": "codec.Free", "n": 7}, "Pair came in wrong: Invalid value 'codec.Free' - at `$.$type`"),
        ([7], "Pair came in wrong: Expected `object`, got `array`"),
        (msgspec.msgpack.Ext(9, b"x"), "Pair came in wrong: Expected `object`, got `ext`"),
    ],
)
def test_a_wrong_field_is_named(payload: object, why: str) -> None:
    """The error names the type and the place."""
    with pytest.raises(WireError) as caught:
        read_payload(payload)
    assert str(caught.value) == why


def test_a_message_that_raises_when_it_is_made_is_an_error_like_others() -> None:
    """A class of the user's may raise anything in ``__post_init__``."""
    with pytest.raises(WireError) as caught:
        read_payload({"$type": "codec.Touchy", "n": 3}, Touchy)
    assert str(caught.value) == "Touchy came in wrong: 3 is not for me"


@pytest.mark.parametrize(
    ("extension", "why"),
    [
        (msgspec.msgpack.Ext(REF_CODE, b"\0\0\0\5"), "the number 5 was never defined as an actor in this session"),
        (msgspec.msgpack.Ext(REF_CODE, b"\5"), "the extension 1 of 1 bytes is no ref"),
        (msgspec.msgpack.Ext(9, b"\0\0\0\0"), "the extension 9 of 4 bytes is no ref"),
    ],
)
def test_a_ref_that_nobody_defined_is_refused(extension: msgspec.msgpack.Ext, why: str) -> None:
    """A number from outside reaches no actor."""
    with pytest.raises(WireError) as caught:
        read_payload({"$type": "codec.Free", "value": extension}, Free)
    assert str(caught.value) == f"Free came in wrong: {why}"


def test_a_plain_number_is_no_ref() -> None:
    """Where a ref is wanted, only a ref will do."""
    _, into, _ = ends()
    with pytest.raises(WireError) as caught:
        into.read_as(list[ActorRef], msgspec.Raw(msgspec.msgpack.encode([0])), "the list")
    assert str(caught.value) == "the list came in wrong: expected ActorRef, got int - at `$[0]`"


def open_tag(tag: TagDefinition) -> SessionCodec:
    """A table that was told of a type."""
    _, into, _ = ends()
    into.open(msgspec.msgpack.encode(([tag], [], [], [])))
    return into


class OwnNode(Message[None], tag="codec.OwnNode", local=True):
    """A message that no other node may send."""

    value: int


def test_a_local_message_of_another_node_is_refused() -> None:
    """``local=True`` holds on receipt too: a forged one of a peer is no message, whatever its fields."""
    into = open_tag(TagDefinition(TAGS_FROM, "codec.OwnNode", fingerprint(OwnNode)))
    with pytest.raises(WireError, match=r"^codec.OwnNode says local=True: no other node may send it$"):
        into.read(TAGS_FROM, msgspec.Raw(msgspec.msgpack.encode(OwnNode(7))))


def test_a_type_that_is_not_loaded_or_differs_fails_its_own_messages() -> None:
    """The error says what to import, or what the fields are here."""
    with pytest.raises(WireError) as caught:
        open_tag(TagDefinition(2, "no.Such", b"")).read(2, msgspec.Raw(b"\x80"))
    assert str(caught.value) == "this node has loaded no message type no.Such: import the module that defines it"
    with pytest.raises(WireError) as caught:
        open_tag(TagDefinition(2, "codec.Pair", b"12345678")).read(2, msgspec.Raw(b"\x80"))
    assert str(caught.value) == (
        "the fields of codec.Pair differ between the two nodes; here they are n: int; text: str = ...: "
        "run one version of the module that defines it on both"
    )
    with pytest.raises(WireError) as caught:
        open_tag(TagDefinition(2, "codec.Pair", b"")).read(3, msgspec.Raw(b"\x80"))
    assert str(caught.value) == "the number 3 was never defined as a message type in this session"


@pytest.mark.parametrize("deadline", [math.nan, -1.0, -math.inf, "soon", None])
def test_a_deadline_that_is_none_makes_no_body(deadline: object) -> None:
    """Neither before now nor NaN."""
    _, into, _ = ends()
    with pytest.raises(WireError, match=r"^the body of a frame came in wrong: "):
        into.open(msgspec.msgpack.encode(([], [], [], [deadline])))


@given(st.binary(max_size=60) | values.map(msgspec.msgpack.encode))
def test_garbage_is_an_error_and_nothing_else(body: bytes) -> None:
    """Any bytes are a body, or a WireError."""
    _, into, _ = ends()
    opened: codec.Body | WireError
    try:
        opened = into.open(body)
    except WireError as error:
        opened = error
    assert isinstance(opened, codec.Body) or str(opened).startswith("the body of a frame came in wrong: ")


def test_replies_are_read_as_their_message_promises() -> None:
    """The error names the message that was asked."""
    _, into, _ = ends()
    assert into.read_reply(Pair, msgspec.Raw(msgspec.msgpack.encode([1, 2]))) == [1, 2]
    with pytest.raises(WireError) as caught:
        into.read_reply(Pair, msgspec.Raw(msgspec.msgpack.encode(["x"])))
    assert str(caught.value) == "the reply to Pair came in wrong: Expected `int`, got `str` - at `$[0]`"


def test_what_was_sent_can_be_listed_and_only_messages_travel() -> None:
    """Dead letters of a lost node name the types; what is no message has no number."""
    out, _, _ = ends()
    number = out.number_of(Pair)
    body = out.encode([(5, 0, number, Pair(1)), (6, 9, number, Pair(2)), (0, 3, codec.REPLY, 1)], [1.0], 1_000)
    assert out.sent(body) == [(5, "Pair", False), (6, "Pair", True)]
    with pytest.raises(WireError) as caught:
        out.number_of(int)
    assert str(caught.value) == "int is no Message: only messages travel"


class Grid(Message[None], tag="codec.Grid"):
    """A message with arrays and bytes."""

    cells: npt.NDArray[np.float64]
    raw: bytes
    view: memoryview
    mutable: bytearray
    who: ActorRef | None = None
    more: list[dict[int, bytes]] | None = None


def out_of_band(out: SessionCodec, into: SessionCodec, grid: Message[object], bytes_min: int) -> Message[object]:
    """Send a message, with what is large in it beside it."""
    payload, buffers = extract(grid, bytes_min)
    for number, buffer in enumerate(buffers, 1):
        buffer.number = number
    sent: object = OutOfBandPayload(grid, payload, buffers) if buffers else payload
    body = into.open(out.encode([(1, 0, out.number_of(type(grid)), sent)], [], 10_000))
    taken = {buffer.number: buffer.view for buffer in buffers}
    assert body.out_of_band == ([(0, list(taken))] if taken else [])
    (_, _, number, raw) = body.items[0]
    return into.read(number, raw, taken)


@pytest.mark.parametrize("bytes_min", [1, 10, 100])
def test_buffers_beside_a_message_come_back_as_its_annotations_say(bytes_min: int) -> None:
    """Whether they are small enough for the payload or not; refs beside them too."""
    out, into, directory = ends()
    cells, ref = np.arange(6.0).reshape(2, 3), directory.ref(1)
    grid = Grid(cells, b"r" * 20, memoryview(b"v" * 20), bytearray(b"m" * 20), ref, [{7: b"x" * 20}, {8: b""}])
    came = out_of_band(out, into, grid, bytes_min)
    assert isinstance(came, Grid)
    assert np.array_equal(came.cells, cells)
    assert (came.raw, came.view, came.mutable) == (grid.raw, grid.view, grid.mutable)
    assert (came.who, came.more) == (ref, grid.more)
    assert [type(came.raw), type(came.view), type(came.mutable)] == [bytes, memoryview, bytearray]
    assert not came.cells.flags.writeable


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cells": np.arange(6)}, "expected an array of float64, got int64 - at `$.cells`"),
        ({"cells": b"x" * 50}, "expected ndarray, got bytes - at `$.cells`"),
        ({"raw": np.arange(6)}, "Expected `bytes`, got `numpy.ndarray` - at `$.raw`"),
        ({"more": [{7: np.arange(6)}]}, "Expected `bytes`, got `numpy.ndarray` - at `$.more[0][...]`"),
    ],
)
def test_a_buffer_of_the_wrong_type_is_refused_by_the_name_of_its_field(change: dict[str, object], why: str) -> None:
    """A sender that does not keep to its annotations, or has others, is told so."""
    out, into, _ = ends()
    grid = Grid(np.arange(6.0), b"r" * 20, memoryview(b"v"), bytearray())
    with pytest.raises(WireError) as caught:
        out_of_band(out, into, msgspec.structs.replace(grid, **change), 10)
    assert str(caught.value) == f"Grid came in wrong: {why}"


def test_a_buffer_that_did_not_come_fails_its_message() -> None:
    """The error names it."""
    out, into, _ = ends()
    grid = Grid(np.arange(6.0), b"r" * 20, memoryview(b"v"), bytearray())
    payload, buffers = extract(grid, 10)
    body = into.open(out.encode([(1, 0, out.number_of(Grid), OutOfBandPayload(grid, payload, buffers))], [], 10_000))
    for taken in ({}, {9: memoryview(b"")}):
        with pytest.raises(WireError, match=r"^Grid came in wrong: .*buffer 0 did not come|got `ext`"):
            into.read(body.items[0][2], body.items[0][3], taken)


def test_only_types_that_may_carry_buffers_are_searched_for_them() -> None:
    """Their numbers are known from the first message on."""
    out, _, _ = ends()
    numbers = {out.number_of(type_): type_ for type_ in (Pair, Grid, Free)}
    assert {numbers[number] for number in out.carriers} == {Grid, Free}


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
        ({object: 1}, "[key <class 'object'>]"),
        ([2**64], "[0]"),
    ],
)
def test_the_error_names_the_innermost_part_that_cannot_be_sent(value: object, path: str) -> None:
    """Fields, indexes and keys lead to it; a key is told from its value."""
    out, _, _ = ends()
    with pytest.raises(WireError, match=rf", in Free\.value{re.escape(path)}$"):
        out.check(Free(value))


def test_a_value_that_holds_itself_is_named_by_its_beginning() -> None:
    """The search for the part at fault ends at a depth."""
    out, _, _ = ends()
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(WireError, match=rf", in Free\.value{re.escape('[0]' * (codec.PATH_STEPS_MAX - 1))}$"):
        out.check(Free(endless))


def _body(tags: Sequence[TagDefinition] = (), refs: Sequence[RefDefinition] = ()) -> bytes:
    return msgspec.msgpack.encode((tags, refs, [], []))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            _body([TagDefinition(TAGS_FROM + codec.TAGS_MAX, "x", b"")]),
            r"^the body defines 16386 as a message type: only \d+ to 16385 can be defined$",
        ),
        (_body([TagDefinition(TAGS_FROM - 1, "x", b"")]), r"^the body defines 1 as a message type: only "),
        (_body([TagDefinition(-1, "x", b"")]), r"^the body defines -1 as a message type: only "),
        (
            _body([], [RefDefinition(2 * codec.REFS_MAX, "a", 1, "user/7", 7)]),
            r"^the body defines 131072 as an actor: only 0 to 131071 can be$",
        ),
        (
            _body([], [RefDefinition(-1, "a", 1, "user/7", 7)]),
            r"^the body of a frame came in wrong: Expected `int` >= 0",
        ),
        (_body([TagDefinition(500, "x" * 4_097, b"")]), r"length <= 4096"),
        (_body([], [RefDefinition(0, "a", 1, "x" * 4_097, 7)]), r"length <= 4096"),
        (_body([], [RefDefinition(0, "a" * 4_097, 1, "user/7", 7)]), r"length <= 4096"),
    ],
)
def test_a_peer_cannot_define_without_end(body: bytes, problem: str) -> None:
    """A body that defines beyond the limits is refused as a whole, changes nothing, and the next one is read."""
    out, into, directory = ends()
    before = carried(out, into, Free(directory.ref(7)))
    with pytest.raises(WireError, match=problem):
        into.open(body)
    assert len(vars(into)["_refs"]) == 1
    assert carried(out, into, Free(directory.ref(7))) == before


def test_a_peer_cannot_redefine_a_message_of_the_node_itself() -> None:
    """The numbers of the node's own messages are fixed."""
    _, into, _ = ends(known=[Free])
    with pytest.raises(WireError, match=r"^the body defines 2 as a message type: only 3 to 16385 can be defined$"):
        into.open(_body([TagDefinition(TAGS_FROM, "codec.Free", fingerprint(Free))]))


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=20), max_size=20))
def test_what_a_peer_defines_is_bounded(bodies: list[list[int]]) -> None:
    """Whatever the numbers, the tables stay within their limits."""
    _, into, _ = ends()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "REFS_MAX", 5)
        patch.setattr(codec, "TAGS_MAX", 5)
        for numbers in bodies:
            tags = [TagDefinition(number % 12, "codec.Free", b"") for number in numbers]
            refs = [RefDefinition(number % 15 if number % 3 else number, "a", 1, "user/7", 7) for number in numbers]
            try:
                into.open(_body(tags[::2], refs))
            except WireError:
                pass
    assert len(vars(into)["_refs"]) <= 10
    assert len(vars(into)["_types"]) <= 5


def test_the_sender_keeps_to_the_limits() -> None:
    """More types than a session takes, a path that is too long and more refs than a frame takes are errors there."""
    out, _, directory = ends()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "REFS_MAX", 3)
        with pytest.raises(BodyTooLarge, match=r"^it holds more than 3 refs that the peer does not know$"):
            out.encode([item(out, Free([directory.ref(number) for number in range(7)]))], [], 100_000)
        out.encode([item(out, Free([directory.ref(number) for number in range(6)]))], [], 100_000)
        patch.setattr(codec, "TAGS_MAX", 1)
        with pytest.raises(WireError, match=r"a session takes at most 1 message types, of 4096 characters each$"):
            out.number_of(Other)
        patch.setattr(codec, "NAME_CHARS_MAX", 3)
        with pytest.raises(WireError, match=r"the path of a ref has 3 characters at most: user/7"):
            out.encode([item(out, Free(directory.ref(70)))], [], 100_000)
