"""Reports: logs crashes and problems, with texts that are bounded in size.

A report that formats a huge message in full could bring down its node; no text here exceeds ``REPORT_CHARS_MAX``.
Other parts of the runtime subscribe by ``on_crash`` and ``on_letter``.
"""

from __future__ import annotations

import dataclasses
import reprlib
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import msgspec

from ..kernel.ask import Envelope, content
from ..kernel.logs import Lines, get_log
from ..kernel.message import Message
from ..kernel.redaction import REDACTED, secret_names
from ..kernel.ref import DeadLetter

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..kernel.ref import ActorRef

REPORT_CHARS_MAX = 8_000
"""Characters of a whole report."""
MESSAGE_CHARS_MAX = 2_000
"""Characters of a message in a report."""
BRIEF_CHARS_MAX = 1_000
"""Characters of a failure in one line."""
OVERLOAD_SILENCE_S = 60.0
"""Seconds after a warning of an actor's long mailbox before the next one of the same actor."""
OVERLOADED_MAX = 1_000
"""Actors whose last such warning is remembered."""
FRAMES_MAX = 40
"""Frames of a traceback in a report, the innermost ones."""

FIELDS_MAX = 20
"""Fields of a message in a report."""

log = get_log("trouper")


class Reports:
    """The reporter of a node: logs problems and crashes, and calls the subscribers.

    on_crash: called with the cell, the error and the text of the report.  on_letter: called with each dead letter.
    """

    def __init__(self) -> None:
        self.on_crash: list[Callable[[Cell, BaseException, str], None]] = []
        self.on_letter: list[Callable[[DeadLetter], None]] = []
        self._overload_warned: dict[int, float] = {}
        """When each actor was last warned of, by its uid."""

    def problem(self, text: str, error: BaseException | None = None) -> None:
        """Log a problem that the runtime has dealt with, with the traceback of ``error`` if there is one."""
        log.warning("%s%s", text, Lines("" if error is None else f"\n{trace(error)}"))

    def overload(self, cell: Cell, sender: Cell | None, queued: int) -> None:
        """Warn that a tenth of its mailbox's limit waits for an actor; once in ``OVERLOAD_SILENCE_S`` for each."""
        now = cell.system.loop.time()
        if now < self._overload_warned.get(cell.uid, -OVERLOAD_SILENCE_S) + OVERLOAD_SILENCE_S:
            return
        while len(self._overload_warned) >= OVERLOADED_MAX:
            del self._overload_warned[next(iter(self._overload_warned))]
        self._overload_warned[cell.uid] = now
        log.warning(
            "%s has %d messages queued, a tenth of its limit of %d; the last came from %s: await tell(), or see "
            "Mailbox(when_full=...)",
            cell.address, queued, cell.spec.mailbox.limit,
            "outside of the actors of this node" if sender is None else sender.address,
        )  # fmt: skip

    def crash(self, cell: Cell, error: BaseException, message: object) -> None:
        """Log the failure of an actor with its traceback.  message: what it handled; None for no message."""
        doing = "" if message is None else f" handling {bounded_repr(message)}"
        text = f"{cell.address} failed{doing}\n{trace(error)}"
        log.warning("%s", Lines(text))
        for subscriber in self.on_crash:
            try:
                subscriber(cell, error, text)
            except Exception:  # a failing subscriber must not prevent the restart of the actor
                log.exception("%r, called with a crash report, failed", subscriber)

    def letter(self, item: object, target: ActorRef, reason: str, error: BaseException | None, *, asked: bool) -> None:
        """Call the subscribers with a dead letter; it is built only if there are any."""
        if self.on_letter:
            text = None if error is None else brief(error)
            headers = item.headers if isinstance(item, Envelope) else None
            letter = DeadLetter(cast("Message[object]", content(item)), target, reason, text, asked, headers)
            for subscriber in self.on_letter:
                try:
                    subscriber(letter)
                except Exception:  # a failing subscriber must not stop the actor that lost the message
                    log.exception("%r, called with a dead letter, failed", subscriber)

    def brief(self, error: BaseException) -> str:
        """Return a failure in one line, bounded in size."""
        return brief(error)

    def trace(self, error: BaseException) -> str:
        """Return the traceback of a failure, bounded in size."""
        return trace(error)


def trace(error: BaseException) -> str:
    """Return a traceback as text; of a long one only the end."""
    try:
        text = "".join(traceback.TracebackException.from_exception(error, limit=-FRAMES_MAX).format())
    except Exception as broken:  # noqa: BLE001  the text of a user's error may raise anything
        text = f"{type(error).__qualname__} (its text raised {type(broken).__qualname__})"
    text = text.rstrip()
    return text if len(text) <= REPORT_CHARS_MAX else f"[...]{text[-REPORT_CHARS_MAX:]}"


def brief(error: BaseException) -> str:
    """Return a failure in one line, bounded in size."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001  the text of a user's error may raise anything
        text = f"(its text raised {type(broken).__qualname__})"
    return f"{type(error).__qualname__}: {bounded(text, BRIEF_CHARS_MAX)}"


def bounded(text: str, chars_max: int) -> str:
    """Return a text, cut to ``chars_max`` characters with a note of its length."""
    return text if len(text) <= chars_max else f"{text[:chars_max]}[... {len(text)} characters in all]"


class _Bounded(reprlib.Repr):
    """A ``reprlib.Repr`` that also bounds bytes, structs and dataclasses before their text is built."""

    def repr_bytes(self, value: bytes | bytearray, level: int) -> str:  # noqa: ARG002  reprlib passes it
        """Cut before the text is built."""
        if len(value) <= self.maxother:
            return repr(value)
        return f"{bytes(value[: self.maxother])!r}[... {len(value)} bytes in all]"

    repr_bytearray = repr_bytes

    def repr_memoryview(self, value: memoryview, level: int) -> str:  # noqa: ARG002  reprlib passes it
        """Show the size."""
        return f"<memoryview of {value.nbytes} bytes>"

    def repr_instance(self, x: object, level: int) -> str:
        """Show structs and dataclasses by their fields, all else, and those with a ``repr`` of their own, by that."""
        if level <= 0:
            return f"{type(x).__qualname__}(...)"
        if isinstance(x, msgspec.Struct) and type(x).__repr__ in _REPRS_OF_FIELDS:
            return self._by_fields(x, x.__struct_fields__, level)
        if dataclasses.is_dataclass(x) and not isinstance(x, type) and _has_made_repr(type(x)):
            return self._by_fields(x, tuple(field.name for field in dataclasses.fields(x)), level)
        return super().repr_instance(x, level)

    def _by_fields(self, value: object, names: tuple[str, ...], level: int) -> str:
        hidden = secret_names(type(value))
        shown = ", ".join(
            f"{name}={REDACTED if name in hidden else self.repr1(getattr(value, name), level - 1)}"
            for name in names[:FIELDS_MAX]
        )
        return f"{type(value).__qualname__}({shown}{', ...' if len(names) > FIELDS_MAX else ''})"


_REPRS_OF_FIELDS = (msgspec.Struct.__repr__, Message.__repr__)


def _has_made_repr(cls: type) -> bool:
    """Whether the ``repr`` of a dataclass is the one that the decorator made."""
    return hasattr(cls.__repr__, "__wrapped__")  # the decorator wraps it, against rings of values


_bounded_repr = _Bounded()


def bounded_repr(value: object) -> str:
    """Return the text of a message without building more of it than is returned."""
    try:
        return bounded(_bounded_repr.repr(value), MESSAGE_CHARS_MAX)
    except Exception as broken:  # noqa: BLE001  the repr of a user's value may raise anything
        return f"<{type(value).__qualname__}, whose repr raised {type(broken).__qualname__}>"
