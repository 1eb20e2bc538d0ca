r"""Frames over ZeroMQ: ``ZeroMQWire`` sends them to one endpoint, ``Listener`` receives those of one endpoint.

A wire has a PUSH socket, a listener a PULL socket.  The states of a wire:

    waiting --dial--> dialling --handshake done--> up --disconnected--> waiting
                          \--handshake failed, hung up--> waiting

Frames are queued here until the handshake is done, and whenever ZeroMQ's own queue is full.  While no node listens,
ZeroMQ itself tries again, but not for ipc, where the folder of the socket is checked at each dial.  A host name is
looked up at each dial, and ZeroMQ gets addresses only: when one refuses the connection, or does not answer for
``CONNECT_S``, the next one is dialled, and then the name is looked up again.  After any disconnection the socket is
closed and another one dials, because ZeroMQ gives some connections up for good (another protocol, a key that is
refused), and reconnects others without a pause.

A frame that may be lost goes over a second PUSH socket of the wire, so that it does not wait for the others.

The limits do not cover everything: behind this queue ZeroMQ has one of ``sockets.PIPE_FRAMES_MAX`` frames, after it
come the system's buffers, and the peer's ZeroMQ holds as many frames again.  ZeroMQ does not count bytes:
``queue_bytes_max`` applies here, and again to the large buffers in ZeroMQ's queue; the small ones there are bounded by
their number.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Final, Literal, cast

import zmq
from zmq.backend import Socket as RawSocket
from zmq.constants import Event

from ...runtime.session.identity import SAME_USER
from ...runtime.session.transport import (
    Buffer,
    EndpointInvalid,
    FrameTooLarge,
    Source,
    TransportClosed,
    TransportFailed,
    TransportLimits,
    TransportOwner,
)
from .callbacks import call_owner, report
from .connection_watch import ConnectionWatch
from .endpoints import Endpoint, check_folder
from .monitor import SILENT, Monitor, why
from .rejection_log import RejectionLog
from .resolver import Resolver
from .sockets import RETRY_FIRST_S, RETRY_MAX_S, ZERO_COPY_BYTES, Sockets
from .zero_copy import ZeroCopyBuffers

_EVENTS: Final = (
    Event.HANDSHAKE_SUCCEEDED | Event.HANDSHAKE_FAILED_AUTH | Event.HANDSHAKE_FAILED_PROTOCOL
    | Event.HANDSHAKE_FAILED_NO_DETAIL | Event.DISCONNECTED
)  # fmt: skip
BESIDE_FRAMES_MAX: Final = 64
"""Frames that may be lost, and wait in ZeroMQ; further ones are lost."""
CONNECT_S: Final = 5.0
"""Seconds that one of the addresses of a host name has to take the connection."""
NOT_CONNECTED: Final = "nothing listens there, or what does is not let through"
_LAST: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
_Send = Callable[[zmq.Socket[bytes], Buffer, int], object]
_SendWithoutCopy = Callable[[zmq.Socket[bytes], Buffer, int, bool, bool], zmq.MessageTracker]
_send, _send_without_copy = cast("_Send", RawSocket.send), cast("_SendWithoutCopy", RawSocket.send)
"""The method that ``zmq.Socket.send`` calls after checks of options that a PUSH does not have: with a copy, and
without one (``copy=False, track=True``).
"""
_receive = cast("Callable[[zmq.Socket[bytes], int, bool], zmq.Frame]", RawSocket.recv)
"""Receives without a copy.  Small buffers are received in this way too and then copied, since a ``Frame`` is the
cheapest way to learn whether another buffer follows.
"""
_get = cast("Callable[[zmq.Socket[bytes], int], int]", RawSocket.get)
_EVENTS_NOW: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)

TURN_S: Final = 0.000_2
"""After so long, reading yields to the other callbacks of the loop.  A full frame of messages takes about as much, so
that its messages are handled before the next are read: mailboxes stay short, and their messages are still in the cache.
"""
BUFFERS_MAX: Final = 65_536
"""Buffers of one frame, as many as the header of a frame can name and the header itself."""
SOURCES_MAX: Final = 4_096
"""Peers whose ``Source`` is cached."""
_POLL_FIRST_S: Final = 0.001
_POLL_MAX_S: Final = 0.05
"""Pauses between polls for large buffers that ZeroMQ has released; doubled while there is none."""


class ZeroMQWire:
    """A ``Wire`` over ZeroMQ, with one PUSH socket, and another one for the frames that may be lost.

    endpoint: as it was given to ``connect``.  target: the same, parsed.
    ended: done once nothing is left of the wire but the frames that ZeroMQ has taken and still sends.
    """

    def __init__(
        self,
        owner: TransportOwner,
        limits: TransportLimits,
        endpoint: str,
        target: Endpoint,
        sockets: Sockets,
        rejections: RejectionLog,
        resolver: Resolver,
    ) -> None:
        self.endpoint = endpoint
        self.state: Literal["waiting", "dialling", "up", "ended"] = "waiting"
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._owner, self._limits, self._target = owner, limits, target
        self._sockets, self._rejections, self._resolver = sockets, rejections, resolver
        self._addresses: list[str] = []
        self._lookup: asyncio.Task[None] | None = None
        self._connect_timer: asyncio.TimerHandle | None = None
        self._frames: deque[Sequence[Buffer]] = deque()
        self._queued_bytes = 0
        self._connected_to = target
        self._beside: zmq.Socket[bytes] | None = None
        """The connection of the frames that may be lost; None before the first."""
        self._zero_copy = ZeroCopyBuffers(limits.queue_bytes_max)
        self._poll_timer: asyncio.TimerHandle | None = None
        self._poll_s = _POLL_FIRST_S
        self._was_full = self._watching = self._closed = False
        self._retry_s = RETRY_FIRST_S
        self._failure_reason = self._reported = ""
        self._timer: asyncio.TimerHandle | None = None
        self._end_at = 0.0
        self._down_since = self._loop.time()
        self._begin_dial()

    # -- the port ------------------------------------------------------------------------------------------------------

    def send_nowait(self, parts: Sequence[Buffer], *, reliable: bool = True) -> bool:
        """``Wire.send_nowait``."""
        if self._closed:
            raise TransportClosed(f"the wire to {self.endpoint} is closed")
        frame_bytes = len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
        if frame_bytes > self._limits.frame_bytes_max:
            most = self._limits.frame_bytes_max
            raise FrameTooLarge(f"a frame of {frame_bytes} bytes to {self.endpoint}, at most {most} are allowed")
        if not reliable:
            return self.state == "up" and self._send_beside(parts)
        if self.state == "up" and not self._frames and self._send_frame(parts, frame_bytes):
            return True
        if self._is_full:
            self._was_full = True
            return False
        self._frames.append(parts)
        self._queued_bytes += frame_bytes
        if len(self._frames) == 1:
            self._loop.call_soon(self._flush)  # it finds out what to wait for
        return True

    def close(self) -> None:
        """``Wire.close``."""
        if self._closed:
            return
        self._closed = True
        since = self._loop.time() if self.state == "up" else self._down_since
        self._end_at = since + self._limits.linger_s
        if not self._frames or self._end_at <= self._loop.time():
            self._end()
        else:
            self._loop.call_at(self._end_at, self._end)

    # -- sending -------------------------------------------------------------------------------------------------------

    @property
    def _is_full(self) -> bool:
        limits = self._limits
        return len(self._frames) >= limits.queue_frames_max or self._queued_bytes >= limits.queue_bytes_max

    def _send_frame(self, parts: Sequence[Buffer], frame_bytes: int) -> bool:
        """Give a frame to ZeroMQ; False when its queue is full, which shows at the first part only."""
        if frame_bytes >= ZERO_COPY_BYTES and self._zero_copy.is_full:
            return False
        last = len(parts) - 1
        try:
            self._send_part(parts[0], _MORE if last else _LAST)
        except zmq.Again:
            return False
        for number in range(1, last + 1):
            try:
                self._send_part(parts[number], _MORE if number < last else _LAST)
            except zmq.Again:
                pass  # the connection ended between two parts: the whole frame is lost at the break
        return True

    def _send_beside(self, parts: Sequence[Buffer]) -> bool:
        """Send a frame on a connection of its own, so that it waits for none of the others; False when it would wait.

        That connection is made for the first such frame, and ends with the other one.
        """
        if self._beside is None:
            made = self._sockets.push(self._connected_to)
            try:
                made.set(zmq.SNDHWM, BESIDE_FRAMES_MAX)
                made.set(zmq.IMMEDIATE, 0)  # the first frames wait for the connection
                made.connect(self._connected_to.address)
            except zmq.ZMQError as error:
                made.close(linger=0)
                raise TransportFailed(f"cannot connect to {self.endpoint}: {error}") from error
            self._beside = made
        try:
            self._beside.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _send_part(self, part: Buffer, flags: int) -> None:
        if len(part) < ZERO_COPY_BYTES:
            _send(self._socket, part, flags)
        else:
            self._zero_copy.add(_send_without_copy(self._socket, part, flags, False, True), len(part))

    def _flush(self) -> None:
        """Give ZeroMQ what is queued, as far as it takes it.  Called from the loop only."""
        if self.state != "up":
            return
        frames, before = self._frames, len(self._frames)
        while frames:
            if self._zero_copy.is_full:
                self._poll_later(has_moved=len(frames) < before)
                break
            if not self._can_send():
                self._watch()
                break
            while frames and self._send_frame(frames[0], frame_bytes := sum(map(len, frames[0]))):
                self._queued_bytes -= frame_bytes
                frames.popleft()
        else:
            self._stop_waiting()
            if self._closed:
                self._end()
        self._notify_if_ready()

    def _poll_later(self, *, has_moved: bool) -> None:
        """Poll for large buffers that ZeroMQ has released, which it does not report."""
        self._stop_waiting()
        self._poll_s = _POLL_FIRST_S if has_moved else min(2 * self._poll_s, _POLL_MAX_S)
        self._poll_timer = self._loop.call_later(self._poll_s, self._flush)

    def _watch(self) -> None:
        """Wait until ZeroMQ's queue takes frames.

        The descriptor is watched only then, so that an idle wire costs the loop nothing.  A change that came before is
        still reported.
        """
        if not self._watching:
            self._stop_waiting()
            self._watching = True
            self._loop.add_reader(self._descriptor, self._flush)

    def _stop_waiting(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self._descriptor)
        if self._poll_timer is not None:
            self._poll_timer.cancel()
            self._poll_timer = None

    def _can_send(self) -> bool:
        """Ask for events, after which the descriptor reports the next change."""
        return bool(cast("int", self._socket.get(zmq.EVENTS)) & zmq.POLLOUT)

    def _notify_if_ready(self) -> None:
        if self._was_full and not self._closed and not self._is_full:
            self._was_full = False
            call_owner(self._loop, self._owner.wire_ready, self)

    # -- the connection ------------------------------------------------------------------------------------------------

    def _begin_dial(self) -> None:
        self._timer = None
        if self._target.path is not None:
            folder = self._target.path.parent
            check_folder(folder, make=False)
            if not folder.exists():  # another user could make it before ZeroMQ connects
                self._retry_later()
                return
        if not self._target.has_name:
            self._dial(self._target, _EVENTS | Event.CONNECT_RETRIED)
        elif self._addresses:
            self._dial(self._target.at(self._addresses.pop(0)), _EVENTS | Event.CONNECT_RETRIED)
            self._connect_timer = self._loop.call_later(CONNECT_S, self._on_event, Event.CONNECT_RETRIED, 0)
        else:
            self._lookup = self._loop.create_task(self._look_up())

    async def _look_up(self) -> None:
        try:
            self._addresses = list(await self._resolver.resolve(self._target.host))
        except TransportFailed as error:
            self._rejections.note("lookup_failed", self.endpoint, f"no connection to {self.endpoint}: {error}")
            self._report_failed(str(error))
            self._retry_later()
        else:
            self._redial()
        finally:
            self._lookup = None

    def _dial(self, target: Endpoint, events: int) -> None:
        self._failure_reason = ""
        try:
            with ExitStack() as undo:
                self._socket = self._sockets.push(target)
                undo.callback(self._socket.close)
                self._monitor = Monitor(self._sockets, self._socket, events, self._on_event)
                undo.callback(self._monitor.close)
                self._descriptor = self._socket.fileno()
                self._socket.connect(target.address)
                undo.pop_all()
        except zmq.ZMQError as error:
            raise TransportFailed(f"cannot connect to {self.endpoint}: {error}") from error
        self.state, self._connected_to = "dialling", target

    def _on_event(self, event: Event, value: int) -> None:
        if event == Event.HANDSHAKE_SUCCEEDED:
            self._stop_connect_timer()
            self._addresses.clear()
            self.state = "up"
            self._reported = ""
            self._retry_s = RETRY_FIRST_S
            self._flush()
        elif event == Event.CONNECT_RETRIED:
            self._report_failed(NOT_CONNECTED)
            if self.state == "dialling" and self._target.has_name:
                self._close_socket()
                self.state = "waiting"
                self._retry_later()
        elif event == Event.DISCONNECTED:
            self._lose()
        else:
            self._failure_reason = why(event, value)

    def _lose(self) -> None:
        was_up = self.state == "up"
        self._close_socket()
        self.state = "waiting"
        self._retry_later()
        if was_up:
            self._down_since = self._loop.time()
            if not self._closed:
                call_owner(self._loop, self._owner.wire_lost, self, "the peer hung up, or cannot be reached any more")
        else:
            failure_reason = self._failure_reason or SILENT
            text = f"no connection to {self.endpoint}: {failure_reason}"
            self._rejections.note("handshake_failed", self.endpoint, text, transient=failure_reason == SILENT)
            self._report_failed(failure_reason)

    def _report_failed(self, why: str) -> None:
        """Tell the owner why no connection is made, once for each reason."""
        if why != self._reported and not self._closed:
            self._reported = why
            call_owner(self._loop, self._owner.wire_lost, self, why)

    def _retry_later(self) -> None:
        """Dial the next address of the host name at once; when there is none, look it up again after a pause."""
        pause_s = 0.0 if self._addresses else self._retry_s
        self._timer = self._loop.call_later(pause_s, self._redial)
        self._retry_s = self._retry_s if self._addresses else min(2 * self._retry_s, RETRY_MAX_S)

    def _redial(self) -> None:
        try:
            self._begin_dial()
        except (TransportFailed, EndpointInvalid) as error:
            self._rejections.note("dial_failed", self.endpoint, str(error))
            self._timer = self._loop.call_later(RETRY_MAX_S, self._redial)

    def _close_socket(self, linger_s: float = 0.0) -> None:
        """Close the socket; what ZeroMQ holds is sent within ``linger_s``."""
        self._stop_waiting()
        self._stop_connect_timer()
        self._monitor.close()
        self._socket.close(linger=max(0, round(linger_s * 1_000)))
        if self._beside is not None:
            self._beside.close(linger=0)
            self._beside = None

    def _stop_connect_timer(self) -> None:
        if self._connect_timer is not None:
            self._connect_timer.cancel()
            self._connect_timer = None

    def _end(self) -> None:
        if self.state == "ended":
            return
        if self._lookup is not None:
            self._lookup.cancel()
        elif self._timer is not None:
            self._timer.cancel()
        elif self.state != "waiting":
            self._close_socket(self._end_at - self._loop.time() if self.state == "up" else 0.0)
        self.state = "ended"
        self._frames.clear()
        self.ended.set_result(None)


class Listener:
    """Reads the frames that come to a bound PULL socket, and hands them to the owner.

    endpoint: as peers reach it.  path: of an ipc socket, whose file is removed at the end; None for tcp.
    watch: of the connections of this socket; it is closed with the listener.
    has_keys: whether peers are authenticated by keys; those of an ipc socket are processes of the same user.
    """

    def __init__(
        self,
        owner: TransportOwner,
        limits: TransportLimits,
        endpoint: str,
        path: Path | None,
        pull: zmq.Socket[bytes],
        watch: ConnectionWatch,
        *,
        has_keys: bool,
    ) -> None:
        self.endpoint = endpoint
        self._owner, self._limits, self._pull = owner, limits, pull
        self._has_keys, self._watch = has_keys, watch
        self._loop = asyncio.get_running_loop()
        self._descriptor = pull.fileno()
        self._closed = self._reads_soon = False
        self._path, self._file = path, _file_of(path)
        self._same_user = None if path is None else Source(identity=SAME_USER)
        self._sources: dict[str, Source] = {}
        self._parts: list[Buffer] = []
        self._frame_bytes = self._buffers = 0
        self._loop.add_reader(self._descriptor, self._read)
        self._read_soon()  # for frames that came before the descriptor was watched

    def close(self) -> None:
        """Receive no more."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._descriptor)
            self._watch.close()
            self._pull.close(linger=0)
            if self._path is not None and _file_of(self._path) == self._file:
                self._path.unlink(missing_ok=True)

    def _read_soon(self) -> None:
        if not self._reads_soon:
            self._reads_soon = True
            self._loop.call_soon(self._read_again)

    def _read_again(self) -> None:
        self._reads_soon = False
        if not self._closed:
            self._read()

    def _read(self) -> None:
        """Read until nothing is left, so that the descriptor reports the next frame, or until ``TURN_S`` are over."""
        pull, until, most = self._pull, perf_counter() + TURN_S, self._limits.frame_bytes_max
        try:
            while True:
                part = _receive(pull, _LAST, False)
                part_bytes = len(part)
                self._buffers += 1
                self._frame_bytes += part_bytes
                if self._frame_bytes <= most and self._buffers <= BUFFERS_MAX:
                    self._parts.append(part.bytes if part_bytes < ZERO_COPY_BYTES else part.buffer)
                if not part.more:
                    self._deliver(part)
                    # Asking for events costs half of the exception that would say that nothing is there.
                    if self._closed or not _get(pull, _EVENTS_NOW) & _POLLIN:
                        return
                if perf_counter() > until:
                    self._read_soon()
                    return
        except zmq.Again:
            return

    def _deliver(self, last: zmq.Frame) -> None:
        """Hand a frame over whose last buffer has been read."""
        if self._watch.has_unverified:
            self._watch.received(last.get(zmq.SRCFD))
        parts, frame_bytes, buffers = self._parts, self._frame_bytes, self._buffers
        self._parts, self._frame_bytes, self._buffers = [], 0, 0
        if len(parts) < buffers:
            text = (
                f"{self.endpoint} dropped a frame of {frame_bytes} bytes in {buffers} buffers, "
                f"at most {self._limits.frame_bytes_max} bytes in {BUFFERS_MAX} buffers are allowed"
            )
            self._watch.rejections.note("frame_too_large", self.endpoint, text)
            return
        try:
            self._owner.frame_received(parts, self._same_user or self._source_of(last))
        except Exception as error:  # noqa: BLE001  the owner may raise anything, and the next frame is delivered
            report(self._loop, self._owner.frame_received, error)

    def _source_of(self, part: zmq.Frame) -> Source:
        """Return which peer has sent a buffer: the owner of a key, or whatever is at an address."""
        text = cast("str", part.get("User-Id" if self._has_keys else "Peer-Address"))
        source = self._sources.get(text)
        if source is None:
            if len(self._sources) >= SOURCES_MAX:
                self._sources.clear()
            source = self._sources[text] = Source(identity=text) if self._has_keys else Source(text)
        return source


def _file_of(path: Path | None) -> tuple[int, int] | None:
    """The identity of the file at a path, so that only this listener's own is removed."""
    try:
        found = None if path is None else path.lstat()
    except FileNotFoundError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)
