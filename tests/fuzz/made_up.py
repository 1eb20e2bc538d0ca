"""Values, messages, bodies and frames made up from bytes, after the types that the wire has."""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from trouper import ActorRef
from trouper.runtime.session import frames
from trouper.runtime.session.codec import REF_CODE

DEPTH_MAX = 6
LONG_MAX = 300
"""Elements of the longest lists, and characters of the longest texts; bytes of the fuzzer are few."""
NUMBERS = (0, 1, 2, 3, 7, 64, 255, 512, 513, 65_536, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -1, -(2**63))
FLOATS = (0.0, 1.0, -1.0, 1e-9, 3.5, 1e308, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "", "a", "ada", "user", "user/ada", "system/cluster", "victim", "victim.worker-1", "inprocess://x",
    "inprocess://eve", "tcp://127.0.0.1:99999", "tcp://h:" + "9" * 40, "trouper:x", "trouper://victim/user/ada#1",
    "\x1b[2J\n\u202e", "\0", "é" * 40, "tests.runtime.net.stage:Clerk", "os:system", "builtins:eval", "x" * 5_000,
    "../..", "failed", "stop", "kill", "drain",
)  # fmt: skip


class Choices:
    """Decisions from bytes: the same bytes decide alike, and without bytes each decision is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def below(self, n: int) -> int:
        """A number from 0 to n - 1."""
        size = 1 if n <= 256 else 2
        piece = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(piece, "big") % n

    def one_in(self, n: int) -> bool:
        """Whether something happens that happens seldom; never without bytes."""
        return bool(self) and self.below(n) == 1

    def of(self, options: Sequence[Any]) -> Any:  # Any: whatever the options are
        """One of these."""
        return options[self.below(len(options))]

    def few(self) -> int:
        """How many of something: mostly none to three, seldom many."""
        return self.below(LONG_MAX) if self.one_in(40) else self.below(4)

    def some_bytes(self) -> bytes:
        """A few bytes; seldom many."""
        if self.one_in(40):
            return bytes([self.below(256)]) * self.below(5_000)
        size = self.below(9)
        piece = self._data[self._at : self._at + size]
        self._at += size
        return piece


def value_of(kind: Any, choose: Choices, depth: int = 0) -> object:  # Any: a type or an annotation
    """Return a value of a type, as it is encoded; one in 25 is of another type, or beyond its bounds."""
    if depth > DEPTH_MAX or choose.one_in(25):
        return anything(choose, depth)
    origin = get_origin(kind)
    if origin is Annotated:
        return value_of(get_args(kind)[0], choose, depth)
    if origin in (Union, types.UnionType):
        return value_of(choose.of(get_args(kind)), choose, depth + 1)
    if origin is Literal:
        return choose.of(get_args(kind))
    if origin in (list, tuple, set, frozenset, Sequence) or kind in (list, tuple):
        return _row_of(kind, choose, depth)
    if origin is dict or kind is dict:
        key, value = get_args(kind) or (str, object)
        return {
            _hashable(value_of(key, choose, depth + 1)): value_of(value, choose, depth + 1) for _ in range(choose.few())
        }
    return _plain_of(kind, choose, depth)


def _plain_of(kind: Any, choose: Choices, depth: int) -> object:  # Any: as above
    makers: dict[object, Callable[[], object]] = {
        int: lambda: choose.below(50) if choose.below(3) else choose.of(NUMBERS),
        float: lambda: choose.of(FLOATS),
        bool: lambda: bool(choose.below(2)),
        str: lambda: choose.of(TEXTS),
        bytes: choose.some_bytes,
        type(None): lambda: None,
        msgspec.Raw: lambda: anything(choose, depth + 1),
    }
    if kind in makers:
        return makers[kind]()
    if isinstance(kind, type):
        if issubclass(kind, ActorRef):
            return ref(choose)
        if issubclass(kind, enum.Enum):
            return choose.of([member.value for member in kind])
        if issubclass(kind, msgspec.Struct):
            return struct_of(kind, choose, depth)
    return anything(choose, depth + 1)


def _row_of(kind: Any, choose: Choices, depth: int) -> list[object]:  # Any: as above
    args = get_args(kind) or (object, ...)
    if get_origin(kind) is tuple and args[-1] is not ...:
        return [value_of(each, choose, depth + 1) for each in args]
    return [value_of(args[0], choose, depth + 1) for _ in range(choose.few())]


def struct_of(kind: type[msgspec.Struct], choose: Choices, depth: int = 0) -> list[object] | dict[str, object]:
    """Return the fields of a struct as it is encoded: a map or an array, with its tag; sometimes one is missing."""
    config = kind.__struct_config__
    hints = get_type_hints(kind, include_extras=True)
    values = {
        encoded: value_of(hints[name], choose, depth + 1)
        for name, encoded in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
        if not choose.one_in(30)
    }
    if config.array_like:
        return [*([] if config.tag is None else [config.tag]), *values.values()]
    return values if config.tag is None else {str(config.tag_field): config.tag, **values}


def ref(choose: Choices) -> msgspec.msgpack.Ext:
    """A ref by its number, which may never have been defined."""
    return msgspec.msgpack.Ext(REF_CODE, choose.below(12).to_bytes(4, "big"))


def anything(choose: Choices, depth: int = 0) -> object:
    """Any value that msgpack has, extensions and deep nesting among them."""
    kind = choose.below(9) if depth < DEPTH_MAX else choose.below(5)
    if kind == 5:
        return [anything(choose, depth + 1) for _ in range(choose.few())]
    if kind == 6:
        return {_hashable(anything(choose, depth + 1)): anything(choose, depth + 1) for _ in range(choose.few())}
    if kind == 7:
        return msgspec.msgpack.Ext(choose.below(6), choose.some_bytes())
    if kind == 8 and choose.one_in(8):
        return msgspec.Raw(b"\x91" * (1 + choose.below(3_000)) + b"\xc0")
    return _plain_of(choose.of([int, str, bytes, float, type(None)]), choose, depth)


def _hashable(value: object) -> object:
    return value if isinstance(value, str | int | float | bytes) or value is None else str(value)[:20]


KINDS = (frames.DATA,) * 12 + (
    frames.ACK, frames.PING, frames.PONG, frames.IDLE, frames.STAY, frames.AGREE, frames.DATAGRAM, frames.HELLO,
    frames.WELCOME, frames.REFUSE, frames.BYE, 0,
)  # fmt: skip
"""Kinds of frames: mostly of data."""
