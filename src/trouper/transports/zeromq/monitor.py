"""``Monitor``: ZeroMQ's events of the connections of one socket, brought to the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from struct import Struct
from typing import Final

import zmq
from zmq.constants import Event

from ...runtime.kernel.forks import close_in_children
from .callbacks import call_owner
from .sockets import Sockets

_EVENT: Final = Struct("=Hi")
_numbers = count(1)
EVENTS_MAX: Final = 50
"""After so many events, reading yields to the other callbacks of the loop."""

_OPENED: Final = (Event.LISTENING, Event.ACCEPTED, Event.CONNECTED)

PROBLEMS: Final[dict[int, str]] = {
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "it uses another kind of encryption, or none",
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "its key does not fit",
}
"""Why a handshake failed, where ZeroMQ knows it."""


class Monitor:
    """Calls ``on_event(event, value)`` from the loop for each of the events asked for, in their order.

    value: as ZeroMQ defines it for the event: a descriptor, an error number, or a kind of protocol error.
    """

    def __init__(
        self, sockets: Sockets, watched: zmq.Socket[bytes], events: int, on_event: Callable[[Event, int], None]
    ) -> None:
        address = f"inproc://monitor-{next(_numbers)}"
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._watched = watched
        self._events = events
        watched.monitor(address, events | Event.CONNECTED)
        self._socket = sockets.inner(zmq.PAIR)
        self._socket.connect(address)
        self._descriptor = self._socket.fileno()
        self._loop.add_reader(self._descriptor, self._read)
        self._reads_soon = False
        self._read_soon()  # for events before the descriptor was watched

    def close(self) -> None:
        """Stop; to be called before the watched socket is closed."""
        if not self._socket.closed:
            self._loop.remove_reader(self._descriptor)
            # ZeroMQ's thread may wait, with a lock that the next call wants, until events that it reports are taken.
            while self._socket.poll(0):
                self._socket.recv_multipart(zmq.NOBLOCK)
            self._watched.disable_monitor()
            self._socket.close()

    def _read_soon(self) -> None:
        if not self._reads_soon:
            self._reads_soon = True
            self._loop.call_soon(self._read_again)

    def _read_again(self) -> None:
        self._reads_soon = False
        self._read()

    def _read(self) -> None:
        """Read until nothing is left, so that the descriptor reports the next event, or ``EVENTS_MAX`` of them."""
        for _ in range(EVENTS_MAX):
            if self._socket.closed:
                return
            try:
                message = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            event, value = _EVENT.unpack(message[0])
            if event in _OPENED:
                close_in_children(value)
            if event & self._events:
                call_owner(self._loop, self._on_event, Event(event), value)
        self._read_soon()


SILENT: Final = "it hung up or was silent, as one does that has other keys"
"""The words where ZeroMQ gives no reason; a peer that closes at this moment gives none either."""


def why(event: Event, value: int) -> str:
    """Return the reason of a failed handshake, in words."""
    if event == Event.HANDSHAKE_FAILED_AUTH:
        return "it does not let this key in"
    if event == Event.HANDSHAKE_FAILED_PROTOCOL:
        return PROBLEMS.get(value, "it does not speak this protocol")
    return SILENT
