"""Bytes and texts from outside: decoded with one kind of error, and escaped before they are shown (PURE)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .errors import WireError

D = TypeVar("D")
T = TypeVar("T")
PROBLEM_CHARS_MAX = 500
"""Characters of the decoder's own text in an error."""
BAR = "  | "
"""Stands before the further lines of a text of several lines."""


def decode_untrusted(decode: Callable[[D], T], data: D, what: str, error: Callable[[str], Exception] = WireError) -> T:
    """Decode bytes that came from outside; whatever goes wrong is one kind of error.

    A decoder fails in many ways: wrong values, text that is no UTF-8, nesting beyond the stack, numbers out of range,
    no memory for a length that was claimed, and anything that a class raises when it checks its fields.

    decode: called with ``data``.  what: names the data in the error, "the body of a frame".
    error: makes the error of a text; by default a ``WireError``.  Raises it for every ``Exception`` of ``decode``.
    """
    try:
        return decode(data)
    except Exception as problem:
        raise error(f"{what} came in wrong: {_text_of(problem)}") from problem


def escaped(text: str) -> str:
    r"""Return a text in one line, with ``\n``, ``\x1b``, ``\u202e`` in place of the characters that are not printed.

    They would begin a new line, which could pass for another record of a log, give orders to a terminal, or turn the
    direction of the text around.
    """
    return text if text.isprintable() else "".join(sign if sign.isprintable() else _escape(sign) for sign in text)


def escaped_lines(text: str) -> str:
    """Return a text with each of its lines ``escaped``, and those after the first marked by an indented bar."""
    first, *others = map(escaped, text.split("\n"))
    return "\n".join([first, *map(marked_line, others)])


def marked_line(line: str) -> str:
    """Return a line with the bar of ``escaped_lines`` before it, which it may have already."""
    return line if line.startswith(BAR) else f"{BAR}{line}"


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def _text_of(problem: Exception) -> str:
    try:
        text = str(problem)
    except Exception:  # noqa: BLE001  the text of a user's error may raise anything
        text = ""
    return f"{text or type(problem).__qualname__:.{PROBLEM_CHARS_MAX}}"
