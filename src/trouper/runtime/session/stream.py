"""One session's stream of DATA frames in both directions: order, acknowledgement, credit (PURE).

The sending half numbers bodies 1, 2, 3, ... and keeps each until the peer has acknowledged it.  The receiving half
lets bodies out in order only: what was received before is dropped, and what comes before others that are missing is
kept until those have come, which are asked for one by one (selective repeat).  After a break the sender goes back to
what was acknowledged, and sends everything after it again.

Credit is counted from the start of the session, as in QUIC: a lost or repeated grant does no harm.  The receiver grants
what it has received, plus its window, minus what it was told to retain.  The control lane is outside of credit and
window: what supervises must not wait behind what it supervises.

Laws of this file:
1. Bodies come out of one end as a prefix of what went into the other, in order, each once.
2. ``unacknowledged_bytes`` never stands above ``window_bytes``, nor what was sent above the peer's credit.
3. What came early is at most ``window_frames`` frames, and at most ``window_bytes``, the control lane counted.
4. Nothing here is paid per message: a body holds all that one turn of the loop had to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Literal

import msgspec

from .frames import ACK, BYE, CONTROL, DATA, Frame, FrameError, build, byte_count
from .gap_tracker import GapTracker
from .settings import SessionSettings
from .transport import Buffer

Verdict = Literal["next", "seen", "early", "dropped"]
"""``next``: take it, and then the ``followers``; ``early``: it is kept; ``dropped``: there was no room for it."""
BATCH_FRAMES_MAX = 100
"""Frames that are handed to a wire at once; a wire that is full would get all of them again."""


class UnacknowledgedBody(msgspec.Struct, frozen=True, gc=False):
    """A body that was sent and is not acknowledged; ``counted_bytes`` is 0 in the control lane."""

    sequence: int
    lane: int
    parts: tuple[Buffer, ...]
    body_bytes: int
    counted_bytes: int


class Stream:
    """Both halves, and the header that speaks for both.

    last, acknowledged, handed: the numbers of the newest body, of the newest that the peer has, and of the newest that
        was given to the wire; ``transmitted`` falls back when all after it has to be sent again.
    received: the number of the newest body received in order.  early: what came before others that are missing.
    peer_token: stands as ``session`` in every frame to the peer.
    owed_frames, owed_bytes: received since this side last said what it has received.
    """

    __slots__ = (
        "_again",
        "_batch",
        "_batch_after",
        "_early_bytes",
        "_early_counted_bytes",
        "_kept",
        "_received_bytes",
        "_retained_bytes",
        "_settings",
        "acknowledged",
        "credit",
        "early",
        "granted",
        "last",
        "missing",
        "peer_token",
        "received",
        "sent_bytes",
        "transmitted",
        "unacknowledged_bytes",
        "unreported_bytes",
        "unreported_frames",
    )  # fmt: skip

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._kept: dict[int, UnacknowledgedBody] = {}
        self._again: dict[int, None] = {}
        self._batch: list[int] = []
        self._batch_after = 0
        self.peer_token = 0
        self.last = self.acknowledged = self.transmitted = 0
        self.sent_bytes = self.unacknowledged_bytes = 0
        self.credit = 0
        self.received: int = 0
        self._received_bytes = self._retained_bytes = 0
        self.early: dict[int, Frame] = {}
        self._early_bytes = self._early_counted_bytes = 0
        self.missing = GapTracker(settings)
        self.granted = settings.window_bytes
        self.unreported_frames = self.unreported_bytes = 0

    @property
    def capacity_bytes(self) -> int:
        """The largest body that the normal lane would take now; 0 or less for none."""
        if len(self._kept) >= self._settings.window_frames:
            return 0
        return min(self.credit - self.sent_bytes, self._settings.window_bytes - self.unacknowledged_bytes)

    def append(self, parts: Sequence[Buffer], lane: int, body_bytes: int) -> UnacknowledgedBody:
        """Number a body and keep it; the caller has seen to its size and to ``capacity_bytes``."""
        self.last += 1
        counted = 0 if lane == CONTROL else body_bytes
        self.sent_bytes += counted
        self.unacknowledged_bytes += counted
        kept = UnacknowledgedBody(self.last, lane, tuple(parts), body_bytes, counted)
        self._kept[kept.sequence] = kept
        return kept

    def handle_header(self, frame: Frame) -> bool:
        """Learn from a frame what the peer has and what it is ready for; returns whether it has more than before.

        Raises ``FrameError`` when the peer acknowledges what was never sent.
        """
        if frame.credit > self.credit:
            self.credit = frame.credit
        acknowledged = frame.acknowledged
        if acknowledged <= self.acknowledged:
            return False
        if acknowledged > self.last:
            raise FrameError(f"the peer acknowledges body {acknowledged}, only {self.last} were sent", 28)
        kept = self._kept
        for sequence in range(self.acknowledged + 1, acknowledged + 1):
            self.unacknowledged_bytes -= kept.pop(sequence).counted_bytes
        self.acknowledged = acknowledged
        self.transmitted = max(self.transmitted, acknowledged)
        return True

    def take(self, frame: Frame, now: float) -> Verdict:
        """Judge a DATA frame; ``next`` counts it as received.  Raises ``FrameError`` when it goes beyond the credit."""
        sequence, received, early = frame.sequence, self.received, self.early
        if sequence <= received or sequence in early:
            self.missing.came_twice()
            return "seen"
        if sequence > received + self._settings.window_frames:
            self.learn(sequence, now)
            return "dropped"
        body_bytes = byte_count(frame.parts)
        if frame.lane != CONTROL:
            received_bytes = self._received_bytes + self._early_counted_bytes + body_bytes
            if received_bytes > self.granted:
                raise FrameError(f"body {sequence} makes {received_bytes} bytes, granted are {self.granted}", 20)
        if sequence == received + 1:
            if self.missing.gaps:
                self.missing.arrived(received, sequence, now)
            self._count(frame, body_bytes)
            return "next"
        if self._early_bytes + body_bytes > self._settings.window_bytes:
            self.learn(sequence, now)
            return "dropped"
        self.missing.arrived(received, sequence, now)
        early[sequence] = frame
        self._early_bytes += body_bytes
        self._early_counted_bytes += 0 if frame.lane == CONTROL else body_bytes
        return "early"

    def followers(self) -> Iterator[Frame]:
        """What came early and is next now."""
        while (frame := self.early.pop(self.received + 1, None)) is not None:
            body_bytes = byte_count(frame.parts)
            self._early_bytes -= body_bytes
            self._early_counted_bytes -= 0 if frame.lane == CONTROL else body_bytes
            self._count(frame, body_bytes)
            yield frame

    def _count(self, frame: Frame, body_bytes: int) -> None:
        if frame.lane != CONTROL:
            self._received_bytes += body_bytes
            self.unreported_bytes += body_bytes
        self.received = frame.sequence
        self.unreported_frames += 1

    def learn(self, sequence: int, now: float) -> None:
        """The peer says that it has sent this number; what there is no room for is not asked for yet."""
        newest = min(sequence, self.received + self._settings.window_frames)
        self.missing.learn(self.received, newest, now)

    def retain(self, byte_change: int) -> None:
        """Hold credit back by so many bytes, or give it free when they are negative."""
        self._retained_bytes += byte_change
        if self._retained_bytes < 0:
            raise ValueError(f"{-self._retained_bytes} bytes more were released than retained")

    @property
    def grantable(self) -> int:
        """The credit that the next frame to the peer tells; it never falls."""
        return max(self.granted, self._received_bytes - self._retained_bytes + self._settings.window_bytes)

    @property
    def ack_is_due(self) -> bool:
        """Whether so much was received that the peer should hear of it at once."""
        return self.unreported_frames >= self._settings.ack_frames or self.unreported_bytes >= self._settings.ack_bytes

    @property
    def ack_owed(self) -> bool:
        """Whether there is anything that the peer has not been told."""
        return self.unreported_frames > 0 or self.grantable > self.granted

    def frame_of(self, kept: UnacknowledgedBody) -> tuple[Buffer, ...]:
        """The DATA frame for a kept body, as of now."""
        self._note_reported()
        return build(
            DATA, self.peer_token, kept.sequence, self.received, self.granted, kept.parts, kept.lane, kept.body_bytes
        )

    def control_frame(self, kind: int = ACK, parts: Sequence[Buffer] = ()) -> tuple[Buffer, ...]:
        """A frame of another kind, as of now."""
        self._note_reported()
        # A goodbye comes after everything; for the others what has not been handed out is not missing at the peer.
        sequence = self.last if kind == BYE else self.transmitted
        return build(kind, self.peer_token, sequence, self.received, self.granted, parts)

    def _note_reported(self) -> None:
        self.granted = self.grantable
        self.unreported_frames = self.unreported_bytes = 0

    def go_back(self, acknowledged: int) -> None:
        """The peer has nothing after ``acknowledged``: all that is kept after it has to be handed out again."""
        self.transmitted = max(self.acknowledged, min(self.transmitted, acknowledged))
        self._again = {sequence: None for sequence in self._again if sequence <= self.transmitted}

    def is_missing(self, acknowledged: int, ranges: Sequence[int]) -> None:
        """The peer asks for numbers: so many after ``acknowledged`` are passed over, so many asked for, and so on."""
        at = acknowledged + 1
        for passed_over, asked in zip(ranges[::2], ranges[1::2], strict=False):
            at += passed_over
            for sequence in range(max(at, self.acknowledged + 1), min(at + asked, self.transmitted + 1)):
                self._again[sequence] = None
            at += asked

    @property
    def has_untransmitted(self) -> bool:
        """Whether there is anything to hand to the wire."""
        return self.transmitted < self.last or bool(self._again)

    def next_batch(self) -> list[UnacknowledgedBody]:
        """The bodies that the wire is to be given next, at most ``BATCH_FRAMES_MAX``: first what is asked for again."""
        again = list(islice(self._again, BATCH_FRAMES_MAX))
        for sequence in again:
            del self._again[sequence]
        again = [sequence for sequence in again if sequence in self._kept]
        self._batch_after = self.transmitted
        self.transmitted = min(self.last, self.transmitted + BATCH_FRAMES_MAX - len(again))
        self._batch = [*again, *range(self._batch_after + 1, self.transmitted + 1)]
        return [self._kept[sequence] for sequence in self._batch]

    def not_taken(self, sequence: int) -> None:
        """The wire did not take this one, nor what was handed out with it and behind it."""
        after = sequence - 1
        if sequence in self._batch:
            left = self._batch[self._batch.index(sequence) :]
            after = max(after, self._batch_after)
            again = [sequence for sequence in left if sequence <= self._batch_after]
            self._again = dict.fromkeys(chain(again, self._again))
        self.go_back(after)

    @property
    def has_unacknowledged(self) -> bool:
        """Whether the peer still has to acknowledge something."""
        return bool(self._kept)

    def drain(self) -> tuple[UnacknowledgedBody, ...]:
        """Return what the peer never acknowledged, oldest first, and forget it."""
        left = tuple(self._kept.values())
        self._kept.clear()
        self._again.clear()
        self.early.clear()
        self.unacknowledged_bytes = 0
        return left
