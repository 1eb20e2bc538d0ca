"""Reports: what the runtime says when something went wrong, bounded in size whatever it is about.

A crash report that formats a huge mailbox or message can bring down the node that it reports on; here nothing longer
than ``REPORT_CHARS_MAX`` is ever built.  Others subscribe through ``on_crash`` and ``on_letter``.
"""

from __future__ import annotations

import dataclasses
import logging
import reprlib
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import msgspec

from ..kernel.ref import DeadLetter

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..kernel.message import Message
    from ..kernel.ref import ActorRef

REPORT_CHARS_MAX = 8_000
"""Characters of a whole report."""
MESSAGE_CHARS_MAX = 2_000
"""Characters of a message in a report."""
BRIEF_CHARS_MAX = 1_000
"""Characters of a failure told in one line."""
FRAMES_MAX = 40
"""Frames of a traceback that are shown, the innermost ones."""

FIELDS_MAX = 20
"""Fields of a message that are shown."""

log = logging.getLogger("trouper")


class Reports:
    """The reporter of a node: logs problems and crashes, and tells whoever subscribed."""

    def __init__(self) -> None:
        self.on_crash: list[Callable[[Cell, BaseException, str], None]] = []
        self.on_letter: list[Callable[[DeadLetter], None]] = []

    def problem(self, text: str, error: BaseException | None = None) -> None:
        """Log something that went wrong and is dealt with."""
        log.warning("%s%s", text, "" if error is None else f"\n{trace(error)}")

    def crash(self, cell: Cell, error: BaseException, message: object) -> None:
        """Log a failure with its traceback."""
        doing = "" if message is None else f" handling {bounded_repr(message)}"
        text = f"{cell.address} failed{doing}\n{trace(error)}"
        log.warning("%s", text)
        for subscriber in self.on_crash:
            try:
                subscriber(cell, error, text)
            except Exception:  # one who listens badly must not keep an actor from being restarted
                log.exception("%r failed to take a crash report", subscriber)

    def letter(
        self, message: object, target: ActorRef, reason: str, error: BaseException | None, *, asked: bool
    ) -> None:
        """Tell subscribers of a dead letter; without any it costs one look at a list."""
        if self.on_letter:
            text = None if error is None else brief(error)
            letter = DeadLetter(cast("Message[object]", message), target, reason, text, asked)
            for subscriber in self.on_letter:
                try:
                    subscriber(letter)
                except Exception:  # one who listens badly must not keep an actor from its next message
                    log.exception("%r failed to take a dead letter", subscriber)

    def brief(self, error: BaseException) -> str:
        """One line for a failure."""
        return brief(error)

    def trace(self, error: BaseException) -> str:
        """Return the traceback of a failure, bounded in size."""
        return trace(error)


def trace(error: BaseException) -> str:
    """Format a traceback, keeping its end when it is long."""
    try:
        text = "".join(traceback.TracebackException.from_exception(error, limit=-FRAMES_MAX).format())
    except Exception as broken:  # noqa: BLE001  an error whose own text raises must not hide that there was an error
        text = f"{type(error).__qualname__} (its text cannot be had: {type(broken).__qualname__})"
    text = text.rstrip()
    return text if len(text) <= REPORT_CHARS_MAX else f"[...]{text[-REPORT_CHARS_MAX:]}"


def brief(error: BaseException) -> str:
    """One line for a failure."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001  an error whose own text raises must not hide that there was an error
        text = f"(its text cannot be had: {type(broken).__qualname__})"
    return f"{type(error).__qualname__}: {bounded(text, BRIEF_CHARS_MAX)}"


def bounded(text: str, chars_max: int) -> str:
    """Cut a text to a length, saying so."""
    return text if len(text) <= chars_max else f"{text[:chars_max]}[... {len(text)} characters in all]"


class _Bounded(reprlib.Repr):
    """``reprlib`` knows the containers; this adds what it would call ``repr`` on in full, whatever its size."""

    def repr_bytes(self, value: bytes | bytearray, level: int) -> str:  # noqa: ARG002  reprlib passes it
        """Cut before the repr is made, not after it."""
        if len(value) <= self.maxother:
            return repr(value)
        return f"{bytes(value[: self.maxother])!r}[... {len(value)} bytes in all]"

    repr_bytearray = repr_bytes

    def repr_memoryview(self, value: memoryview, level: int) -> str:  # noqa: ARG002  reprlib passes it
        """A view has no text of its own."""
        return f"<memoryview of {value.nbytes} bytes>"

    def repr_instance(self, x: object, level: int) -> str:
        """Show structs and dataclasses by their fields; what else has a repr of its own is asked for it."""
        if level <= 0:
            return f"{type(x).__qualname__}(...)"
        if isinstance(x, msgspec.Struct):
            return self._by_fields(x, x.__struct_fields__, level)
        if dataclasses.is_dataclass(x) and not isinstance(x, type):
            return self._by_fields(x, tuple(field.name for field in dataclasses.fields(x)), level)
        return super().repr_instance(x, level)

    def _by_fields(self, value: object, names: tuple[str, ...], level: int) -> str:
        shown = ", ".join(f"{name}={self.repr1(getattr(value, name), level - 1)}" for name in names[:FIELDS_MAX])
        return f"{type(value).__qualname__}({shown}{', ...' if len(names) > FIELDS_MAX else ''})"


_bounded_repr = _Bounded()


def bounded_repr(value: object) -> str:
    """Show a message without building more text than is shown, however large its fields are."""
    try:
        return bounded(_bounded_repr.repr(value), MESSAGE_CHARS_MAX)
    except Exception as broken:  # noqa: BLE001  a value whose own repr raises must not hide what is reported
        return f"<{type(value).__qualname__}, whose repr raised {type(broken).__qualname__}>"
