"""One session's stream of DATA frames in both directions: order, acknowledgement, credit (PURE).

The sending half numbers bodies 1, 2, 3, ... and keeps each one until the peer has acknowledged it.  The receiving half
takes the next number only: a number that it has is dropped, and a number above the next one shows that frames were
lost, which the session answers by a new handshake.  In a handshake each side says what it has received, and the other
one sends everything after that again.

Credit is counted from the start of the session, as in QUIC, so a lost or repeated grant does no harm.  The receiver
grants what it has received plus its window.  The control lane is counted neither against the credit nor against the
window, so that supervision never waits behind user messages.

Laws of this file:
1. Bodies come out of one end as a prefix of what went into the other, in order, each once.
2. ``unacknowledged_bytes`` never exceeds ``window_bytes``, and what was sent never exceeds the peer's credit.
3. Nothing here is paid per message: a body holds everything that was sent to the peer in one iteration of the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from .frames import ACK, BYE, CONTROL, DATA, DATAGRAM, Frame, FrameError, build, byte_count
from .settings import SessionSettings
from .transport import Buffer

Verdict = Literal["next", "seen", "gap"]
"""What a DATA frame is: the next one, one that was received before, or one above a number that has not come."""
BATCH_FRAMES_MAX = 100
"""Frames given to a wire at once.  A wire that is full would otherwise be offered all of them again and again."""


class UnacknowledgedBody(msgspec.Struct, frozen=True, gc=False):
    """A body that was sent and not acknowledged; ``counted_bytes`` is 0 in the control lane."""

    sequence: int
    lane: int
    parts: tuple[Buffer, ...]
    body_bytes: int
    counted_bytes: int


class Stream:
    """Both halves of a stream, and the header fields that report them.

    last: the number of the newest body.  acknowledged: of the newest body that the peer has.
    transmitted: of the newest body that was given to the wire; it falls when later ones have to be sent again.
    received: of the newest body received in order.
    peer_token: stands as ``session`` in every frame to the peer.
    unreported_frames, unreported_bytes: received since the last frame to the peer.
    """

    __slots__ = (
        "_received_bytes", "_settings", "_unacknowledged", "acknowledged", "credit", "granted", "last", "peer_token",
        "received", "sent_bytes", "transmitted", "unacknowledged_bytes", "unreported_bytes", "unreported_frames",
    )  # fmt: skip

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._unacknowledged: dict[int, UnacknowledgedBody] = {}
        self.peer_token = 0
        self.last = self.acknowledged = self.transmitted = 0
        self.sent_bytes = self.unacknowledged_bytes = 0
        self.credit = 0
        self.received: int = 0
        self._received_bytes = 0
        self.granted = settings.window_bytes
        self.unreported_frames = self.unreported_bytes = 0

    # -- sending -------------------------------------------------------------------------------------------------------

    @property
    def capacity_bytes(self) -> int:
        """The largest body that the normal lane would take now; 0 or less for none."""
        if len(self._unacknowledged) >= self._settings.window_frames:
            return 0
        return min(self.credit - self.sent_bytes, self._settings.window_bytes - self.unacknowledged_bytes)

    def append(self, parts: Sequence[Buffer], lane: int, body_bytes: int) -> UnacknowledgedBody:
        """Number a body and keep it; the caller has checked its size and ``capacity_bytes``."""
        self.last += 1
        counted = 0 if lane == CONTROL else body_bytes
        self.sent_bytes += counted
        self.unacknowledged_bytes += counted
        body = UnacknowledgedBody(self.last, lane, tuple(parts), body_bytes, counted)
        self._unacknowledged[body.sequence] = body
        return body

    @property
    def has_unacknowledged(self) -> bool:
        """Whether the peer has not acknowledged everything."""
        return bool(self._unacknowledged)

    @property
    def has_untransmitted(self) -> bool:
        """Whether there is a body to give to the wire."""
        return self.transmitted < self.last

    def next_batch(self) -> list[UnacknowledgedBody]:
        """Count the next ``BATCH_FRAMES_MAX`` bodies, or fewer, as transmitted, and return them."""
        first = self.transmitted + 1
        self.transmitted = min(self.last, self.transmitted + BATCH_FRAMES_MAX)
        return [self._unacknowledged[sequence] for sequence in range(first, self.transmitted + 1)]

    def go_back(self, sequence: int) -> None:
        """Transmit everything after this number again; what is acknowledged is never transmitted again."""
        self.transmitted = max(self.acknowledged, min(self.transmitted, sequence))

    def drain(self) -> tuple[UnacknowledgedBody, ...]:
        """Return what the peer never acknowledged, oldest first, and forget it."""
        left = tuple(self._unacknowledged.values())
        self._unacknowledged.clear()
        self.unacknowledged_bytes = 0
        return left

    # -- receiving -----------------------------------------------------------------------------------------------------

    def handle_header(self, frame: Frame) -> bool:
        """Take acknowledgement and credit from a frame; returns whether the peer has acknowledged more than before.

        Raises ``FrameError`` when the peer acknowledges a number that was never sent.
        """
        if frame.credit > self.credit:
            self.credit = frame.credit
        acknowledged = frame.acknowledged
        if acknowledged <= self.acknowledged:
            return False
        if acknowledged > self.last:
            raise FrameError(f"the peer acknowledges body {acknowledged}, only {self.last} were sent", 28)
        unacknowledged = self._unacknowledged
        for sequence in range(self.acknowledged + 1, acknowledged + 1):
            self.unacknowledged_bytes -= unacknowledged.pop(sequence).counted_bytes
        self.acknowledged = acknowledged
        self.transmitted = max(self.transmitted, acknowledged)
        return True

    def take(self, frame: Frame) -> Verdict:
        """Judge a DATA frame; ``next`` counts it as received.  Raises ``FrameError`` when it exceeds the credit."""
        sequence = frame.sequence
        if sequence != self.received + 1:
            return "seen" if sequence <= self.received else "gap"
        if frame.lane != CONTROL:
            body_bytes = byte_count(frame.parts)
            received_bytes = self._received_bytes + body_bytes
            if received_bytes > self.granted:
                raise FrameError(f"body {sequence} makes {received_bytes} bytes, granted are {self.granted}", 20)
            self._received_bytes = received_bytes
            self.unreported_bytes += body_bytes
        self.received = sequence
        self.unreported_frames += 1
        return "next"

    @property
    def ack_is_due(self) -> bool:
        """Whether so much was received that the peer should be told at once."""
        settings = self._settings
        return self.unreported_frames >= settings.ack_frames or self.unreported_bytes >= settings.ack_bytes

    # -- frames --------------------------------------------------------------------------------------------------------

    def frame_of(self, body: UnacknowledgedBody) -> tuple[Buffer, ...]:
        """Build the DATA frame of a body, with the header as of now."""
        self._note_reported()
        return build(
            DATA, self.peer_token, body.sequence, self.received, self.granted, body.parts, body.lane, body.body_bytes
        )

    def control_frame(self, kind: int = ACK, parts: Sequence[Buffer] = ()) -> tuple[Buffer, ...]:
        """Build a frame of another kind, with the header as of now."""
        self._note_reported()
        # A BYE comes after everything.  For other kinds a body that was not transmitted is not missing at the peer.
        sequence = self.last if kind == BYE else self.transmitted
        return build(kind, self.peer_token, sequence, self.received, self.granted, parts)

    def datagram(self, parts: Sequence[Buffer]) -> tuple[Buffer, ...]:
        """Build a DATAGRAM, which may be lost: what was received stays to be acknowledged by another frame."""
        return build(DATAGRAM, self.peer_token, self.transmitted, self.received, self.granted, parts)

    def _note_reported(self) -> None:
        self.granted = self._received_bytes + self._settings.window_bytes
        self.unreported_frames = self.unreported_bytes = 0
