"""``Listener``: receives the frames of one endpoint, over one ROUTER socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Final, cast

import zmq
from zmq.backend import Socket as RawSocket

from ...runtime.session.identity import SAME_USER
from ...runtime.session.transport import Buffer, Source, TransportLimits, TransportOwner
from .callbacks import report
from .rejection_log import RejectionLog
from .sockets import ZERO_COPY_BYTES

TURN_S: Final = 0.000_2
"""After so long, reading yields to the other callbacks of the loop.  A full frame of messages takes about as much, so
that its messages are handled before the next are read: mailboxes stay short, and their messages are still in the cache.
"""
SOURCES_MAX: Final = 4_096
"""Connections whose ``Source`` is cached."""

_NOBLOCK: Final = int(zmq.NOBLOCK)
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)
_get = cast("Callable[[zmq.Socket[bytes], int], int]", RawSocket.get)
_receive = cast("Callable[[zmq.Socket[bytes], int], bytes]", RawSocket.recv)
_receive_frame = cast("Callable[[zmq.Socket[bytes], int, bool], zmq.Frame]", RawSocket.recv)
"""The same call, with and without a copy.  Small buffers are received as a ``Frame`` too and then copied, since a
``Frame`` is the cheapest way to learn whether another buffer follows.
"""


class Listener:
    """Reads frames from a bound ROUTER, and hands them to the owner.

    endpoint: as peers reach it.  path: of an ipc socket, whose file is removed at the end; None for tcp.
    prefix: distinguishes the connections of this listener from those of other listeners of the transport.
    has_keys: whether peers are authenticated by keys; those of an ipc socket are processes of the same user.
    """

    def __init__(
        self,
        owner: TransportOwner,
        limits: TransportLimits,
        endpoint: str,
        path: Path | None,
        router: zmq.Socket[bytes],
        prefix: bytes,
        has_keys: bool,
        rejections: RejectionLog,
    ) -> None:
        self.endpoint = endpoint
        self._owner, self._limits, self._router, self._prefix = owner, limits, router, prefix
        self._has_keys, self._rejections = has_keys, rejections
        self._identity = None if path is None else SAME_USER
        self._loop = asyncio.get_running_loop()
        self._descriptor = router.fileno()
        self._closed = False
        self._path, self._file = path, _file_of(path)
        self._sources: dict[tuple[bytes, str | None], Source] = {}
        self._loop.add_reader(self._descriptor, self._read)
        self._loop.call_soon(self._read)  # for frames that came before the descriptor was watched

    def close(self) -> None:
        """Receive no more."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._descriptor)
            self._router.close(linger=0)
            if self._path is not None and _file_of(self._path) == self._file:
                self._path.unlink(missing_ok=True)

    def _read(self) -> None:
        """Read until nothing is left, so that the descriptor reports the next frame, or until ``TURN_S`` are over."""
        router, until = self._router, perf_counter() + TURN_S
        try:
            while True:
                self._take(_receive(router, _NOBLOCK))
                # Asking for events costs half of the exception that would say that nothing is there.
                if self._closed or not _get(router, _EVENTS) & _POLLIN:
                    return
                if perf_counter() > until:
                    self._loop.call_soon(self._read)
                    return
        except zmq.Again:
            return

    def _take(self, connection: bytes) -> None:
        """Read the rest of a frame, which has come as a whole, and hand it over."""
        router, most = self._router, self._limits.frame_bytes_max
        part = _receive_frame(router, _NOBLOCK, False)
        frame_bytes = len(part)
        parts: list[Buffer] = [part.bytes if frame_bytes < ZERO_COPY_BYTES else part.buffer]
        while part.more:
            part = _receive_frame(router, _NOBLOCK, False)
            frame_bytes += len(part)
            if frame_bytes <= most:
                parts.append(part.bytes if len(part) < ZERO_COPY_BYTES else part.buffer)
        # A connection may choose its name, also that of one that has ended; that it owns its key is proved.
        identity = cast("str", part.get("User-Id")) if self._has_keys else self._identity
        source = self._sources.get((connection, identity)) or self._remember(connection, identity)
        if frame_bytes > most:
            text = f"{self.endpoint} dropped a frame of {frame_bytes} bytes, at most {most} are allowed"
            self._rejections.note("frame_too_large", self.endpoint, text)
        else:
            try:
                self._owner.frame_received(parts, source)
            except Exception as error:  # noqa: BLE001  the owner may raise anything, and the next frame is delivered
                report(self._loop, self._owner.frame_received, error)

    def _remember(self, connection: bytes, identity: str | None) -> Source:
        if len(self._sources) >= SOURCES_MAX:
            self._sources.clear()
        source = self._sources[connection, identity] = Source(self._prefix + connection, identity)
        return source


def _file_of(path: Path | None) -> tuple[int, int] | None:
    """The identity of the file at a path, so that only this listener's own is removed."""
    try:
        found = None if path is None else path.lstat()
    except FileNotFoundError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)
