"""Endpoints as discoveries find them: parsing, formatting and collecting, within limits (PURE).

A transport parses an endpoint in full when it is dialled.  The checks here are those that hold for every transport, so
that a bad line of a file or of an answer is reported with its place and never dialled.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable
from typing import Final

from ....lowlevel import knows_transport, transport_schemes
from .port import DiscoveryInvalid

ENDPOINT_CHARS_MAX: Final = 512
HOST_CHARS_MAX: Final = 253
"""The longest host name: RFC 1035, section 2.3.4."""
PORT_MAX: Final = 65_535
SHOWN_CHARS_MAX: Final = 80
"""The longest text that is shown in an error."""
_HOST: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_WILD: Final = ("*", "0.0.0.0", "[::]")  # noqa: S104  compared with, never bound


def shown(text: str) -> str:
    """Return a text from outside for use in a message: quoted, escaped, and cut to ``SHOWN_CHARS_MAX``."""
    return repr(text if len(text) <= SHOWN_CHARS_MAX else f"{text[:SHOWN_CHARS_MAX]}...")


def read_endpoint(text: str, schemes: Collection[str] | None = None) -> str:
    """Return an endpoint that can be dialled, in its canonical form; raises ``DiscoveryInvalid``.

    schemes: the schemes that are allowed; None for those of all registered transports.  An unauthenticated source on
        the network may give ``tcp`` only.
    """
    if len(text) > ENDPOINT_CHARS_MAX:
        raise DiscoveryInvalid(f"{shown(text)} has {len(text)} characters; {ENDPOINT_CHARS_MAX} are the limit")
    scheme, mark, rest = text.partition("://")
    if not mark or not (knows_transport(scheme) if schemes is None else scheme in schemes):
        expected = ", ".join(transport_schemes() if schemes is None else schemes)
        raise DiscoveryInvalid(f"{shown(text)} is not an endpoint: expected one of {expected}, then '://'")
    if scheme == "tcp":
        if rest.rpartition(":")[0] in _WILD:
            raise DiscoveryInvalid(f"{shown(text)} is an endpoint to listen on, not one to connect to: name a host")
        return tcp_endpoint(*read_host_and_port(rest, text))
    if not rest or not rest.isprintable() or (scheme == "ipc" and rest[0] in "@*"):
        raise DiscoveryInvalid(f"{shown(text)} is not an endpoint: expected {scheme}:// and a name")
    return text


def read_host_and_port(text: str, whole: str) -> tuple[str, int]:
    """Parse ``HOST:PORT``; return the host, an IPv6 address in its brackets, and the port from 1 to 65535.

    whole: the text for the error.  Raises ``DiscoveryInvalid``.
    """
    host, _, digits = text.rpartition(":")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= len("65535") and 0 < int(digits) <= PORT_MAX):
        raise DiscoveryInvalid(f"{shown(whole)}: expected HOST:PORT with a port from 1 to 65535")
    return check_host(host, whole), int(digits)


def check_port(port: int) -> int:
    """Return the port; raises ``DiscoveryInvalid`` unless it is from 1 to 65535."""
    if not 0 < port <= PORT_MAX:
        raise DiscoveryInvalid(f"the port {port} cannot be connected to: expected 1 to {PORT_MAX}")
    return port


def check_host(host: str, whole: str) -> str:
    """Return the host name or address; raises ``DiscoveryInvalid`` when it is not valid as either.

    whole: the text for the error.
    """
    if host.startswith("[") and host.endswith("]"):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            raise DiscoveryInvalid(f"{shown(whole)}: {shown(host)} is not an IPv6 address") from None
    if len(host) > HOST_CHARS_MAX or not _HOST.fullmatch(host):
        raise DiscoveryInvalid(
            f"{shown(whole)}: {shown(host)} is not a host: expected a name, an address, or an IPv6 address in brackets"
        )
    return host


def tcp_endpoint(host: str, port: int) -> str:
    """Return the endpoint of a host and a port; an IPv6 address without brackets gets them."""
    return f"tcp://[{host}]:{port}" if ":" in host and not host.startswith("[") else f"tcp://{host}:{port}"


def gather(endpoints: Iterable[str], endpoints_max: int) -> tuple[str, ...]:
    """Return the first ``endpoints_max`` different endpoints, in their order."""
    found: dict[str, None] = {}
    for endpoint in endpoints:
        if len(found) >= endpoints_max:
            break
        found[endpoint] = None
    return tuple(found)
