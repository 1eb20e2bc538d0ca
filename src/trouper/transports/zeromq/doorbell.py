"""``HandshakeMonitor``: watches who comes to a listener, and notes those who fail before the gatekeeper is asked about them."""

from __future__ import annotations

import socket
import struct
from typing import Final

import zmq
from zmq.constants import Event

from .monitor import SILENT, Monitor, why
from .rejection_log import RejectionLog
from .sockets import Sockets

_EVENTS: Final = (
    Event.ACCEPTED | Event.HANDSHAKE_SUCCEEDED | Event.DISCONNECTED
    | Event.HANDSHAKE_FAILED_AUTH | Event.HANDSHAKE_FAILED_PROTOCOL | Event.HANDSHAKE_FAILED_NO_DETAIL
)  # fmt: skip


class HandshakeMonitor:
    """Counts, for ``rejections``, the connections that ended before their handshake, with the address of who has tried.

    ZeroMQ tells which connection has begun and ended, by its descriptor, but neither whose handshake has succeeded nor
    whose has failed, and of some failures nothing.  What there is to know: it has one thread for all connections, which
    tells of a failed handshake directly before it tells of the end of that connection; and when as many handshakes have
    succeeded as were under way, they are these.  Only when two are under way at once, one of them fails without a word
    and the other leaves again, may the one be noted in the other's place.
    """

    def __init__(self, sockets: Sockets, router: zmq.Socket[bytes], endpoint: str, rejections: RejectionLog) -> None:
        self._endpoint, self._rejections = endpoint, rejections
        self._visitors: dict[int, str] = {}
        self._succeeded = self._turned_away = 0
        self._failure = ""
        self._monitor = Monitor(sockets, router, _EVENTS, self._on_event)

    def close(self) -> None:
        """Watch no more."""
        self._monitor.close()

    def _on_event(self, event: Event, value: int) -> None:
        if event == Event.ACCEPTED:
            self._visitors[value] = _peer_of(value)
        elif event == Event.HANDSHAKE_SUCCEEDED:
            self._succeeded += 1
        elif event == Event.DISCONNECTED:
            if value in self._visitors:
                self._left(self._visitors.pop(value) or "a peer that is gone")
            self._failure = ""
        elif event == Event.HANDSHAKE_FAILED_AUTH:
            self._turned_away += 1
        else:
            self._failure = why(event, value)
        if self._succeeded >= len(self._visitors):
            self._visitors.clear()
            self._succeeded = self._turned_away = 0

    def _left(self, visitor: str) -> None:
        if self._turned_away and not self._failure:
            self._turned_away -= 1  # by the gatekeeper, who has said so
            return
        failure = self._failure or "it does not speak this protocol"
        is_named = bool(self._failure) and self._failure != SILENT
        text = f"{visitor} did not get through its handshake with {self._endpoint}: {failure}"
        # Only this user's own processes come by ipc; one that leaves without a word is most likely about to end.
        transient = not is_named and self._endpoint.startswith("ipc://")
        self._rejections.note(
            "handshake_failed", f"{self._endpoint} {visitor.rpartition(':')[0]}", text, transient=transient
        )


def _peer_of(descriptor: int) -> str:
    """The address at the other end of a connection; empty when it has ended by now."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        return ""
    try:
        if found.family == socket.AF_UNIX:
            pid, user, _ = struct.unpack("3i", found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            return f"process {pid} of user {user}"
        host, port, *_ = found.getpeername()
    except OSError:
        return ""
    else:
        return f"{host}:{port}"
    finally:
        found.detach()  # it is ZeroMQ's, which goes on with it
