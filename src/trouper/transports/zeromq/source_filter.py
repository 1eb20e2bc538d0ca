"""``set_source_filter``: has the system drop new connections from given networks, before ZeroMQ accepts them.

A handshake with a wrong key costs ZeroMQ's thread a calculation as a right one does, and nothing tells ZeroMQ to leave
it out.  So a listening socket gets a filter of the Berkeley packet filter: what comes to it from these networks is
dropped.  Connections that are open are other sockets, which keep the filter that they were accepted with; it names no
network of theirs.
"""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import struct
import sys
from collections.abc import Collection
from typing import Final

SO_ATTACH_FILTER: Final = 26
SO_DETACH_FILTER: Final = 27
NETWORKS_MAX: Final = 64
"""Networks of one filter, whose steps are taken for each packet."""

_LOAD_WORD, _LOAD_BYTE, _SHIFT_RIGHT, _JUMP, _IF_EQUAL, _RETURN = 0x20, 0x30, 0x74, 0x05, 0x15, 0x06
_NETWORK_HEADER: Final = 2**32 - 0x100000
"""Where loads from the header of the Internet protocol begin."""
_TAKE: Final = struct.pack("=HBBI", _RETURN, 0, 0, 0xFFFFFFFF)
_DROP: Final = struct.pack("=HBBI", _RETURN, 0, 0, 0)


def program(networks: Collection[str]) -> bytes:
    """Return a filter that drops what comes from IPv4 addresses and IPv6 networks of 64 bits; others are left out."""
    four, six = _TAKE, _TAKE
    for network in networks:
        found = ipaddress.ip_network(network)
        if isinstance(found, ipaddress.IPv4Network):
            four = _step(_IF_EQUAL, int(found.network_address), 0, 1) + _DROP + four
        elif found.prefixlen == 64:
            high, low = divmod(int(found.network_address) >> 64, 2**32)
            six = (
                _step(_LOAD_WORD, _NETWORK_HEADER + 8)
                + _step(_IF_EQUAL, high, 0, 3)
                + _step(_LOAD_WORD, _NETWORK_HEADER + 12)
                + _step(_IF_EQUAL, low, 0, 1)
                + _DROP
                + six
            )
    four = _step(_LOAD_WORD, _NETWORK_HEADER + 12) + four
    version = _step(_LOAD_BYTE, _NETWORK_HEADER) + _step(_SHIFT_RIGHT, 4) + _step(_IF_EQUAL, 6, 0, 1)
    return version + _step(_JUMP, len(four) // 8) + four + six


def set_source_filter(listening: socket.socket, networks: Collection[str]) -> None:
    """Drop what comes to a listening socket from these networks; none ends the filter.

    It does nothing on systems other than Linux.  Raises ``OSError``.
    """
    if sys.platform != "linux":
        return
    if not networks:
        listening.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        return
    steps = program(networks)
    memory = ctypes.create_string_buffer(steps, len(steps))
    listening.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(steps) // 8, ctypes.addressof(memory))
    )


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value % 2**32)
