r"""``ZeroMQWire``: frames to one endpoint, over one DEALER socket.

    waiting --dial--> dialling --handshake done--> up --disconnected--> waiting
                          \--handshake failed, hung up--> waiting

Frames are queued here until the handshake is done, and whenever ZeroMQ's own queue is full.  While nobody listens
ZeroMQ itself tries again.  After any disconnection the socket is thrown away and another one dials: ZeroMQ gives some
connections up for good (another protocol, a key that is refused), and to others it comes back without a pause.

What the limits cannot hold: behind this queue ZeroMQ has one of ``sockets.PIPE_FRAMES_MAX`` frames, and the system's
buffers come after it.  Its bytes are not told, only bounded, by lowering the number for large frames, to about
``queue_bytes_max`` again; the peer's ZeroMQ holds as many frames once more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, cast

import zmq
from zmq.backend import Socket as RawSocket
from zmq.constants import Event

from ...runtime.wire.transport import (
    Buffer,
    FrameTooLarge,
    TransportClosed,
    TransportFailed,
    TransportLimits,
    TransportOwner,
)
from .calling import call_owner
from .endpoints import Endpoint
from .monitor import Monitor, why
from .refusals import Refusals
from .sockets import PIPE_FRAMES_MAX, RETRY_FIRST_S, RETRY_MAX_S, ZERO_COPY_BYTES, Sockets

_EVENTS: Final = (
    Event.HANDSHAKE_SUCCEEDED | Event.HANDSHAKE_FAILED_AUTH | Event.HANDSHAKE_FAILED_PROTOCOL
    | Event.HANDSHAKE_FAILED_NO_DETAIL | Event.DISCONNECTED
)  # fmt: skip
_LAST: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
_send = cast("Callable[[zmq.Socket[bytes], Buffer, int, bool], object]", RawSocket.send)
"""What ``zmq.Socket.send`` calls after it has looked at options that a DEALER does not have."""


class ZeroMQWire:
    """A ``Wire``.

    endpoint: as it was given; target is what it means.  ended: done once nothing is left of the wire but what ZeroMQ
    has taken and still sends.
    """

    def __init__(
        self,
        owner: TransportOwner,
        limits: TransportLimits,
        endpoint: str,
        target: Endpoint,
        sockets: Sockets,
        refusals: Refusals,
    ) -> None:
        self.endpoint = endpoint
        self.state: Literal["waiting", "dialling", "up", "ended"] = "waiting"
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._owner, self._limits, self._target = owner, limits, target
        self._sockets, self._refusals = sockets, refusals
        self._frames: deque[Sequence[Buffer]] = deque()
        self._queued_bytes = 0
        self._roomy_bytes = limits.queue_bytes_max // PIPE_FRAMES_MAX  # so large may all frames be in a full pipe
        self._pipe_frames = PIPE_FRAMES_MAX
        self._said_no = self._watching = self._closed = False
        self._retry_s = RETRY_FIRST_S
        self._trouble = ""
        self._timer: asyncio.TimerHandle | None = None
        self._end_at = 0.0
        self._dial()

    # -- the port ------------------------------------------------------------------------------------------------------

    def send_nowait(self, parts: Sequence[Buffer]) -> bool:
        """See ``Wire.send_nowait``."""
        if self._closed:
            raise TransportClosed(f"the wire to {self.endpoint} is closed")
        frame_bytes = len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
        if frame_bytes > self._limits.frame_bytes_max:
            most = self._limits.frame_bytes_max
            raise FrameTooLarge(f"a frame of {frame_bytes} bytes to {self.endpoint}, at most {most} are allowed")
        if self.state == "up" and not self._frames and self._give(parts, frame_bytes):
            return True
        if self._is_full:
            self._said_no = True
            return False
        self._frames.append(parts)
        self._queued_bytes += frame_bytes
        if self.state == "up":
            self._watch()
        return True

    def close(self) -> None:
        """See ``Wire.close``."""
        if self._closed:
            return
        self._closed = True
        self._end_at = self._loop.time() + self._limits.linger_s
        if not self._frames:
            self._end()
        else:
            self._loop.call_at(self._end_at, self._end)

    # -- sending -------------------------------------------------------------------------------------------------------

    @property
    def _is_full(self) -> bool:
        limits = self._limits
        return len(self._frames) >= limits.queue_frames_max or self._queued_bytes >= limits.queue_bytes_max

    def _give(self, parts: Sequence[Buffer], frame_bytes: int) -> bool:
        """Hand a frame to ZeroMQ; False when its queue is full, which only the first part can meet."""
        dealer, last = self._socket, len(parts) - 1
        pipe_frames = (
            self._limits.queue_bytes_max // frame_bytes if frame_bytes > self._roomy_bytes else PIPE_FRAMES_MAX
        )
        if pipe_frames != self._pipe_frames:
            self._sockets.limit_pipe(dealer, pipe_frames)
            self._pipe_frames = pipe_frames
        try:
            _send(dealer, parts[0], _MORE if last else _LAST, len(parts[0]) < ZERO_COPY_BYTES)
        except zmq.Again:
            return False
        for number in range(1, last + 1):
            part = parts[number]
            try:
                _send(dealer, part, _MORE if number < last else _LAST, len(part) < ZERO_COPY_BYTES)
            except zmq.Again:
                pass  # The connection has ended in between: the frame is lost at the break, whole, by its other parts.
        return True

    def _watch(self) -> None:
        """Wait for room in ZeroMQ's queue.

        A descriptor that is not watched costs the loop nothing, and an idle wire has nothing to wait for.  What it told
        while nobody watched is still there to be read.
        """
        if not self._watching:
            self._watching = True
            self._loop.add_reader(self._descriptor, self._flush)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self._descriptor)

    def _flush(self) -> None:
        """Hand over what is queued, as far as there is room.  Called from the loop only."""
        if self.state != "up":
            return
        frames = self._frames
        while frames and self._has_room():
            while frames and self._give(frames[0], frame_bytes := sum(map(len, frames[0]))):
                self._queued_bytes -= frame_bytes
                frames.popleft()
        if frames:
            self._watch()
        else:
            self._unwatch()
            if self._closed:
                self._end()
        self._tell_room()

    def _has_room(self) -> bool:
        """Ask for events, after which the descriptor tells of the next change."""
        return bool(cast("int", self._socket.get(zmq.EVENTS)) & zmq.POLLOUT)

    def _tell_room(self) -> None:
        if self._said_no and not self._closed and not self._is_full:
            self._said_no = False
            call_owner(self._loop, self._owner.wire_ready, self)

    # -- the connection ------------------------------------------------------------------------------------------------

    def _dial(self) -> None:
        self._timer = None
        self._trouble = ""
        self._socket = self._sockets.dealer(self._target)
        self._pipe_frames = PIPE_FRAMES_MAX
        try:
            self._descriptor = self._socket.fileno()
            self._monitor = Monitor(self._sockets, self._socket, _EVENTS, self._heard)
            self._socket.connect(self._target.address)
        except zmq.ZMQError as error:
            self._socket.close()
            raise TransportFailed(f"cannot connect to {self.endpoint}: {error}") from error
        self.state = "dialling"

    def _heard(self, event: Event, value: int) -> None:
        if event == Event.HANDSHAKE_SUCCEEDED:
            self.state = "up"
            self._retry_s = RETRY_FIRST_S
            self._flush()
        elif event == Event.DISCONNECTED:
            self._lose()
        else:
            self._trouble = why(event, value)

    def _lose(self) -> None:
        was_up = self.state == "up"
        self._hang_up()
        self.state = "waiting"
        self._timer = self._loop.call_later(self._retry_s, self._dial_again)
        self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
        if was_up:
            if not self._closed:
                call_owner(self._loop, self._owner.wire_lost, self, "the peer hung up, or cannot be reached any more")
        else:
            text = self._trouble or "it hung up during the handshake"
            self._refusals.note("handshake_failed", self.endpoint, f"no connection to {self.endpoint}: {text}")

    def _dial_again(self) -> None:
        try:
            self._dial()
        except TransportFailed as error:
            self._refusals.note("dial_failed", self.endpoint, str(error))
            self._timer = self._loop.call_later(RETRY_MAX_S, self._dial_again)

    def _hang_up(self, linger_s: float = 0.0) -> None:
        """Let go of the socket; what ZeroMQ holds is sent within ``linger_s``."""
        self._unwatch()
        self._monitor.close()
        self._socket.close(linger=max(0, round(linger_s * 1_000)))

    def _end(self) -> None:
        if self.state == "ended":
            return
        if self._timer is not None:
            self._timer.cancel()
        elif self.state != "waiting":
            self._hang_up(self._end_at - self._loop.time() if self.state == "up" else 0.0)
        self.state = "ended"
        self._frames.clear()
        self.ended.set_result(None)
