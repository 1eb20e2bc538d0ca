"""Headers: small named bytes beside a message, which its type does not declare (PURE).

The owner of a header declares it once, and says whether it *follows*: a header that follows (a trace, a deadline, a
user) goes into everything that an actor sends while it handles a message with that header; one that does not (a
fence, an idempotency key) belongs to that single message.

Laws of this file:
1. A message has at most ``HEADERS_MAX`` headers of at most ``HEADER_BYTES_MAX`` bytes in all.
2. A header of an unknown name, which only another node can send, is kept with its message and does not follow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from .errors import CallerError, InvalidOption

HEADERS_MAX = 16
"""Headers of one message."""
HEADER_BYTES_MAX = 4_096
"""Bytes of all headers of one message: names and values together."""
HEADER_NAME_CHARS_MAX = 64
DECLARED_MAX = 256
"""Header names that a process can declare."""

Headers = Mapping[str, bytes]
NO_HEADERS: Headers = MappingProxyType({})

HEADER_NAME = rf"[a-z][a-z0-9_.-]{{0,{HEADER_NAME_CHARS_MAX - 1}}}"
"""The regular expression of a header's name."""
_NAME = re.compile(HEADER_NAME)
_follows: dict[str, bool] = {}


def declare_header(name: str, *, follows: bool) -> str:
    """Declare a header, for all nodes of this process; call it where the module that owns the header is imported.

    name: 1 to 64 of ``a-z 0-9 _ . -``, a letter first.  follows: True sends the header along with every message that an
    actor sends while it handles a message with it; False leaves it with the message that it was given to.
    Returns the name.  To declare a header again, with the same ``follows``, does nothing.
    Raises ``InvalidOption`` for another name, and above 256 headers; ``CallerError`` when the header was declared with
    another ``follows``.
    """
    if not _NAME.fullmatch(name):
        raise InvalidOption(
            f"the header name {name!r:.100} must be 1 to {HEADER_NAME_CHARS_MAX} of a-z, 0-9, _, . and -, "
            "with a letter first"
        )
    if _follows.get(name, follows) is not follows:
        raise CallerError(
            f"the header {name!r} was declared with follows={not follows} already: choose another name for this one"
        )
    if name not in _follows and len(_follows) >= DECLARED_MAX:
        raise InvalidOption(f"the header {name!r} is one too many: {DECLARED_MAX} are declared already")
    _follows[name] = follows
    return name


def checked_headers(headers: Headers) -> dict[str, bytes]:
    """Return a copy of headers that a program gives to a message.

    Raises ``InvalidOption`` for a header that nobody has declared, for a value that is not bytes, and above
    ``HEADERS_MAX`` or ``HEADER_BYTES_MAX``.
    """
    for name, value in headers.items():
        if name not in _follows:
            known = ", ".join(sorted(_follows)) or "none"
            raise InvalidOption(
                f"the header {name!r:.100} is not declared: call declare_header(...) first; declared are: {known:.500}"
            )
        if type(value) is not bytes:
            raise InvalidOption(f"the header {name!r} is {value!r:.100}: a header is bytes")
    problem = over_limit(headers)
    if problem is not None:
        raise InvalidOption(f"{problem}: give this message fewer or shorter ones")
    return dict(headers)


def over_limit(headers: Headers) -> str | None:
    """Say which limit these headers exceed; None when they exceed none."""
    if len(headers) > HEADERS_MAX:
        return f"a message has {len(headers)} headers, at most {HEADERS_MAX} are allowed"
    size = sum(len(name) + len(value) for name, value in headers.items())
    if size > HEADER_BYTES_MAX:
        return f"the headers of a message take {size} bytes, at most {HEADER_BYTES_MAX} are allowed"
    return None


def following(headers: Headers | None) -> dict[str, bytes] | None:
    """Return those headers that go into what is sent while their message is handled; None for none."""
    if not headers:
        return None
    return {name: value for name, value in headers.items() if _follows.get(name)} or None
