"""Snapshots of a state as bytes, with the version and the fingerprints of what made it (PURE)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ...kernel.errors import ActorError, WireError
from ...kernel.untrusted import decode_untrusted


class SnapshotUnreadable(ActorError):
    """The snapshot was made by another version of the state, and the events before it are gone; says how to go on."""


class _Saved(msgspec.Struct, tag="trouper.snapshot", tag_field="format", omit_defaults=False):
    """A snapshot.  version: ``state_version``.  shape, rules: fingerprints.  state: encoded by msgspec."""

    version: int
    shape: str
    rules: str
    state: msgspec.Raw


_saved = msgspec.msgpack.Decoder(_Saved)
_untyped = msgspec.msgpack.Decoder()


@dataclass(frozen=True, slots=True)
class StateCodec:
    """Encodes the state of one actor class.

    type_: of the state.  version, shape, rules: of the class, as it is now.
    """

    type_: object
    version: int
    shape: str
    rules: str

    def encode(self, state: object) -> bytes:
        """Return a state as bytes; raises whatever its encoding raises."""
        raw = msgspec.Raw(msgspec.msgpack.encode(state))
        return msgspec.msgpack.encode(_Saved(self.version, self.shape, self.rules, raw))

    def open(self, payload: bytes, sequence: int) -> OpenedSnapshot:
        """Compare a snapshot with the class as it is now; its state is decoded by ``state`` or ``fields``."""
        try:
            saved = decode_untrusted(_saved.decode, payload, "it is no snapshot of an event-sourced actor: it")
        except WireError as error:
            return OpenedSnapshot(self, sequence, None, str(error), same_rules=False)
        if saved.version != self.version:
            difference = f"it was made by state_version={saved.version}, now it is {self.version}"
        elif saved.shape != self.shape:
            difference = "its state has other fields or types of fields"
        else:
            difference = ""
        return OpenedSnapshot(self, sequence, saved, difference, same_rules=saved.rules == self.rules)


@dataclass(frozen=True, slots=True)
class OpenedSnapshot:
    """A snapshot whose state is not decoded yet.

    sequence: of the last event that it stands for.  difference: why its state is not of the present type and version,
    "" when it is.  same_rules: whether the code that made it is the present code.
    """

    codec: StateCodec
    sequence: int
    saved: _Saved | None
    difference: str
    same_rules: bool

    @property
    def version(self) -> int | None:
        """The ``state_version`` that made it; None when it is no snapshot of an event-sourced actor."""
        return None if self.saved is None else self.saved.version

    def state(self) -> object:
        """Decode the state as the present type; raises ``WireError``."""
        decoder = msgspec.msgpack.Decoder(self.codec.type_)
        return decode_untrusted(decoder.decode, self._raw(), "the state")

    def fields(self) -> object:
        """Decode the state without a type: as dicts, lists, numbers, text and bytes."""
        return decode_untrusted(_untyped.decode, self._raw(), "the state")

    def _raw(self) -> msgspec.Raw:
        return msgspec.Raw() if self.saved is None else self.saved.state
