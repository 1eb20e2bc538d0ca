"""``Session``: one conversation with one generation of a peer, seen from one node, as a state machine (PURE).

    state        event                                          next state
    greeting     the peer answers a HELLO of this session       up
    greeting     ``expires_at`` passes                          closed
    up           frames were lost, the wire broke, or silence   broken
    up           what was sent stays unacknowledged             closed
    broken       the peer answers a HELLO                       up
    broken       ``give_up_s`` pass                             closed
    up           ``leave``                                      leaving
    leaving      the peer has everything, or ``linger_s`` pass  closed
    up           ``ask_to_close``: is the session idle?         closing
    closing      the peer agrees                                closed
    closing      the peer does not agree                        up
    up           the peer asks, and this side agrees            closed_idle
    closed_idle  ``linger_s`` pass                              closed

Each end gives the session a *token*, and each frame carries the token of the end that it goes to.  A session is up once
the peer has answered a HELLO of the present handshake with the present token: so both directions work now, and no late
or repeated frame can begin a session or end one.  After a break both ends greet again with the tokens that they had and
say what they have received; the rest is sent again.  An end that has given up takes a new token, which tells the other
end that the session is over.  ``sessions`` decides which session a greeting belongs to.

The numbers, acknowledgements and credit of a session are its ``Sequencer``.  The sending half numbers bodies 1, 2, 3,
... and keeps each one until the peer has acknowledged it.  The receiving half takes the next number only: a number
that it has is dropped, and a number above the next one shows that a connection broke without notice, since the
transport loses nothing while one lasts; the session answers it like any other break, by a handshake.  In a handshake
each side says what it has received, and the other one sends everything after that again.  Credit is counted from the
start of the session, as in QUIC, so a lost or repeated grant does no harm; the receiver grants what it has received
plus its window.
The control stream is counted neither against the credit nor against the window, so that supervision never waits behind
user messages.

A session that nobody uses ends when both ends agree.  The end that asks has nothing unacknowledged, and takes no body
until it has the answer.  The end that agrees has nothing to send either, and goes on answering the question for
``linger_s``, in case its answer was lost.  When no answer comes at all, the asking end greets, and finds out whether
the session goes on.

Each public method is one event: it takes the time in seconds and returns the effects.  ``wake_at`` says when ``tick``
is wanted; a tick that comes too early does nothing.

Laws of this file:
1. The same session, event, time and random number give the same effects.
2. ``SessionUp`` once, then ``SessionDown`` once; ``Deliver``, ``PeerUnreachable`` and ``PeerReachable`` only between.
3. A frame is answered by at most one frame that wants an answer itself, and that one is paced by time: no two nodes
   answer each other without end.
4. Bodies come out of one end as a prefix of what went into the other, in order, each once.
5. ``unacknowledged_bytes`` never exceeds ``window_bytes``, and what was sent never exceeds the peer's credit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Literal

import msgspec

from ..kernel.errors import ActorError
from . import frames
from .effects import (
    CapacityAvailable,
    Deliver,
    DownReason,
    Effect,
    PeerReachable,
    PeerUnreachable,
    SessionDown,
    SessionUp,
    Transmit,
)
from .frames import CONTROL, DATA, HEADER_BYTES, Frame, FrameError, Greeting, build, byte_count
from .handshake import Handshake
from .settings import SessionSettings
from .transport import Buffer, FrameTooLarge

State = Literal["greeting", "up", "broken", "leaving", "closing", "closed_idle", "closed"]
NameCheck = Literal["ask", "asked", "alive", "silent"]
"""Whether a peer whose name another node claims is alive: ask it; it was asked; it answered; it did not answer."""
PING_DELAY_FACTOR = 1.25
"""The end with the larger token waits this many times ``ping_after_s``, so that usually only the other end pings."""
IDLE_DETAIL = "neither side had anything to say"
Verdict = Literal["next", "seen", "gap"]
"""What a DATA frame is: the next one, one that was received before, or one above a number that has not come."""
BATCH_FRAMES_MAX = 100
"""Frames given to a wire at once.  A wire that is full would otherwise be offered all of them again and again."""


class SessionClosed(ActorError):
    """The session is not up yet, or it is over; its ``SessionDown`` says why."""


class UnacknowledgedBody(msgspec.Struct, frozen=True, gc=False):
    """A body that was sent and not acknowledged; ``counted_bytes`` is 0 in the control stream."""

    sequence: int
    stream: int
    parts: tuple[Buffer, ...]
    body_bytes: int
    counted_bytes: int


class Sequencer:
    """The numbering of both directions, and the header fields that report them.

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
        """The largest body that the normal stream would take now; 0 or less for none."""
        if len(self._unacknowledged) >= self._settings.window_frames:
            return 0
        return min(self.credit - self.sent_bytes, self._settings.window_bytes - self.unacknowledged_bytes)

    def append(self, parts: Sequence[Buffer], stream: int, body_bytes: int) -> UnacknowledgedBody:
        """Number a body and keep it; the caller has checked its size and ``capacity_bytes``."""
        self.last += 1
        counted = 0 if stream == CONTROL else body_bytes
        self.sent_bytes += counted
        self.unacknowledged_bytes += counted
        body = UnacknowledgedBody(self.last, stream, tuple(parts), body_bytes, counted)
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
        if frame.stream != CONTROL:
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
            DATA, self.peer_token, body.sequence, self.received, self.granted, body.parts, body.stream, body.body_bytes
        )

    def control_frame(self, kind: int = frames.ACK, parts: Sequence[Buffer] = ()) -> tuple[Buffer, ...]:
        """Build a frame of another kind, with the header as of now."""
        self._note_reported()
        # A BYE comes after everything.  For other kinds a body that was not transmitted is not missing at the peer.
        sequence = self.last if kind == frames.BYE else self.transmitted
        return build(kind, self.peer_token, sequence, self.received, self.granted, parts)

    def datagram(self, parts: Sequence[Buffer]) -> tuple[Buffer, ...]:
        """Build a DATAGRAM, which may be lost: what was received stays to be acknowledged by another frame."""
        return build(frames.DATAGRAM, self.peer_token, self.transmitted, self.received, self.granted, parts)

    def _note_reported(self) -> None:
        self.granted = self._received_bytes + self._settings.window_bytes
        self.unreported_frames = self.unreported_bytes = 0


class Session:
    """One session.  ``SessionManager`` makes sessions and calls their events.

    endpoint: the wire that it sends on.  token: what this end wants to see in the frames to it.
    expires_at: when a handshake that is not complete is forgotten; inf for never.
    peer: what the peer said of itself; None before its first greeting.
    identity: the identity that the transport has authenticated; None when it has not.
    tentative: whether the handshake is with a node whose name another session has, which goes on unless this one is
        answered.
    in_use: whether the network layer needs the session, so that it must not be closed for being idle.
    pinned: whether the endpoint was dialled until ``disconnect``, so that the session must not be closed either.
    body_bytes_max: of one body to this peer.  used_at: when a body was last sent or received.
    received_frames, breaks, duplicates: counters.
    wake_at: when ``tick`` is wanted, in seconds; inf for not at all.
    alarm_at: when ``SessionManager`` will call it; maintained there.
    """

    __slots__ = (
        "_ack_at",
        "_awaited_bytes",
        "_bye_at",
        "_end_at",
        "_handshake",
        "_name_check_at",
        "_name_check_frames",
        "_pinged_at",
        "_probe_at",
        "_probe_s",
        "_progress_at",
        "_question",
        "_received_at",
        "_settings",
        "_wire_full",
        "alarm_at",
        "body_bytes_max",
        "breaks",
        "duplicates",
        "endpoint",
        "ever_up",
        "identity",
        "in_use",
        "peer",
        "pinned",
        "received_frames",
        "sequencer",
        "state",
        "tentative",
        "token",
        "used_at",
        "wake_at",
    )  # fmt: skip

    def __init__(self, handshake: Handshake, settings: SessionSettings, endpoint: str, expires_at: float = inf) -> None:
        self._handshake, self._settings, self.endpoint = handshake, settings, endpoint
        self.token = handshake.token
        self.state: State = "greeting"
        self.sequencer = Sequencer(settings)
        self.body_bytes_max = 0
        self.ever_up = self.tentative = False
        self.peer: Greeting | None = None
        self.identity: str | None = None
        self.in_use, self.pinned = True, False
        self.received_frames = self.breaks = self.duplicates = self._question = 0
        self.used_at = -inf
        self.wake_at, self.alarm_at = expires_at, inf
        self._wire_full = False
        self._awaited_bytes = 0
        self._end_at = expires_at
        self._ack_at = self._probe_at = self._bye_at = inf
        self._probe_s = settings.probe_after_s
        self._received_at = self._pinged_at = self._progress_at = -inf
        self._name_check_at, self._name_check_frames = -inf, -1

    def __repr__(self) -> str:
        peer = "an unknown node" if self.peer is None else f"{self.peer.node}#{self.peer.generation}"
        return f"<Session with {peer} at {self.endpoint}: {self.state}>"

    # -- sending -------------------------------------------------------------------------------------------------------

    def send(self, parts: Sequence[Buffer], stream: int, now: float) -> list[Effect] | None:
        """Send a body of 1 or more bytes.

        Returns None when it was not taken; then ``CapacityAvailable`` follows.  The control stream always has capacity.
        While the peer is out of reach the body is kept.
        Raises ``SessionClosed`` outside of the session and ``FrameTooLarge`` above ``body_bytes_max``.
        """
        sequencer, body_bytes = self.sequencer, byte_count(parts)
        self._check_body(body_bytes)
        if stream != frames.CONTROL and body_bytes > sequencer.capacity_bytes:
            self._awaited_bytes = body_bytes
            return None
        if not sequencer.has_unacknowledged:
            self._progress_at = now
            self._probe_in(self._settings.probe_after_s, now)
        body, self.used_at = sequencer.append(parts, stream, body_bytes), now
        if self.state == "up" and not self._wire_full and sequencer.transmitted == body.sequence - 1:
            sequencer.transmitted = body.sequence
            return [Transmit(self.endpoint, sequencer.frame_of(body), body.sequence)]
        return []

    def send_unreliable(self, parts: Sequence[Buffer]) -> list[Effect]:
        """Send a body of 1 or more bytes that may be lost, come twice, or overtake others.

        It waits for nothing: neither for capacity nor for the bodies sent before.  It is dropped while the peer is out
        of reach, and by a wire where it would have to wait.  Raises ``SessionClosed`` and ``FrameTooLarge`` as
        ``send``.
        """
        self._check_body(byte_count(parts))
        if self.state != "up":
            return []
        return [Transmit(self.endpoint, self.sequencer.datagram(parts), reliable=False)]

    def _check_body(self, body_bytes: int) -> None:
        if self.state != "up" and self.state != "broken":
            raise SessionClosed(f"{self}: send only between its SessionUp and its SessionDown")
        if not 0 < body_bytes <= self.body_bytes_max:
            raise FrameTooLarge(f"{self}: a body of {body_bytes} bytes, it takes 1 to {self.body_bytes_max}")

    def not_taken(self, sequence: int) -> None:
        """The wire is full, and did not take this DATA frame."""
        self._wire_full = True
        self.sequencer.go_back(sequence - 1)

    def wire_ready(self, now: float) -> list[Effect]:
        """The wire takes frames again."""
        self._wire_full = False
        return self._flush(now)

    def _flush(self, now: float) -> list[Effect]:
        """Give the wire the next batch of bodies; the batch after it follows at the next tick."""
        sequencer = self.sequencer
        if self._wire_full or (self.state != "up" and self.state != "leaving"):
            return []
        effects: list[Effect] = [
            Transmit(self.endpoint, sequencer.frame_of(body), body.sequence) for body in sequencer.next_batch()
        ]
        if sequencer.has_untransmitted:
            self._wake(now)
        return effects

    # -- receiving -----------------------------------------------------------------------------------------------------

    def receive(self, frame: Frame, now: float) -> list[Effect]:
        """A frame of this session came in, other than a greeting.  Raises ``FrameError`` when it breaks the rules."""
        if self.state == "greeting" or self.state == "closed":
            return []
        is_about_closing = frames.IDLE <= frame.kind <= frames.STAY
        if is_about_closing or self.state == "closed_idle":
            return self._on_close_frame(frame, now) if is_about_closing else []
        sequencer = self.sequencer
        progress = sequencer.handle_header(frame)
        self._received_at = now
        self.received_frames += 1
        effects: list[Effect]
        if frame.kind == frames.DATA:
            effects = self._on_data(frame, now)
        elif frame.kind == frames.DATAGRAM:
            effects = [Deliver(self, frame.stream, frame.parts, reliable=False)]
        else:
            effects = self._on_control(frame, now)
        if progress:
            self._progress_at = now
            self._probe_in(self._settings.probe_after_s, now)
        if self._awaited_bytes and sequencer.capacity_bytes >= self._awaited_bytes:
            self._awaited_bytes = 0
            effects.append(CapacityAvailable(self))
        return effects

    def _on_data(self, frame: Frame, now: float) -> list[Effect]:
        sequencer = self.sequencer
        verdict = sequencer.take(frame)
        if verdict == "next":
            self.used_at = now
            effects: list[Effect] = [Deliver(self, frame.stream, frame.parts)]
            if sequencer.ack_is_due and self.state == "up":
                effects.append(self._control(frames.ACK))
            elif self._ack_at == inf:
                self._schedule_ack(now)
            return effects
        if verdict == "gap":
            return self._on_gap(now)
        self.duplicates += 1
        sequencer.unreported_frames += 1
        self._schedule_ack(now)
        return []

    def _on_control(self, frame: Frame, now: float) -> list[Effect]:
        if frame.sequence > self.sequencer.received:
            return self._on_gap(now)
        if frame.kind == frames.PING and self.state != "broken":
            return [self._control(frames.PONG)]
        if frame.kind == frames.BYE:
            if self.state == "leaving":
                return self.end("closed", "this node took its leave")
            reply = self._control(frames.BYE)
            return [reply, *self.end("goodbye", "it took its leave")]
        return []

    def _on_gap(self, now: float) -> list[Effect]:
        """The peer has sent a body that did not come: a connection broke without notice."""
        if self.state == "leaving":
            return [self.greet(now)] if self._handshake.is_quiet(now) else []
        return self._break("frames from it were lost", now) if self.state == "up" else []

    def _schedule_ack(self, now: float) -> None:
        """Acknowledge with the next frame, or in an ACK of its own after ``ack_delay_s``."""
        if self._ack_at == inf and self.state == "up":
            self._ack_at = now + self._settings.ack_delay_s
            self._wake(self._ack_at)

    # -- the handshake -------------------------------------------------------------------------------------------------

    def greet(self, now: float, echo: int = 0) -> Effect:
        """Send a HELLO, and the next one after a pause.

        echo: the attempt of the HELLO that this one answers; 0 when it answers none.
        """
        body = self._handshake.hello(now, echo, tentative=self.tentative)
        self._wake(min(self._handshake.next_at, self._end_at))
        return Transmit(self.endpoint, self.sequencer.control_frame(frames.HELLO, (body,)))

    def is_over_for(self, frame: Frame, greeting: Greeting) -> bool:
        """Whether the greeting comes from a node of the peer's name that does not know this session.

        A greeting to another token than this end's comes from a node that has the wrong token, and is told this one.
        """
        return self.ever_up and not self._is_peer(greeting) and frame.session in (0, self.token)

    def greeted(self, frame: Frame, greeting: Greeting, now: float) -> list[Effect]:
        """A HELLO or WELCOME from a node of the peer's name came in, and ``is_over_for`` it was False."""
        if self.state == "closed":
            return []
        has_token = frame.session == self.token
        if not (self.ever_up or self._is_peer(greeting) or (self.peer and greeting.tentative and not has_token)):
            self._set_peer(greeting)
        if not self._is_peer(greeting) or (self.ever_up and not (has_token or frame.session == 0)):
            return [self._welcome(greeting)] if greeting.attempt else []
        if self._handshake.is_repeated(greeting) or (self.ever_up and not has_token):
            return []  # it is older than this session, or was received before
        reply, events = list[Effect](), list[Effect]()
        if has_token:
            self.sequencer.handle_header(frame)
            if self._handshake.is_answered(greeting) and self.state in ("greeting", "broken", "closing"):
                events = self._come_up(now)
                self.sequencer.go_back(frame.acknowledged)
        if greeting.attempt:
            self._handshake.note_attempt(greeting.attempt)
            asks = self.state in ("greeting", "broken") and self._handshake.is_quiet(now)
            reply = [self.greet(now, greeting.attempt) if asks else self._welcome(greeting)]
            self.sequencer.go_back(frame.acknowledged)
        elif self.state == "leaving" and has_token and self._handshake.is_answered(greeting):
            self._handshake.complete()
            self.sequencer.go_back(frame.acknowledged)
        # The events come last: their listeners may send at once, and those bodies belong behind all this.
        return [*reply, *self._flush(now), *events]

    def _set_peer(self, greeting: Greeting) -> None:
        """Take the sender of the latest greeting for the peer; this ends with the first answer to this end's token."""
        self.peer = greeting
        self.sequencer.peer_token = greeting.token
        self._handshake.reset_peer()
        self.body_bytes_max = min(greeting.frame_bytes_max, self._settings.frame_bytes_max) - HEADER_BYTES

    def _is_peer(self, greeting: Greeting) -> bool:
        known = self.peer
        return known is not None and (known.token, known.generation) == (greeting.token, greeting.generation)

    def _welcome(self, greeting: Greeting) -> Effect:
        body = self._handshake.welcome(greeting.attempt, tentative=self.tentative)
        return Transmit(self.endpoint, self.sequencer.control_frame(frames.WELCOME, (body,)))

    def _come_up(self, now: float) -> list[Effect]:
        assert self.peer is not None, "an answer has a sender"
        event: Effect = CapacityAvailable(self) if self.state == "closing" else PeerReachable(self)
        self.state = "up"
        self._received_at = self._pinged_at = self._progress_at = now
        self._handshake.complete()
        self._end_at = self._ack_at = inf
        self._probe_in(self._settings.probe_after_s, now)
        self._wake(now + self._settings.ping_after_s)
        if self.ever_up:
            return [event]
        self.ever_up, self.tentative, self.used_at = True, False, now
        return [SessionUp(self, self.peer)]

    def postpone(self, now: float) -> None:
        """The peer refuses the session for now: greet it again after the longest pause."""
        self._handshake.postpone(now)
        self._wake(self._handshake.next_at)

    def make_tentative(self, until: float) -> None:
        """Another session with the peer is up: drop this one if its handshake is not complete by ``until``."""
        self.tentative = True
        self._end_at = min(self._end_at, until)
        self._wake(self._end_at)

    # -- breaks and ends -----------------------------------------------------------------------------------------------

    def wire_lost(self, detail: str, now: float) -> list[Effect]:
        """The wire's connection broke: frames may be lost, so a handshake finds out which."""
        return self._break(detail, now) if self.state == "up" else []

    def leave(self, now: float) -> list[Effect]:
        """Say goodbye: ``SessionDown`` follows when the peer has everything, or after ``linger_s``."""
        if self.state != "up" and self.state != "closing":
            return [] if self.state == "leaving" else self.end("closed", "this node took its leave")
        self.state = "leaving"
        self._end_at, self._bye_at = now + self._settings.linger_s, now + self._settings.linger_s / 4
        self._wake(self._bye_at)
        return [self._control(frames.BYE)]

    def end(self, reason: DownReason, detail: str) -> list[Effect]:
        """End the session now."""
        if self.state == "closed":
            return []
        is_reported = self.state == "closed_idle" or not self.ever_up
        self.state, self.wake_at = "closed", inf
        left = tuple(body.parts for body in self.sequencer.drain())
        return [] if is_reported else [SessionDown(self, reason, detail, left)]

    def supersede(self) -> list[Effect]:
        """Another session with the peer is up, so this one is over at the peer."""
        if self.state == "closing":
            return self.end("idle", IDLE_DETAIL)
        return self.end("node_lost", "it came back without this session")

    def check_name(self, now: float) -> tuple[NameCheck, list[Effect]]:
        """Another node claims the peer's name: PING the peer, and say whether it has answered.

        The other node greets again and again, so that a later greeting finds the answer; a check that no greeting
        comes back to is forgotten.
        """
        settings, since_s = self._settings, now - self._name_check_at
        if since_s > settings.name_check_s + 2 * settings.greet_max_s:
            self._name_check_at, self._name_check_frames = now, self.received_frames
            return "ask", [self._control(frames.PING)]
        if self.received_frames > self._name_check_frames:
            return "alive", []
        return "silent" if since_s >= settings.name_check_s else "asked", []

    def _break(self, detail: str, now: float) -> list[Effect]:
        self.state = "broken"
        self.breaks += 1
        self._ack_at = self._probe_at = inf
        self._end_at = now + self._settings.give_up_s
        return [PeerUnreachable(self, detail), self.greet(now)]

    # -- the end of an idle session ------------------------------------------------------------------------------------

    @property
    def can_close(self) -> bool:
        """Whether this side may close the session as idle: it is up, not used, and nothing is unacknowledged."""
        if self.state != "up" and self.state != "closing":
            return False
        return not (self.in_use or self.pinned or self.sequencer.has_unacknowledged)

    def ask_to_close(self, now: float) -> list[Effect]:
        """Ask the peer whether the session may end; does nothing unless ``can_close``."""
        if self.state != "up" or not self.can_close:
            return []
        self.state, self._question = "closing", self._handshake.question()
        self._end_at, self._bye_at = now + self._settings.linger_s, now + self._settings.linger_s / 4
        self._wake(self._bye_at)
        return [self._frame(frames.IDLE, self._question)]

    def _on_close_frame(self, frame: Frame, now: float) -> list[Effect]:
        number = frames.read_number(frame)
        if frame.kind == frames.IDLE:
            return self._on_close_question(frame, number, now)
        if self.state != "closing" or number != self._question:
            return []
        if frame.kind == frames.AGREE:
            return self.end("idle", IDLE_DETAIL)
        self.sequencer.handle_header(frame)
        self.used_at = now
        events = self._come_up(now)
        self._schedule_ack(now)
        return events

    def _on_close_question(self, frame: Frame, number: int, now: float) -> list[Effect]:
        if self.state == "closed_idle":
            return [self._frame(frames.AGREE, number)]
        if self.state != "up" and self.state != "closing":
            return []
        self.sequencer.handle_header(frame)
        self._received_at = now
        self.received_frames += 1
        is_stale = self._handshake.is_stale(number)
        if is_stale or not self.can_close or frame.sequence != self.sequencer.received:
            if not is_stale:
                self._handshake.note_attempt(number)
            return [self._frame(frames.STAY, number)]
        self.state, self._end_at = "closed_idle", now + self._settings.linger_s
        self.wake_at = self._end_at
        return [self._frame(frames.AGREE, number), SessionDown(self, "idle", IDLE_DETAIL, ())]

    # -- time ----------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        if now < self.wake_at or self.state == "closed":
            return []
        self.wake_at = inf
        if self.state == "up":
            return [*self._tick_up(now), *self._flush(now)]
        if self.state == "leaving":
            return [*self._tick_leaving(now), *self._flush(now)]
        if self.state == "closing":
            return self._tick_closing(now)
        if self.state == "closed_idle":
            return self.end("idle", "") if now >= self._end_at else []
        if now >= self._end_at:
            return self.end("node_lost", f"it stayed out of reach for {self._settings.give_up_s} s")
        effects = [self.greet(now)] if now >= self._handshake.next_at else []
        self._wake(min(self._handshake.next_at, self._end_at))
        return effects

    def _tick_up(self, now: float) -> list[Effect]:
        settings, sequencer = self._settings, self.sequencer
        if now >= self._received_at + settings.peer_timeout_s:
            return self._break(f"it said nothing for {settings.peer_timeout_s} s", now)
        if sequencer.has_unacknowledged and now >= self._progress_at + settings.handshake_s:
            return self.end("node_lost", f"it acknowledged nothing for {settings.handshake_s:g} s")
        effects: list[Effect] = []
        probes = now >= self._probe_at and sequencer.has_unacknowledged
        if probes:
            self._probe_in(min(2 * self._probe_s, settings.ping_after_s), now)
        # On an idle session one end has to ping: the other one waits longer, and receives that PING in time.
        ping_after_s = settings.ping_after_s * (1 if self.token < sequencer.peer_token else PING_DELAY_FACTOR)
        if probes or now >= max(self._received_at, self._pinged_at) + ping_after_s:
            self._pinged_at = now
            effects.append(self._control(frames.PING))
        if now >= self._ack_at:
            self._ack_at = inf
            if sequencer.unreported_frames:
                effects.append(self._control(frames.ACK))
        if sequencer.has_unacknowledged:
            self._wake(self._probe_at)
        self._wake(min(self._ack_at, max(self._received_at, self._pinged_at) + ping_after_s))
        self._wake(self._received_at + settings.peer_timeout_s)
        return effects

    def _tick_leaving(self, now: float) -> list[Effect]:
        if now >= self._end_at:
            return self.end("closed", "this node took its leave; the peer did not confirm it")
        effects: list[Effect] = []
        if now >= self._bye_at:
            self._bye_at = now + self._settings.linger_s / 4
            effects = [self._control(frames.BYE)]
        self._wake(min(self._bye_at, self._end_at))
        return effects

    def _tick_closing(self, now: float) -> list[Effect]:
        """Ask again; when no answer comes, greet: the session goes on, or a new one of the peer supersedes it."""
        settings = self._settings
        if now >= self._end_at + settings.give_up_s:
            return self.end("node_lost", f"it stayed out of reach for {settings.give_up_s} s")
        effects: list[Effect] = []
        if now >= self._end_at:
            if now >= self._handshake.next_at or self._handshake.next_at == inf:
                effects = [self.greet(now)]
            self._wake(self._handshake.next_at)
        elif now >= self._bye_at:
            self._bye_at = now + settings.linger_s / 4
            effects = [self._frame(frames.IDLE, self._question)]
        self._wake(min(self._bye_at, self._end_at) if now < self._end_at else self._end_at + settings.give_up_s)
        return effects

    def _probe_in(self, delay_s: float, now: float) -> None:
        """PING after so long if something is unacknowledged by then: its header shows the peer what it lacks."""
        self._probe_s = delay_s
        self._probe_at = now + delay_s
        self._wake(self._probe_at)

    def _wake(self, at: float) -> None:
        if at < self.wake_at:
            self.wake_at = at

    def _frame(self, kind: int, number: int) -> Transmit:
        """A frame whose body is a number."""
        return Transmit(self.endpoint, self.sequencer.control_frame(kind, (frames.encode_body([number]),)))

    def _control(self, kind: int) -> Transmit:
        return Transmit(self.endpoint, self.sequencer.control_frame(kind))
