"""The loggers of the package: each escapes what it writes, because texts of peers and of users come into its records.

A record is one line, unless an argument of it is ``Lines``, or it has a traceback: their further lines are marked by an
indented bar.  So no text, whatever it contains, passes for a record of its own or gives orders to a terminal.
"""

from __future__ import annotations

import logging
import traceback
from typing import Self

from .output import unblock_handlers
from .untrusted import escaped, escaped_lines, marked_line

TRACE_CHARS_MAX = 8_000
"""Characters of a traceback in a record; of a longer one only the end is written."""


class Lines(str):
    """A text of several lines, as an argument of a record: a report with its traceback."""

    __slots__ = ()


class _Escape(logging.Filter):
    """Escapes the arguments and the traceback of a record; it refuses none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Escape a record in place, and have no handler wait for a reader."""
        unblock_handlers(logging.getLogger(record.name))
        if isinstance(record.args, tuple):
            record.args = tuple(map(_escaped_argument, record.args))
        if record.exc_text is None and record.exc_info and record.exc_info[1] is not None:
            record.exc_text = _traceback(record.exc_info[1])
        if record.exc_text is not None:
            record.exc_text = marked_line(escaped_lines(record.exc_text))
        return True


_escape = _Escape()


def get_log(name: str) -> logging.Logger:
    """Return the logger of this name, which escapes its records; the modules of the package have no others."""
    log = logging.getLogger(name)
    log.addFilter(_escape)  # one object: a logger that has it already stays as it is
    return log


def _escaped_argument(value: object) -> object:
    if isinstance(value, int | float):
        return value
    text = _text(value)
    return escaped_lines(text) if isinstance(value, Lines) else _Shown(escaped(text), value)


class _Shown(str):
    """The escaped text of an argument; its ``repr``, for ``%r``, is that of the argument itself, escaped too."""

    __slots__ = ("_value",)
    _value: object

    def __new__(cls, text: str, value: object) -> Self:
        made = super().__new__(cls, text)
        made._value = value
        return made

    def __repr__(self) -> str:
        try:
            return escaped(repr(self._value))
        except Exception as broken:  # noqa: BLE001  the repr of a user's value may raise anything
            return f"<{type(self._value).__qualname__}, whose repr raised {type(broken).__qualname__}>"


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as broken:  # noqa: BLE001  the text of a user's value may raise anything
        return f"<{type(value).__qualname__}, whose text raised {type(broken).__qualname__}>"


def _traceback(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error)).rstrip()
    except Exception as broken:  # noqa: BLE001  the text of a user's error may raise anything
        text = f"{type(error).__qualname__} (its text raised {type(broken).__qualname__})"
    return text if len(text) <= TRACE_CHARS_MAX else f"[...]{text[-TRACE_CHARS_MAX:]}"
