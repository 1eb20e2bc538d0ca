"""``Session``: one session with one life of a peer, seen from one node, as a state machine (PURE).

    greeting --the peer answers our HELLO--> up --nothing heard, wire lost--> broken --the peer answers--> up
    greeting --handshake_s--> closed         up --leave--> leaving --> closed         broken --give_up_s--> closed
    up --part--> closing --the peer agrees--> closed         up --the peer asks, and may--> closed_idle --linger_s--> closed

Each end gives the session a *token*, and each frame carries the token of the end that it goes to.  A link is up once
the peer has answered a HELLO of this very attempt with this very token: so both directions work now, and no late or
repeated frame can bring a session to life or bring one down.  After a break both ends greet again with the tokens that
they had and say what they have received; the rest is sent again.  An end that has given up takes a new token, which
tells the other that the session is over.  Which link a greeting belongs to is the business of ``switchboard``.

A session that nobody needs ends when both agree: who asks has nothing unacknowledged, and takes nothing new until it
has the answer; who agrees has nothing to say either, and hears the question for a while yet, in case the answer was
lost.  When no answer comes at all, the asker greets, and finds out whether the session goes on.

Each public method is one event: it takes the time in seconds and returns the effects.  ``wake_at`` says when ``tick``
is wanted; a tick that comes too early does nothing.

Laws of this file:
1. The same link, event, time and random number give the same effects.
2. ``PeerUp`` once, then ``PeerDown`` once; bodies are delivered and ``PeerUnreachable`` and ``PeerReachable`` said between them.
3. A frame is answered by at most one frame that wants an answer itself, and that is paced by time: no loop without end.
"""

from __future__ import annotations

from math import inf

from . import frames
from .effects import (
    CapacityAvailable,
    Deliver,
    DownReason,
    Effect,
    PeerDown,
    PeerReachable,
    PeerUnreachable,
    PeerUp,
    Transmit,
)
from .frames import HEADER_BYTES, Frame, Greeting
from .handshake import Handshake
from .name_check import NameCheck, NameCheckResult
from .settings import SessionSettings
from .transmission import Transmission

PING_DELAY_FACTOR = 1.25
"""So many times ``ping_after_s`` does the side wait whose token is the larger; the other one asks before."""


class Session(Transmission):
    """One session.  ``SessionManager`` makes links and is who calls their events; see the top of the file.

    expires_at: when a handshake that has not ended is forgotten; inf for never.
    peer: what the peer said of itself; None until it has said anything.  identity: who the transport says it is.
    tentative: whether another link to the peer is up and may stay so.  alarm_at: when the switchboard will tick.
    held: whether this side has any use for the session, so that it must not end for being idle; the layer above says.
    kept: whether the endpoint was dialled for good.
    """

    __slots__ = (
        "_bye_at",
        "_end_at",
        "_handshake_state",
        "_name_check",
        "_pinged_at",
        "_question",
        "_received_at",
        "alarm_at",
        "breaks",
        "duplicates",
        "ever_up",
        "identity",
        "in_use",
        "kept",
        "peer",
        "received_frames",
        "tentative",
        "token",
    )  # fmt: skip

    def __init__(self, handshake: Handshake, settings: SessionSettings, endpoint: str, expires_at: float = inf) -> None:
        super().__init__(settings, endpoint)
        self._handshake_state, self.token = handshake, handshake.token
        self.ever_up = self.tentative = False
        self.peer: Greeting | None = None
        self.identity: str | None = None
        self.in_use, self.kept = True, False
        self.received_frames = self.breaks = self.duplicates = self._question = 0
        self._end_at = expires_at
        self._received_at = self._pinged_at = -inf
        self._name_check = NameCheck(settings)
        self._bye_at = self.alarm_at = inf

    def __repr__(self) -> str:
        peer = "an unknown node" if self.peer is None else f"{self.peer.node}#{self.peer.generation}"
        return f"<Link to {peer} at {self.endpoint}: {self.state}>"

    # -- receiving -----------------------------------------------------------------------------------------------------

    def receive(self, frame: Frame, now: float) -> list[Effect]:
        """A frame of this session came in, other than a greeting.  Raises ``FrameError`` when it breaks the rules."""
        if self.state == "greeting" or self.state == "closed":
            return []
        if frames.IDLE <= frame.kind <= frames.STAY or self.state == "closed_idle":
            return self._on_close_frame(frame, now) if frame.kind >= frames.IDLE else []
        stream = self.stream
        progress = stream.handle_header(frame)
        self._received_at = now
        self.received_frames += 1
        if frame.kind == frames.DATA:
            effects = self._data(frame, now)
        else:
            effects = self._answer(frame, now)
        if progress:
            self._probe_in(self.stream.missing.round_trip.probe_s, now)
        if self._awaited_bytes and stream.capacity_bytes >= self._awaited_bytes:
            self._awaited_bytes = 0
            effects.append(CapacityAvailable(self))
        return effects

    def _data(self, frame: Frame, now: float) -> list[Effect]:
        stream = self.stream
        verdict = stream.take(frame, now)
        effects: list[Effect] = []
        if verdict == "next":
            self.used_at = now
            effects.append(Deliver(self, frame.lane, frame.parts))
            if stream.early:
                effects += [Deliver(self, follower.lane, follower.parts) for follower in stream.followers()]
            if stream.ack_is_due and self.state == "up":
                effects.append(self._control(frames.ACK))
            elif self._ack_at == inf:
                self._schedule_ack(now)
        elif verdict == "seen":
            self.duplicates += 1
            stream.unreported_frames += 1
            self._schedule_ack(now)
        return effects if stream.missing.due_at == inf else effects + self._ask_again(now)

    def _answer(self, frame: Frame, now: float) -> list[Effect]:
        kind, missing = frame.kind, frame.sequence > self.stream.received
        if kind == frames.RESEND:
            return self.send_again(frame, now)
        if missing:
            self.stream.learn(frame.sequence, now)
            if effects := self._ask_again(now):
                return effects
        if kind == frames.PING and self.state != "broken":
            return [self._control(frames.PONG)]
        if kind == frames.BYE and not missing:
            if self.state == "leaving":
                return self.end("closed", "this node took its leave")
            reply = self._control(frames.BYE)
            return [reply, *self.end("goodbye", "it took its leave")]
        return []

    # -- the handshake -------------------------------------------------------------------------------------------------

    def greet(self, now: float, echo: int = 0) -> Effect:
        """Send a HELLO, and the next one after a pause; ``echo`` makes it an answer too."""
        body = self._handshake_state.hello(now, echo, tentative=self.tentative)
        self._wake(min(self._handshake_state.next_at, self._end_at))
        return Transmit(self.endpoint, self.stream.control_frame(frames.HELLO, (body,)))

    def is_over_for(self, frame: Frame, greeting: Greeting) -> bool:
        """Whether the greeting comes from somebody of the peer's name who, it seems, does not know this session.

        One who greets a third token is only misled about this node's, and is told the right one.
        """
        return self.ever_up and not self._is_peer(greeting) and frame.session in (0, self.token)

    def greeted(self, frame: Frame, greeting: Greeting, now: float) -> list[Effect]:
        """A HELLO or WELCOME from a node of the peer's name came in, and ``is_over_for`` it was False."""
        if self.state == "closed":
            return []
        knows_us = frame.session == self.token
        if not (self.ever_up or self._is_peer(greeting) or (self.peer and greeting.tentative and not knows_us)):
            self._meet(greeting)
        if not self._is_peer(greeting) or (self.ever_up and not (knows_us or frame.session == 0)):
            return [self._welcome(greeting)] if greeting.attempt else []
        if self._handshake_state.is_repeated(greeting) or (self.ever_up and not knows_us):
            return []  # what is older than this session, or was heard before
        reply, news = list[Effect](), list[Effect]()
        if knows_us:
            self.stream.handle_header(frame)
            if self._handshake_state.is_answered(greeting) and self.state in ("greeting", "broken", "closing"):
                round_trip_s = self._handshake_state.round_trip_s(greeting, now)
                if round_trip_s is not None:
                    self.stream.missing.round_trip.sample(round_trip_s)
                news = self._come_up(now)
                self.stream.go_back(frame.acknowledged)
        if greeting.attempt:
            self._handshake_state.note_attempt(greeting)
            asks = self.state in ("greeting", "broken") and self._handshake_state.is_quiet(now)
            reply = [self.greet(now, greeting.attempt) if asks else self._welcome(greeting)]
            self.stream.go_back(frame.acknowledged)
        # The news come last: whoever hears them may send at once, and that belongs behind all this.
        return [*reply, *self._flush(now), *news]

    def _meet(self, greeting: Greeting) -> None:
        """Before the first answer to this link's own token, whoever has greeted last is the peer."""
        self.peer = greeting
        self.stream.peer_token = greeting.token
        self._handshake_state.reset_peer()
        self.body_bytes_max = min(greeting.frame_bytes_max, self._settings.frame_bytes_max) - HEADER_BYTES

    def _is_peer(self, greeting: Greeting) -> bool:
        known = self.peer
        return known is not None and (known.token, known.generation) == (greeting.token, greeting.generation)

    def _welcome(self, greeting: Greeting) -> Effect:
        body = self._handshake_state.welcome(greeting.attempt, tentative=self.tentative)
        return Transmit(self.endpoint, self.stream.control_frame(frames.WELCOME, (body,)))

    def _come_up(self, now: float) -> list[Effect]:
        assert self.peer is not None, "an answer came from somebody"
        news: Effect = CapacityAvailable(self) if self.state == "closing" else PeerReachable(self)
        self.state = "up"
        self._received_at = self._pinged_at = now
        self._handshake_state.complete()
        self._end_at = self._ack_at = inf
        self.stream.missing.defer(now)
        self._probe_in(self.stream.missing.round_trip.probe_s, now)
        self._wake(now + self._settings.ping_after_s)
        self._wake(self.stream.missing.due_at)
        if self.ever_up:
            return [news]
        self.ever_up, self.tentative, self.used_at = True, False, now
        return [PeerUp(self, self.peer)]

    def postpone(self, now: float) -> None:
        """The peer does not want the link for now: greet it after the longest pause."""
        self._handshake_state.postpone(now)
        self._wake(self._handshake_state.next_at)

    def make_tentative(self, until: float) -> None:
        """Another link to the peer is up; if the handshake has not ended by then, it was right."""
        self.tentative = True
        self._end_at = min(self._end_at, until)
        self._wake(self._end_at)

    # -- breaks and ends -----------------------------------------------------------------------------------------------

    def wire_lost(self, detail: str, now: float) -> list[Effect]:
        """The connection below broke: frames may be lost, so greet the peer and find out."""
        return self._break(detail, now) if self.state == "up" else []

    def leave(self, now: float) -> list[Effect]:
        """Say goodbye: ``PeerDown`` follows when the peer has everything, or after ``linger_s``."""
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
        is_told = self.state == "closed_idle" or not self.ever_up
        self.state, self.wake_at = "closed", inf
        left = tuple(kept.parts for kept in self.stream.drain())
        return [] if is_told else [PeerDown(self, reason, detail, left)]

    def supersede(self) -> list[Effect]:
        """Another session with the peer is up: this one is over there."""
        if self.state == "closing":
            return self.end("idle", "neither side had anything to say")
        return self.end("node_lost", "it came back without this session")

    # -- the end of an idle session ------------------------------------------------------------------------------------

    @property
    def can_close(self) -> bool:
        """Whether this side has nothing to say: it is up, not held, and nothing is unacknowledged or missing."""
        if self.state != "up" and self.state != "closing":
            return False
        return not (self.in_use or self.kept or self.stream.has_unacknowledged or self.stream.missing.gaps)

    def ask_to_close(self, now: float) -> list[Effect]:
        """Ask the peer whether the session may end; does nothing unless ``can_close``."""
        if self.state != "up" or not self.can_close:
            return []
        self.state, self._question = "closing", self._handshake_state.question()
        self._end_at, self._bye_at = now + self._settings.linger_s, now + self._settings.linger_s / 4
        self._wake(self._bye_at)
        return [self._frame(frames.IDLE, (self._question,))]

    def _on_close_frame(self, frame: Frame, now: float) -> list[Effect]:
        (number,) = frames.read_numbers(frame)
        if frame.kind == frames.IDLE:
            return self._on_close_question(frame, number, now)
        if self.state != "closing" or number != self._question:
            return []
        if frame.kind == frames.AGREE:
            return self.end("idle", "neither side had anything to say")
        self.stream.handle_header(frame)
        self.used_at = now
        news = self._come_up(now)
        self._schedule_ack(now)
        return news

    def _on_close_question(self, frame: Frame, number: int, now: float) -> list[Effect]:
        if self.state == "closed_idle":
            return [self._frame(frames.AGREE, (number,))]
        if self.state != "up" and self.state != "closing":
            return []
        self.stream.handle_header(frame)
        self._received_at = now
        self.received_frames += 1
        if self._handshake_state.is_stale(number) or not self.can_close or frame.sequence != self.stream.received:
            if not self._handshake_state.is_stale(number):
                self._handshake_state.note_question(number)
            return [self._frame(frames.STAY, (number,))]
        self.state, self._end_at = "closed_idle", now + self._settings.linger_s
        self.wake_at = self._end_at
        answer = self._frame(frames.AGREE, (number,))
        return [answer, PeerDown(self, "idle", "neither side had anything to say", ())]

    def _tick_closing(self, now: float) -> list[Effect]:
        """Ask again; when no answer comes, greet: either the session goes on, or the peer begins a new one."""
        settings = self._settings
        if now >= self._end_at + settings.give_up_s:
            return self.end("node_lost", f"it stayed out of reach for {settings.give_up_s} s")
        effects: list[Effect] = []
        if now >= self._end_at:
            if now >= self._handshake_state.next_at or self._handshake_state.next_at == inf:
                effects = [self.greet(now)]
            self._wake(self._handshake_state.next_at)
        elif now >= self._bye_at:
            self._bye_at = now + settings.linger_s / 4
            effects = [self._frame(frames.IDLE, (self._question,))]
        self._wake(min(self._bye_at, self._end_at) if now < self._end_at else self._end_at + settings.give_up_s)
        return effects

    def name_check(self, now: float) -> tuple[NameCheckResult, list[Effect]]:
        """Another node claims the peer's name: ask the peer for a sign of life, and say what is known by now."""
        sign = self._name_check.look(self.received_frames, now)
        return sign, [self._control(frames.PING)] if sign == "ask" else []

    def _break(self, detail: str, now: float) -> list[Effect]:
        self.state = "broken"
        self.breaks += 1
        self._ack_at = self._probe_at = inf
        self._end_at = now + self._settings.give_up_s
        return [PeerUnreachable(self, detail), self.greet(now)]

    # -- time ----------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        if now < self.wake_at:
            return []
        self.wake_at = inf
        if self.state == "up":
            effects = [*self._tick_up(now), *self._ask_again(now), *self._flush(now)]
        elif self.state == "leaving":
            effects = [*self._tick_leaving(now), *self._ask_again(now), *self._flush(now)]
        elif self.state == "closing":
            effects = self._tick_closing(now)
        elif self.state == "closed":
            return []
        elif self.state == "closed_idle":
            return self.end("idle", "") if now >= self._end_at else []
        elif now >= self._end_at:
            return self.end("node_lost", f"it stayed out of reach for {self._settings.give_up_s} s")
        else:
            effects = [self.greet(now)] if now >= self._handshake_state.next_at else []
            self._wake(min(self._handshake_state.next_at, self._end_at))
        return effects

    def _tick_up(self, now: float) -> list[Effect]:
        settings, stream = self._settings, self.stream
        if now >= self._received_at + settings.peer_timeout_s:
            return self._break(f"it said nothing for {settings.peer_timeout_s} s", now)
        effects: list[Effect] = []
        probes = now >= self._probe_at and stream.has_unacknowledged
        if probes:
            self._probe_in(min(2 * self._probe_s, settings.ping_after_s), now)
        # An idle link needs one of the two sides to ask: the other one waits longer, and hears it in time.
        ping_after_s = settings.ping_after_s * (1 if self.token < stream.peer_token else PING_DELAY_FACTOR)
        if probes or now >= max(self._received_at, self._pinged_at) + ping_after_s:
            self._pinged_at = now
            effects.append(self._control(frames.PING))
        if now >= self._ack_at:
            self._ack_at = inf
            if stream.ack_owed:
                effects.append(self._control(frames.ACK))
        if stream.has_unacknowledged:
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
