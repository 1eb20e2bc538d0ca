"""Endpoints that peers tell: which may be dialled (PURE).

A peer tells endpoints in its greeting and in what its cluster gossips.  They are checked by length and form before
anything else is done with them.  Host names are not among them: a name that a peer tells would have this node look
names up for it.  Names come from this node's own configuration alone.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

ENDPOINT_CHARS_MAX: Final = 500
PORT_MAX: Final = 65_535
PORT_DIGITS_MAX: Final = 5
CACHED_MAX: Final = 4_096
"""Endpoints whose form is remembered: members tell theirs with each probe."""
SHOWN_CHARS_MAX: Final = 80
"""The longest text of a peer that is shown in an error."""


def read_port(text: str) -> int | None:
    """Return the port that a text names, 0 included; None when it names none.  No number is made of a long text."""
    if not (text.isascii() and text.isdecimal() and len(text) <= PORT_DIGITS_MAX):
        return None
    port = int(text)
    return port if port <= PORT_MAX else None


def is_address(host: str) -> bool:
    """Whether the host of an endpoint is an IP address, of version 6 in brackets, and no name."""
    is_ipv6 = host.startswith("[") and host.endswith("]")
    try:
        ipaddress.IPv6Address(host[1:-1]) if is_ipv6 else ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def endpoint_problem(endpoint: str) -> str:
    """Return why an endpoint that a peer told must not be dialled, in one clause; empty when it may be."""
    if not 0 < len(endpoint) <= ENDPOINT_CHARS_MAX:
        return f"an endpoint of {len(endpoint)} characters, 1 to {ENDPOINT_CHARS_MAX} are allowed"
    return _form_problem(endpoint)


@lru_cache(CACHED_MAX)
def _form_problem(endpoint: str) -> str:
    shown = repr(endpoint[:SHOWN_CHARS_MAX])
    scheme, separator, rest = endpoint.partition("://")
    if not separator or not scheme or not rest or not endpoint.isprintable() or " " in endpoint:
        return f"the endpoint {shown} is not of the form SCHEME://PLACE"
    if scheme == "tcp":
        host, _, port = rest.rpartition(":")
        if not read_port(port) or not is_address(host) or "%" in host:  # a zone holds on one host only
            return f"the endpoint {shown} is not tcp://ADDRESS:PORT; peers tell addresses, no names"
        if ipaddress.ip_address(host.strip("[]")).is_unspecified:
            return f"the endpoint {shown} is one to listen at, not to connect to"
    if scheme == "ipc" and rest[0] in "@*":
        return f"the endpoint {shown} is not ipc:///PATH or ipc://NAME"
    return ""
