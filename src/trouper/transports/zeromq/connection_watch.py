"""``ConnectionWatch``: keeps the connections of a listener within bounds, and logs those that fail before a frame.

ZeroMQ accepts every connection, and gives each a descriptor and up to a frame of memory before it knows whose it is.
The watch drops those that are too many, and blocks the network of those that fail again and again.  When the process
has no descriptor left, ZeroMQ tries to accept the same connection without a pause; the watch then takes that connection
itself, with a descriptor kept for this, and closes it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import struct
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import zmq
from zmq.constants import Event

from .connections import UnverifiedConnections
from .monitor import SILENT, Monitor, why
from .rejection_log import RejectionLog, network_of
from .sockets import Sockets
from .source_filter import NETWORKS_MAX, set_source_filter

UNVERIFIED_MAX: Final = 128
"""Connections of a listener that have not completed their handshake; each may hold a frame of memory."""
CONNECTIONS_MAX: Final = 8_192
"""Connections of a listener; fewer where the process may not have twice as many descriptors."""
FAILURES_MAX: Final = 25
WINDOW_S: Final = 1.0
"""A network is blocked until the window ends when so many of its handshakes in it have failed."""
DESCRIPTORS_WANTED: Final = 65_536
"""A process that listens on tcp may have so many descriptors, if its system lets it raise the limit."""

_EVENTS: Final = (
    Event.LISTENING | Event.ACCEPTED | Event.ACCEPT_FAILED | Event.HANDSHAKE_SUCCEEDED | Event.DISCONNECTED
    | Event.HANDSHAKE_FAILED_AUTH | Event.HANDSHAKE_FAILED_PROTOCOL | Event.HANDSHAKE_FAILED_NO_DETAIL
)  # fmt: skip
_NO_DESCRIPTOR: Final = {errno.EMFILE, errno.ENFILE}
_CREDENTIALS: Final = struct.Struct("3i")


class ConnectionWatch:
    """Watches one listening socket; to be made before it is bound.

    is_local: whether peers are processes of the same user, whose connections are not limited.
    endpoint: as peers reach it, for texts; to be set once it is bound.
    """

    def __init__(
        self, sockets: Sockets, pull: zmq.Socket[bytes], endpoint: str, rejections: RejectionLog, *, is_local: bool
    ) -> None:
        self.endpoint, self.rejections = endpoint, rejections
        limits = (None, None) if is_local else (UNVERIFIED_MAX, min(CONNECTIONS_MAX, raise_descriptor_limit() // 2))
        self._connections = UnverifiedConnections(*limits)
        self._listening = -1
        self._is_local, self._loop = is_local, asyncio.get_running_loop()
        self._failures: Counter[str] = Counter()
        self._blocked: set[str] = set()
        self._window: asyncio.TimerHandle | None = None
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._monitor = Monitor(sockets, pull, _EVENTS, self._on_event)

    @property
    def has_unverified(self) -> bool:
        """Whether ``received`` is to be called with the connection of each frame."""
        return bool(self._connections)

    def received(self, descriptor: int) -> None:
        """A frame came over the connection of this descriptor."""
        self._connections.received(descriptor)

    def close(self) -> None:
        """Watch no more; to be called before the listening socket is closed."""
        self._monitor.close()
        if self._window is not None:
            self._window.cancel()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _on_event(self, event: Event, value: int) -> None:
        if event == Event.ACCEPTED:
            address = _address_of(value)
            self._drop(self._connections.accepted(value, address, network_of(address)))
        elif event == Event.HANDSHAKE_SUCCEEDED:
            self._connections.succeeded()
        elif event == Event.DISCONNECTED:
            if (failed := self._connections.ended(value)) is not None:
                address, reason = failed
                self._count_failure(address)
                if not reason:
                    return
                text = f"a connection from {address or 'a host that is gone'} to {self.endpoint} failed its handshake"
                self._note("handshake_failed", address, f"{text}: {reason}", transient=reason == SILENT)
        elif event == Event.HANDSHAKE_FAILED_AUTH:
            self._connections.refused()
        elif event == Event.LISTENING:
            self._listening = value
            os.set_blocking(value, False)  # ZeroMQ may be quicker to accept what `_refuse_next` would wait for
        elif event == Event.ACCEPT_FAILED:
            self._refuse_next(value)
        else:
            self._connections.failed(why(event, value))

    def _note(self, kind: str, address: str, text: str, *, transient: bool = False) -> None:
        self.rejections.note(kind, f"{self.endpoint} {network_of(address)}", text, transient=transient)

    def _drop(self, chosen: tuple[int, str] | None) -> None:
        """Shut a connection down; ZeroMQ, whose descriptor it is, then closes it."""
        if chosen is None:
            return
        descriptor, address = chosen
        self._count_failure(address)
        text = f"a connection from {address or 'a host that is gone'} to {self.endpoint} was dropped"
        self._note("too_many_connections", address, f"{text}: too many have not completed their handshake")
        # The descriptor may be another connection's by now, or closed; a copy of it is neither while it is looked at.
        with self._spare_freed(), socket.socket(fileno=os.dup(descriptor)) as copy:
            if copy.getsockname()[1] == int(self.endpoint.rpartition(":")[2]):
                copy.shutdown(socket.SHUT_RDWR)

    def _refuse_next(self, problem: int) -> None:
        """Close the connection that waits first, and drop one that is open: there is no descriptor for another."""
        if problem not in _NO_DESCRIPTOR:
            return
        self._drop(self._connections.drop_one())
        text = f"a connection to {self.endpoint} was refused: {os.strerror(problem)}"
        self.rejections.note("accept_failed", self.endpoint, text)
        with self._spare_freed():
            listening = socket.socket(fileno=self._listening)
            try:
                listening.accept()[0].close()
            finally:
                listening.detach()

    def _count_failure(self, address: str) -> None:
        """Block a network of too many failures until the end of the second, unless a peer of it is connected."""
        network = network_of(address)
        if self._is_local or not address or self._connections.has_verified(network):
            return
        self._failures[network] += 1
        if self._window is None:
            self._window = self._loop.call_later(WINDOW_S, self._end_window)
        if self._failures[network] == FAILURES_MAX and len(self._blocked) < NETWORKS_MAX:
            self._blocked.add(network)
            self._filter()
            text = f"connections from {network} to {self.endpoint} are not accepted for a moment"
            self._note("blocked", address, f"{text}: {FAILURES_MAX} in {WINDOW_S:g} s failed")

    def _end_window(self) -> None:
        self._window = None
        self._failures.clear()
        if self._blocked:
            self._blocked.clear()
            self._filter()

    def _filter(self) -> None:
        listening = socket.socket(fileno=self._listening)
        try:
            set_source_filter(listening, self._blocked)
        except OSError as error:
            self.rejections.note("no_filter", self.endpoint, f"{self.endpoint} cannot refuse networks: {error}")
        finally:
            listening.detach()

    @contextmanager
    def _spare_freed(self) -> Generator[None]:
        """Leave the block with the descriptor that is kept in reserve; an error of the system ends it."""
        if self._spare >= 0:
            os.close(self._spare)
        try:
            yield
        except OSError:
            pass  # the connection has ended, or another thread has taken the descriptor
        finally:
            self._spare = _spare_descriptor()


def raise_descriptor_limit() -> int:
    """Allow this process more descriptors, up to ``DESCRIPTORS_WANTED``; returns how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return DESCRIPTORS_WANTED if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted


def _spare_descriptor() -> int:
    """Return a descriptor that can be closed where one is needed; -1 when there is none."""
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _address_of(descriptor: int) -> str:
    """The host at the other end of a connection, or the process on this one; empty when it has ended."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        return ""
    try:
        if found.family == socket.AF_UNIX:
            peer = found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            pid, user, _ = _CREDENTIALS.unpack(peer)
            return f"process {pid} of user {user}"
        return str(found.getpeername()[0])
    except OSError:
        return ""
    finally:
        found.detach()  # it is ZeroMQ's, which goes on with it
