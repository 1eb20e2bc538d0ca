"""The codec: everything sent to one peer in one loop iteration, as the body of one DATA frame, and back.

A body is ``[tags, refs, items, deadlines, out_of_band, headers]`` in msgpack.  ``tags`` and ``refs`` define numbers for
message types and actors from this frame on, so that a name is sent once per session.  Each item is ``[to, correlation,
tag, payload]``; ``deadlines`` holds the seconds left of each ask, in order; ``out_of_band`` says which items have large
buffers that came before them (``bulk_chunks``), ``headers`` which of them have headers; the last parts are left out
where no item has any.  A payload is decoded only when its target is known, by the target's own message type, so that a
wrong field is an error that names it.  Refs, buffers and values of ``codecs`` in a payload are msgpack extensions, so
that they are recognised also where the type of a field says nothing.

Laws of this file:
1. Both ends number alike, because frames arrive in order and once (``session``); a new session starts without numbers.
2. Bytes from outside become messages of types that are loaded here already, and nothing else: no import, no pickle.
3. What a peer can define is bounded in number and in size (``TAGS_MAX``, ``REFS_MAX``, ``NAME_CHARS_MAX``), and so are
   headers; a body with more is refused as a whole, and the session goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, cast

import msgspec

from ..kernel.ask import ToldWithHeaders
from ..kernel.errors import WireError
from ..kernel.headers import HEADER_BYTES_MAX, HEADER_NAME, HEADER_NAME_CHARS_MAX, HEADERS_MAX, over_limit
from ..kernel.message import Message, message_class, reply_annotation, tag_of
from ..kernel.ref import ActorRef
from ..kernel.untrusted import decode_untrusted
from .budget import Account
from .buffers import BUFFER_CODE, OutOfBandBuffer, expected, is_number, may_carry
from .buffers import read as read_buffer
from .buffers import write as write_buffer
from .codecs import CODEC_CODE, Encoded, decoded, encoded
from .derived import check_derived, holds_classes
from .endpoints import ENDPOINT_CHARS_MAX
from .polymorphic import build, is_polymorphic
from .schemas import FINGERPRINT_BYTES, fields_of, fingerprint
from .transport import Buffer

ITEMS_MAX = 512
"""Items of one frame; what was sent beyond them in one loop iteration goes in the next frame.  More are refused."""
REPLY, REPLY_ERROR, TAGS_FROM = 0, 1, 2
"""Numbers of tags: the value of a reply, an error in its place, and the first number of a message type."""
TAGS_MAX = 16_384
"""Message types that can have a number in one direction of a session."""
REFS_MAX = 65_536
"""Refs that have a number in one direction of a session before the sender begins to number anew.  As it does so only
between two bodies, it may use up to twice as many numbers; the receiver refuses numbers above that.
"""
NAME_CHARS_MAX = 4_096
"""Characters of a tag, or of the node and the path of a ref."""
REF_CODE, REF_BYTES = 1, 4
"""A ref in a payload: the code of the extension, and the bytes of the number, the most significant first."""
PATH_STEPS_MAX = 16
"""Steps of the path to a part that cannot be encoded; what is nested deeper is named by the place where it begins."""


class BodyTooLarge(WireError):
    """The body is larger than a frame may be."""


_Name = Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)]


class TagDefinition(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """From now on ``number`` means the message type ``tag``, whose fields have this fingerprint."""

    number: int
    tag: _Name
    fingerprint: Annotated[bytes, msgspec.Meta(max_length=FINGERPRINT_BYTES)]


class RefDefinition(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """From now on ``number`` means this actor.

    endpoint: where its node listens; empty when the receiver was told before in this session, and where the sender does
        not know.
    """

    number: Annotated[int, msgspec.Meta(ge=0)]
    node: _Name
    generation: int
    path: _Name
    uid: int
    endpoint: Annotated[str, msgspec.Meta(max_length=ENDPOINT_CHARS_MAX)] = ""


_HeaderName = Annotated[str, msgspec.Meta(max_length=HEADER_NAME_CHARS_MAX, pattern=f"^{HEADER_NAME}\\Z")]
_HeaderValue = Annotated[bytes, msgspec.Meta(max_length=HEADER_BYTES_MAX)]
_Headers = Annotated[dict[_HeaderName, _HeaderValue], msgspec.Meta(max_length=HEADERS_MAX)]
_PerItem = msgspec.Meta(max_length=ITEMS_MAX)


class Body(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The body of one frame, as it came in."""

    tags: list[TagDefinition]
    refs: list[RefDefinition]
    items: Annotated[list[tuple[int, int, int, msgspec.Raw]], _PerItem]
    deadlines: Annotated[list[Annotated[float, msgspec.Meta(ge=0)]], _PerItem]
    out_of_band: Annotated[list[tuple[int, list[int]]], _PerItem] = []
    headers: Annotated[list[tuple[int, _Headers]], _PerItem] = []


class OutOfBandPayload:
    """The payload of an item whose message or reply has large buffers.

    It is no Struct, of which msgspec would write every field.
    value: as it was sent, which may be with headers.  payload: the part of it that is encoded in the body.
    buffers: the other part.
    """

    __slots__ = ("buffer_bytes", "buffers", "payload", "value")

    def __init__(self, value: object, payload: object, buffers: list[OutOfBandBuffer]) -> None:
        self.value, self.payload, self.buffers = value, payload, buffers
        self.buffer_bytes = sum(len(out_of_band.view) for out_of_band in buffers)


Item = tuple[int, int, int, object]
_AS_THEY_ARE = (bytes, bytearray, memoryview, datetime)
RefOf = Callable[[RefDefinition], ActorRef]
Describe = Callable[[ActorRef], tuple[str, int, str, int]]
EndpointOf = Callable[[str, int], str]

TakenBuffers = Mapping[int, memoryview]
_decode_body: Callable[[Buffer], Body] = msgspec.msgpack.Decoder(Body).decode
NO_BUFFERS: TakenBuffers = {}
_datagram_encoder = msgspec.msgpack.Encoder()
_decode_datagram: Callable[[Buffer], tuple[str, msgspec.Raw]] = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw]).decode


class SessionCodec:
    """The codec of one session: the numbers of both directions, an encoder and a decoder.

    describe: returns node, generation, path and uid of a ref.  ref_of: makes the ref of a definition.
    endpoint_of: where a generation of a node listens, to be told with its first ref; empty for nothing to tell.
    known: message types whose numbers, from ``TAGS_FROM`` on, are the same on both sides and are never defined.
    """

    def __init__(
        self,
        describe: Describe,
        ref_of: RefOf,
        known: Sequence[type] = (),
        endpoint_of: EndpointOf = lambda _, __: "",
    ) -> None:
        self._describe, self._ref_of, self._endpoint_of = describe, ref_of, endpoint_of
        self._told: set[tuple[str, int]] = set()  # the nodes whose endpoint the peer was told
        self._encoder = msgspec.msgpack.Encoder(enc_hook=self._encode_hook)
        self.numbers: dict[type, int] = {type_: number for number, type_ in enumerate(known, TAGS_FROM)}
        self._ref_numbers: dict[tuple[str, int, int], int] = {}
        self._with_classes: set[type] = set()
        self._new_tags: list[TagDefinition] = []
        self._new_refs: list[RefDefinition] = []
        self._out_of_band_payloads = self._payloads_with_headers = 0
        self._tags_from = len(self.numbers) + TAGS_FROM
        self._types: dict[int, type[Message[object]] | WireError] = {
            number: cast("type[Message[object]]", type_) for type_, number in self.numbers.items()
        }
        self._refs: dict[int, ActorRef] = {}
        self._decoders: dict[type | object, msgspec.msgpack.Decoder[object]] = {}
        self._untyped = msgspec.msgpack.Decoder(ext_hook=self._extension_hook)
        self._taken = NO_BUFFERS
        self.account: Account | None = None
        """Of the identity of the peer, which defines numbers; None lets it define as many as the constants say."""
        self.defined = 0
        """How many numbers the peer has defined."""
        self.carriers: set[int] = set()
        """Numbers of the message types that may hold large buffers."""
        self.plain: dict[type, int] = {}
        """The numbers of those that may not, of the types that were sent before."""
        self.readers: dict[int, Callable[[msgspec.Raw], Message[object]]] = {}
        """Decoders by number of the types that ``read`` has decoded before; they may raise any exception."""

    # --- out ---------------------------------------------------------------------------------------------------------

    def number_of(self, type_: type) -> int:
        """Return the number of a message type; the next body defines it when it had none.

        Raises ``WireError`` for a type that cannot be sent to another node, and above ``TAGS_MAX`` types.
        """
        number = self.numbers.get(type_)
        if number is None:
            _check_travels(type_)
            if len(self.numbers) >= TAGS_MAX or len(tag_of(type_)) > NAME_CHARS_MAX:
                limits = f"{TAGS_MAX} message types, of {NAME_CHARS_MAX} characters each"
                raise WireError(f"{tag_of(type_):.200} has no number: a session takes at most {limits}")
            number = self.numbers[type_] = len(self.numbers) + TAGS_FROM
            self._new_tags.append(TagDefinition(number, tag_of(type_), fingerprint(type_)))
            if may_carry(type_):
                self.carriers.add(number)
            else:
                self.plain[type_] = number
            if holds_classes(type_):
                self._with_classes.add(type_)
        return number

    def encode(self, items: Sequence[Item], deadlines: Sequence[float], bytes_max: int) -> bytes:
        """Make a body.

        items: at most ``ITEMS_MAX``; a payload with headers is a ``ToldWithHeaders``.
        deadlines: seconds left of each ask among them, in order.
        Raises ``BodyTooLarge`` above ``bytes_max``, and ``WireError`` when a payload cannot be sent to another node.
        """
        if len(self._ref_numbers) >= REFS_MAX and not self._new_refs:
            self._ref_numbers.clear()
        self._out_of_band_payloads = self._payloads_with_headers = 0
        encoded = self._try(items, "a message")
        if self._with_classes:
            for item in items:
                self._check_classes(item[3])
        parts: tuple[object, ...] = (self._new_tags, self._new_refs, msgspec.Raw(encoded), deadlines)
        if self._out_of_band_payloads or self._payloads_with_headers:
            out_of_band = [
                (at, [each.number for each in item[3].buffers])
                for at, item in enumerate(items)
                if type(item[3]) is OutOfBandPayload
            ]
            parts = (*parts, out_of_band)
        if self._payloads_with_headers:
            headers = [(at, headers) for at, item in enumerate(items) if (headers := _headers_of(item[3]))]
            parts = (*parts, headers)
        body = self._encoder.encode(parts)
        if len(body) > bytes_max:
            self._forget_new_refs()
            raise BodyTooLarge(f"it takes {len(body)} bytes, a frame holds {bytes_max}")
        self._new_tags, self._new_refs = [], []
        return body

    def check(self, payload: object) -> None:
        """Raise ``WireError``, which names the part that is at fault, when this payload alone cannot be sent."""
        value = payload.value if isinstance(payload, OutOfBandPayload) else payload
        if isinstance(value, ToldWithHeaders):
            value = value.message
        name = type(value).__qualname__
        self._check_classes(payload)
        try:
            self._try(payload, name)
        except WireError as error:
            where = _unencodable_part(value, self._encoder.encode)
            raise WireError(f"{error}, in {name}{where}" if where else str(error)) from error.__cause__
        finally:
            self._forget_new_refs()

    def _check_classes(self, payload: object) -> None:
        """Raise ``WireError`` for a message in which a field holds a value of a derived class that is no message."""
        value = payload.value if isinstance(payload, OutOfBandPayload) else payload
        if isinstance(value, ToldWithHeaders):
            value = value.message
        type_ = type(value)
        if type_ in self._with_classes:
            try:
                check_derived(type_, value, type_.__qualname__)
            except WireError:
                self._forget_new_refs()
                raise

    def forget_refs(self) -> None:
        """Begin to number refs anew, in both directions: for a codec that reads what it has written itself."""
        self._forget_new_refs()
        self._ref_numbers.clear()
        self._refs.clear()

    def _try(self, value: object, name: str) -> bytes:
        try:
            return self._encoder.encode(value)
        except BodyTooLarge:
            self._forget_new_refs()
            raise
        except Exception as error:  # a value of the user's may raise anything when it is looked at
            self._forget_new_refs()
            raise WireError(f"{name} cannot travel: {error}") from error

    def _forget_new_refs(self) -> None:
        """Take back the numbers of refs that no body has defined, when the body that would have was not made."""
        for ref in self._new_refs:
            del self._ref_numbers[ref.node, ref.generation, ref.uid]
            if ref.endpoint:
                self._told.discard((ref.node, ref.generation))
        self._new_refs = []

    def _encode_hook(self, value: object) -> object:
        if type(value) is OutOfBandPayload:
            self._out_of_band_payloads += 1
            self._payloads_with_headers += type(value.value) is ToldWithHeaders
            return value.payload
        if type(value) is ToldWithHeaders:
            self._payloads_with_headers += 1
            return value.message
        if not isinstance(value, ActorRef):
            return self._encode_by_type(value)
        node, generation, path, uid = self._describe(value)
        key = (node, generation, uid)
        number = self._ref_numbers.get(key)
        if number is None:
            if max(len(node), len(path)) > NAME_CHARS_MAX:
                raise ValueError(f"the path of a ref has {NAME_CHARS_MAX} characters at most: {path:.200}...")
            if len(self._ref_numbers) >= 2 * REFS_MAX:
                raise BodyTooLarge(f"it holds more than {REFS_MAX} refs that the peer does not know")
            number = self._ref_numbers[key] = len(self._ref_numbers)
            endpoint = "" if (node, generation) in self._told else self._endpoint_of(node, generation)
            if endpoint:
                self._told.add((node, generation))
            self._new_refs.append(RefDefinition(number, node, generation, path, uid, endpoint))
        return msgspec.msgpack.Ext(REF_CODE, number.to_bytes(REF_BYTES, "big"))

    def _encode_by_type(self, value: object) -> object:
        if is_number(value):
            return value.item()
        found = value if type(value) is Encoded else encoded(value)
        if found is None:
            return msgspec.msgpack.Ext(BUFFER_CODE, write_buffer(value))
        return msgspec.msgpack.Ext(CODEC_CODE, self._encoder.encode((found.tag, found.payload)))

    # --- in ----------------------------------------------------------------------------------------------------------

    def open(self, body: bytes | bytearray | memoryview) -> Body:
        """Take a body apart and apply its definitions.

        Raises ``WireError`` for anything that is no body, or defines what it must not, and ``PeerOverLimit`` for more
        definitions than the account has room for; nothing is applied then.
        """
        try:
            opened = _decode_body(body)
        except Exception:  # noqa: BLE001  decoded once more, by the function that makes one error of every one
            opened = decode_untrusted(_decode_body, body, "the body of a frame")
        for tag in opened.tags:
            if not self._tags_from <= tag.number < TAGS_FROM + TAGS_MAX:
                raise WireError(
                    f"the body defines {tag.number} as a message type: "
                    f"only {self._tags_from} to {TAGS_FROM + TAGS_MAX - 1} can be defined"
                )
        for ref in opened.refs:
            if ref.number >= 2 * REFS_MAX:
                raise WireError(f"the body defines {ref.number} as an actor: only 0 to {2 * REFS_MAX - 1} can be")
        for _, headers in opened.headers:
            if problem := over_limit(headers):
                raise WireError(problem)
        if opened.tags or opened.refs:
            self._charge_definitions(opened)
        for tag in opened.tags:
            self._types[tag.number] = _type_of(tag)
            self.readers.pop(tag.number, None)
        for ref in opened.refs:
            self._refs[ref.number] = self._ref_of(ref)
        return opened

    def _charge_definitions(self, opened: Body) -> None:
        if self.account is None:
            return
        new = {(0, tag.number) for tag in opened.tags if tag.number not in self._types}
        new |= {(1, ref.number) for ref in opened.refs if ref.number not in self._refs}
        self.account.take("definitions", len(new))
        self.defined += len(new)

    def close(self) -> None:
        """Forget the numbers that the peer has defined."""
        self._types.clear()
        self._refs.clear()
        self.readers.clear()
        if self.account is not None:
            self.account.give_back("definitions", self.defined)
        self.defined = 0

    def read(self, number: int, payload: msgspec.Raw, taken: TakenBuffers = NO_BUFFERS) -> Message[object]:
        """Decode a message; raises ``WireError`` naming the type and the field.

        taken: the buffers that came out of band, by number.
        """
        type_ = self._types.get(number)
        if type_ is None:
            raise WireError(f"the number {number} was never defined as a message type in this session")
        if isinstance(type_, WireError):
            raise WireError(str(type_))  # a new one: an exception keeps every place where it was raised
        message = cast("Message[object]", self._decode(type_, payload, type_.__qualname__, taken))
        if not taken:
            self.readers[number] = cast("Callable[[msgspec.Raw], Message[object]]", self._decoders[type_].decode)
        return message

    def name_of(self, number: int) -> str:
        """Return the name of the message type that the peer has given this number."""
        type_ = self._types.get(number)
        return "a message of unknown type" if type_ is None or isinstance(type_, WireError) else type_.__qualname__

    def sent(self, body: bytes) -> list[tuple[int, str, bool]]:
        """Return target uid and type name of each message in a body that this side made, and whether it is an ask."""
        names = {number: type_.__qualname__ for type_, number in self.numbers.items()}
        items = decode_untrusted(_decode_body, body, "a body of this node").items
        return [
            (to, names[number], bool(correlation)) for to, correlation, number, _ in items if to and number in names
        ]

    def read_reply(self, asked: type, payload: msgspec.Raw, taken: TakenBuffers = NO_BUFFERS) -> object:
        """Decode the reply to a message of type ``asked``; raises ``WireError`` naming both."""
        return self._decode(reply_annotation(asked), payload, f"the reply to {asked.__qualname__}", taken)

    def write(self, value: object, name: str) -> bytes:
        """Return a value alone, as ``read_as`` reads it; raises ``WireError`` with ``name`` in its text."""
        try:
            return self._try(value, name)
        finally:
            self._forget_new_refs()

    def write_datagram(self, message: Message[object]) -> bytes:
        """Return a message with its tag, as ``read_datagram`` reads it: it defines no numbers, and has no refs.

        Raises ``WireError`` for a message that cannot be sent so.
        """
        _check_travels(type(message))
        try:
            return _datagram_encoder.encode((tag_of(type(message)), message))
        except Exception as error:  # a value of the user's may raise anything when it is looked at
            raise WireError(f"{type(message).__qualname__} cannot travel as a datagram: {error}") from error

    def read_datagram(self, body: Buffer) -> Message[object]:
        """Decode a message that came by itself; raises ``WireError`` naming the type and the field."""
        tag, payload = decode_untrusted(_decode_datagram, body, "a datagram")
        type_ = message_class(tag)
        if type_ is None or type_.__local__:
            raise WireError(f"a datagram holds a {tag:.200}, which is no message type here that travels")
        return cast("Message[object]", self.read_as(type_, payload, f"the datagram {type_.__qualname__}"))

    def read_as(self, annotation: object, payload: msgspec.Raw, name: str) -> object:
        """Decode a value of any type that can be sent; raises ``WireError`` with ``name`` in its text."""
        return self._decode(annotation, payload, name)

    def _decode(self, type_: object, payload: msgspec.Raw, name: str, taken: TakenBuffers = NO_BUFFERS) -> object:
        if taken:
            return self._decode_with(type_, payload, name, taken)
        decoder = self._decoders.get(type_)
        if decoder is None:
            decoder = self._decoders[type_] = decode_untrusted(self._make_decoder, type_, name)
        try:
            return decode_untrusted(decoder.decode, payload, name)
        except WireError:
            if not is_polymorphic(type_):
                raise
        plain = decode_untrusted(self._untyped.decode, payload, name)
        return decode_untrusted(partial(_convert, type_), plain, name)

    def _make_decoder(self, type_: object) -> msgspec.msgpack.Decoder[object]:
        """Make the decoder of a type; that fails for an annotation that msgspec does not take."""
        wanted = cast("type[object]", type_)
        return msgspec.msgpack.Decoder(wanted, dec_hook=expected, ext_hook=self._extension_hook)

    def _decode_with(self, type_: object, payload: msgspec.Raw, name: str, taken: TakenBuffers) -> object:
        """Decode a payload whose buffers came out of band: first into plain values, then into its type.

        One step is not enough: msgspec takes no extension where the annotation says bytes.
        """
        self._taken = taken
        try:
            plain = decode_untrusted(self._untyped.decode, payload, name)
        finally:
            self._taken = NO_BUFFERS
        return decode_untrusted(partial(_convert, type_), plain, name)

    def _extension_hook(self, code: int, data: memoryview) -> object:
        if code == BUFFER_CODE:
            return read_buffer(data, self._buffer)
        if code == CODEC_CODE:
            content = decode_untrusted(self._untyped.decode, data, "the extension 3", ValueError)
            if not isinstance(content, list) or len(cast("list[object]", content)) != 2:
                raise ValueError("the extension 3 has a tag and a payload")
            return decoded(*cast("list[object]", content))
        if code != REF_CODE or len(data) != REF_BYTES:
            raise ValueError(f"the extension {code} of {len(data)} bytes is no ref")
        number = int.from_bytes(data, "big")
        ref = self._refs.get(number)
        if ref is None:
            raise ValueError(f"the number {number} was never defined as an actor in this session")
        return ref

    def _buffer(self, number: int) -> memoryview:
        buffer = self._taken.get(number)
        if buffer is None:
            raise ValueError(f"buffer {number} did not come")
        return buffer


def _check_travels(type_: type) -> None:
    if not hasattr(type_, "__reply__"):
        raise WireError(f"{type_.__qualname__} is no Message: only messages travel")
    if cast("type[Message[object]]", type_).__local__:
        raise WireError(f"{type_.__qualname__} says local=True: it does not leave its node")


def _headers_of(payload: object) -> dict[str, bytes] | None:
    value = payload.value if type(payload) is OutOfBandPayload else payload
    return value.headers if isinstance(value, ToldWithHeaders) else None


def _convert(type_: object, plain: object) -> object:
    """Make a value of a type from plain values; where msgspec cannot, and it has polymorphic fields, part by part."""
    try:
        return _convert_exactly(type_, plain)
    except Exception:
        if not is_polymorphic(type_):
            raise
    return build(type_, plain, _convert_exactly)


def _convert_exactly(type_: object, plain: object) -> object:
    wanted = cast("type[object]", type_)
    convert = partial(msgspec.convert, type=wanted, builtin_types=_AS_THEY_ARE, dec_hook=expected)
    return convert(plain)  # within the decode_untrusted of its caller, whose text names the whole


def _type_of(tag: TagDefinition) -> type[Message[object]] | WireError:
    type_ = message_class(tag.tag)
    if type_ is None:
        return WireError(f"this node has loaded no message type {tag.tag}: import the module that defines it")
    if type_.__local__:
        return WireError(f"{tag.tag} says local=True: no other node may send it")
    if fingerprint(type_) != tag.fingerprint:
        return WireError(
            f"the fields of {tag.tag} differ between the two nodes; here they are {'; '.join(fields_of(type_))}: "
            "run one version of the module that defines it on both"
        )
    return type_


def _unencodable_part(value: object, encode: Callable[[object], object]) -> str:
    """Return the path to the innermost part that ``encode`` refuses, such as ``.order.lines[2].price``.

    Empty when only the whole is refused.
    """
    path = ""
    for _ in range(PATH_STEPS_MAX):
        found = next(((step, part) for step, part in _parts(value) if not _is_encodable(part, encode)), None)
        if found is None:
            break
        step, value = found
        path += step
    return path


def _is_encodable(part: object, encode: Callable[[object], object]) -> bool:
    try:
        encode(part)
    except Exception:  # noqa: BLE001  a user's value may raise anything when it is read
        return False
    return True


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield f".{name}", getattr(value, name, None)
    elif isinstance(value, Mapping):
        for key, part in cast("Mapping[object, object]", value).items():
            yield f"[key {key!r:.40}]", key
            yield f"[{key!r:.40}]", part
    elif isinstance(value, list | tuple | set | frozenset):
        for index, part in enumerate(cast("list[object]", value)):
            yield f"[{index}]", part
