"""``Transmission``: how the stream of a link goes over its wire, and what is missing comes again (PURE).

The part of a ``Session`` that knows nothing about how sessions begin and end, beyond their state.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Literal

from ..kernel.errors import ActorError
from . import frames
from .effects import Effect, Transmit
from .frames import Frame, byte_count
from .settings import SessionSettings
from .stream import Stream
from .transport import Buffer, FrameTooLarge

State = Literal["greeting", "up", "broken", "leaving", "closing", "closed_idle", "closed"]


class SessionClosed(ActorError):
    """The session is not up, or over; its ``PeerDown`` says why."""


class Transmission:
    """See the top of the file.

    endpoint: the wire it sends on.  wake_at: when ``Session.tick`` is wanted, in seconds; inf for not at all.
    body_bytes_max: of one body to this peer.  used_at: when a body last went or came.
     resends: requests of the peer to send something again.
    """

    __slots__ = (
        "_ack_at",
        "_awaited_bytes",
        "_probe_at",
        "_probe_s",
        "_resend_number",
        "_settings",
        "_wire_full",
        "body_bytes_max",
        "endpoint",
        "resends",
        "state",
        "stream",
        "used_at",
        "wake_at",
    )  # fmt: skip

    def __init__(self, settings: SessionSettings, endpoint: str) -> None:
        self._settings, self.endpoint = settings, endpoint
        self.state: State = "greeting"
        self.stream = Stream(settings)
        self.body_bytes_max = 0
        self.wake_at = self._ack_at = self._probe_at = inf
        self._probe_s = settings.probe_after_s
        self.resends = self._resend_number = 0
        self._wire_full = False
        self._awaited_bytes = 0
        self.used_at = -inf

    def send(self, parts: Sequence[Buffer], lane: int, now: float) -> list[Effect] | None:
        """Send a body of 1 or more bytes; None when it was not taken, and then ``CapacityAvailable`` says when it may be.

        There is always room in the control lane.  While the peer is out of reach the body is kept.  Raises
        ``SessionClosed`` outside of the session and ``FrameTooLarge`` above ``body_bytes_max``.
        """
        if self.state != "up" and self.state != "broken":
            raise SessionClosed(f"{self}: send only between its PeerUp and its PeerDown")
        stream, body_bytes = self.stream, byte_count(parts)
        if not 0 < body_bytes <= self.body_bytes_max:
            raise FrameTooLarge(f"{self}: a body of {body_bytes} bytes, it takes 1 to {self.body_bytes_max}")
        if lane != frames.CONTROL and body_bytes > stream.capacity_bytes:
            self._awaited_bytes = body_bytes
            return None
        if not stream.has_unacknowledged:
            self._probe_in(stream.missing.round_trip.probe_s, now)
        kept, self.used_at = stream.append(parts, lane, body_bytes), now
        if self.state == "up" and not self._wire_full and stream.transmitted == kept.sequence - 1:
            stream.transmitted = kept.sequence
            return [Transmit(self.endpoint, stream.frame_of(kept), kept.sequence)]
        return []

    def retain(self, byte_change: int, now: float) -> list[Effect]:
        """Hold back credit for bytes that were delivered and have no room yet; a negative change gives it free."""
        stream = self.stream
        stream.retain(byte_change)
        if self.state == "up" and stream.grantable - stream.granted >= self._settings.window_bytes // 4:
            return [self._control(frames.ACK)]  # the peer may stand still
        return self._schedule_ack(now)

    def not_taken(self, sequence: int) -> None:
        """The wire is full, and did not take this DATA frame."""
        self._wire_full = True
        self.stream.not_taken(sequence)

    def wire_ready(self, now: float) -> list[Effect]:
        """The wire has room again."""
        self._wire_full = False
        return self._flush(now)

    def _ask_again(self, now: float) -> list[Effect]:
        """Something is missing: ask for what is due to be asked for."""
        stream, effects = self.stream, list[Effect]()
        if self.state != "up" and self.state != "leaving":
            return []
        if now >= stream.missing.due_at:
            numbers = stream.missing.ask(stream.received, now, frames.ranges_max(self.body_bytes_max))
            if numbers:
                effects.append(self._frame(frames.RESEND, numbers))
        self._wake(stream.missing.due_at)
        return effects

    def send_again(self, frame: Frame, now: float) -> list[Effect]:
        """The peer misses some of what was sent; a request that comes twice is one."""
        number, *ranges = frames.read_numbers(frame)
        if number <= self._resend_number:
            return []
        self._resend_number = number
        self.resends += 1
        self.stream.is_missing(frame.acknowledged, ranges)
        return self._flush(now)

    def _schedule_ack(self, now: float) -> list[Effect]:
        """An acknowledgement is owed; it goes with the next frame, or alone after a while."""
        if self._ack_at == inf and self.state == "up":
            self._ack_at = now + self._settings.ack_delay_s
            self._wake(self._ack_at)
        return []

    def _flush(self, now: float) -> list[Effect]:
        """Hand to the wire what it has not been handed, a part of it at a time."""
        stream = self.stream
        if self._wire_full or (self.state != "up" and self.state != "leaving"):
            return []
        effects: list[Effect] = [
            Transmit(self.endpoint, stream.frame_of(kept), kept.sequence) for kept in stream.next_batch()
        ]
        if stream.has_untransmitted:
            self._wake(now)
        return effects

    def _probe_in(self, delay_s: float, now: float) -> None:
        self._probe_s = delay_s
        self._probe_at = now + delay_s
        if self._probe_at < self.wake_at:
            self.wake_at = self._probe_at

    def _wake(self, at: float) -> None:
        if at < self.wake_at:
            self.wake_at = at

    def _frame(self, kind: int, numbers: Sequence[int]) -> Transmit:
        """A frame with numbers."""
        return Transmit(self.endpoint, self.stream.control_frame(kind, (frames.encode_body(numbers),)))

    def _control(self, kind: int) -> Transmit:
        return Transmit(self.endpoint, self.stream.control_frame(kind))
