"""``Link``: one session with one life of a peer, seen from one node, as a state machine (PURE).

    greeting --the peer answers our HELLO--> up --nothing heard, wire lost--> broken --the peer answers--> up
    greeting --handshake_s--> closed         up --leave--> leaving --> closed         broken --give_up_s--> closed

Each end gives the session a *token*, and each frame carries the token of the end that it goes to.  A link is up once
the peer has answered a HELLO of this very attempt with this very token: so both directions work now, and no late or
repeated frame can bring a session to life or bring one down.  After a break both ends greet again with the tokens that
they had and say what they have received; the rest is sent again.  An end that has given up takes a new token, which
tells the other that the session is over.  Which link a greeting belongs to is the business of ``switchboard``.

Each public method is one event: it takes the time in seconds and returns the effects.  ``wake_at`` says when ``tick``
is wanted; a tick that comes too early does nothing.

Laws of this file:
1. The same link, event, time and random number give the same effects.
2. ``PeerUp`` once, then ``PeerDown`` once; bodies are delivered and ``PeerBroken`` and ``PeerBack`` said between them.
3. A frame is answered by at most one frame that wants an answer itself, and that is paced by time: no loop without end.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Literal

from ..kernel.errors import ActorError
from . import framing
from .effects import Deliver, DownReason, Effect, PeerBack, PeerBroken, PeerDown, PeerUp, Room, Transmit
from .framing import HEADER_BYTES, Frame, Greeting, byte_count
from .greeter import Greeter
from .settings import LinkSettings
from .stream import Stream
from .transport import Buffer, FrameTooLarge

State = Literal["greeting", "up", "broken", "leaving", "closed"]


class LinkClosed(ActorError):
    """The session is not up, or over; its ``PeerDown`` says why."""


class Link:
    """One session.  ``Switchboard`` makes links and is who calls their events; see the top of the file.

    endpoint: the wire it sends on.  expires_at: when a handshake that has not ended is forgotten; inf for never.
    peer: what the peer said of itself; None until it has said anything.  identity: who the transport says it is.
    tentative: whether another link to the peer is up and may stay so.  alarm_at: when the switchboard will tick.
    """

    __slots__ = (
        "_ack_at", "_bye_at", "_doubted_after", "_doubted_at", "_end_at", "_greeter",
        "_heard_at", "_pinged_at", "_probe_at", "_probe_s", "_resend_number", "_settings",
        "_wanted_bytes", "_wire_full", "alarm_at", "body_bytes_max", "breaks", "duplicates", "endpoint", "ever_up",
        "identity", "peer", "received_frames", "resends", "state", "stream", "tentative", "token", "wake_at",
    )  # fmt: skip

    def __init__(self, greeter: Greeter, settings: LinkSettings, endpoint: str, expires_at: float = inf) -> None:
        self._greeter, self._settings = greeter, settings
        self.token, self.endpoint = greeter.token, endpoint
        self.state: State = "greeting"
        self.ever_up = self.tentative = False
        self.peer: Greeting | None = None
        self.identity: str | None = None
        self.stream = Stream(settings)
        self.body_bytes_max = 0
        self.wake_at = self.alarm_at = inf
        self.received_frames = self.breaks = self.duplicates = self.resends = self._resend_number = 0
        self._end_at = expires_at
        self._heard_at = self._pinged_at = self._doubted_at = -inf
        self._doubted_after = -1
        self._ack_at = self._probe_at = self._bye_at = inf
        self._probe_s = settings.probe_after_s
        self._wanted_bytes = 0
        self._wire_full = False

    def __repr__(self) -> str:
        peer = "an unknown node" if self.peer is None else f"{self.peer.node}#{self.peer.incarnation}"
        return f"<Link to {peer} at {self.endpoint}: {self.state}>"

    # -- sending -------------------------------------------------------------------------------------------------------

    def can_send(self, body_bytes: int) -> bool:
        """Whether a body of so many bytes may be sent in the normal lane; after False, ``Room`` says when it may."""
        if self.stream.room_bytes >= body_bytes:
            return True
        self._wanted_bytes = body_bytes
        return False

    def send(self, parts: Sequence[Buffer], lane: int, now: float) -> list[Effect]:
        """Send a body of 1 or more bytes; ask ``can_send`` before, except in the control lane.

        While the peer is out of reach the body is kept.  Raises ``LinkClosed`` outside of the session and
        ``FrameTooLarge`` above ``body_bytes_max``.
        """
        if self.state != "up" and self.state != "broken":
            raise LinkClosed(f"{self}: send only between its PeerUp and its PeerDown")
        stream, body_bytes = self.stream, byte_count(parts)
        if not 0 < body_bytes <= self.body_bytes_max:
            raise FrameTooLarge(f"{self}: a body of {body_bytes} bytes, it takes 1 to {self.body_bytes_max}")
        assert lane == framing.CONTROL or body_bytes <= stream.room_bytes, f"{self}: ask can_send first"
        if not stream.has_unacknowledged:
            self._probe_in(self.stream.missing.round_trip.probe_s, now)
        kept = stream.append(parts, lane, body_bytes)
        if self.state == "up" and not self._wire_full and stream.handed == kept.sequence - 1:
            stream.handed = kept.sequence
            return [Transmit(self.endpoint, stream.frame_of(kept), kept.sequence)]
        return []

    def retain(self, byte_change: int, now: float) -> list[Effect]:
        """Hold back credit for bytes that were delivered and have no room yet; a negative change gives it free."""
        stream = self.stream
        stream.retain(byte_change)
        if self.state == "up" and stream.grantable - stream.granted >= self._settings.window_bytes // 4:
            return [self._control(framing.ACK)]  # the peer may stand still
        return self._owe(now)

    def not_taken(self, sequence: int) -> None:
        """The wire is full, and did not take this DATA frame."""
        self._wire_full = True
        self.stream.not_taken(sequence)

    def wire_ready(self, now: float) -> list[Effect]:
        """The wire has room again."""
        self._wire_full = False
        return self._flush(now)

    # -- receiving -----------------------------------------------------------------------------------------------------

    def receive(self, frame: Frame, now: float) -> list[Effect]:
        """A frame of this session came in, other than a greeting.  Raises ``FrameError`` when it breaks the rules."""
        if self.state == "greeting" or self.state == "closed":
            return []
        stream = self.stream
        progress = stream.hear(frame)
        self._heard_at = now
        self.received_frames += 1
        if frame.kind == framing.DATA:
            effects = self._data(frame, now)
        else:
            effects = self._answer(frame, now)
        if progress:
            self._probe_in(self.stream.missing.round_trip.probe_s, now)
        if self._wanted_bytes and stream.room_bytes >= self._wanted_bytes:
            self._wanted_bytes = 0
            effects.append(Room(self))
        return effects

    def _data(self, frame: Frame, now: float) -> list[Effect]:
        stream = self.stream
        verdict = stream.take(frame, now)
        effects: list[Effect] = []
        if verdict == "next":
            effects.append(Deliver(self, frame.lane, frame.parts))
            if stream.early:
                effects += [Deliver(self, follower.lane, follower.parts) for follower in stream.followers()]
            if stream.ack_is_due and self.state == "up":
                effects.append(self._control(framing.ACK))
            else:
                self._owe(now)
        elif verdict == "seen":
            self.duplicates += 1
            stream.owed_frames += 1
            self._owe(now)
        return effects if stream.missing.due_at == inf else effects + self._ask_again(now)

    def _answer(self, frame: Frame, now: float) -> list[Effect]:
        kind, missing = frame.kind, frame.sequence > self.stream.received
        if kind == framing.RESEND:
            return self._send_again(frame, now)
        if missing:
            self.stream.learn(frame.sequence, now)
            if effects := self._ask_again(now):
                return effects
        if kind == framing.PING and self.state != "broken":
            return [self._control(framing.PONG)]
        if kind == framing.BYE and not missing:
            if self.state == "leaving":
                return self.end("closed", "this node took its leave")
            reply = self._control(framing.BYE)
            return [reply, *self.end("goodbye", "it took its leave")]
        return []

    def _ask_again(self, now: float) -> list[Effect]:
        """Something is missing: ask for what is due to be asked for."""
        stream, effects = self.stream, list[Effect]()
        if self.state != "up" and self.state != "leaving":
            return []
        if now >= stream.missing.due_at:
            numbers = stream.missing.ask(stream.received, now, framing.ranges_max(self.body_bytes_max))
            if numbers:
                body = framing.encode_body(numbers)
                effects.append(Transmit(self.endpoint, stream.control_frame(framing.RESEND, (body,))))
        self._wake(stream.missing.due_at)
        return effects

    def _send_again(self, frame: Frame, now: float) -> list[Effect]:
        """The peer misses some of what was sent; a request that comes twice is one."""
        number, *ranges = framing.read_numbers(frame)
        if number <= self._resend_number:
            return []
        self._resend_number = number
        self.resends += 1
        self.stream.is_missing(frame.acknowledged, ranges)
        return self._flush(now)

    def _owe(self, now: float) -> list[Effect]:
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
            Transmit(self.endpoint, stream.frame_of(kept), kept.sequence) for kept in stream.hand_out()
        ]
        if stream.has_unhanded:
            self._wake(now)
        return effects

    # -- the handshake -------------------------------------------------------------------------------------------------

    def greet(self, now: float, echo: int = 0) -> Effect:
        """Send a HELLO, and the next one after a pause; ``echo`` makes it an answer too."""
        body = self._greeter.hello(now, echo, tentative=self.tentative)
        self._wake(min(self._greeter.next_at, self._end_at))
        return Transmit(self.endpoint, self.stream.control_frame(framing.HELLO, (body,)))

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
        if self._greeter.is_repeated(greeting) or (self.ever_up and not knows_us):
            return []  # what is older than this session, or was heard before
        reply, news = list[Effect](), list[Effect]()
        if knows_us:
            self.stream.hear(frame)
            if self._greeter.is_answered(greeting) and self.state in ("greeting", "broken"):
                round_trip_s = self._greeter.round_trip_s(greeting, now)
                if round_trip_s is not None:
                    self.stream.missing.round_trip.sample(round_trip_s)
                news = self._come_up(now)
                self.stream.go_back(frame.acknowledged)
        if greeting.attempt:
            self._greeter.heard(greeting)
            asks = self.state in ("greeting", "broken") and self._greeter.is_quiet(now)
            reply = [self.greet(now, greeting.attempt) if asks else self._welcome(greeting)]
            self.stream.go_back(frame.acknowledged)
        # The news come last: whoever hears them may send at once, and that belongs behind all this.
        return [*reply, *self._flush(now), *news]

    def _meet(self, greeting: Greeting) -> None:
        """Before the first answer to this link's own token, whoever has greeted last is the peer."""
        self.peer = greeting
        self.stream.peer_token = greeting.token
        self._greeter.meet()
        self.body_bytes_max = min(greeting.frame_bytes_max, self._settings.frame_bytes_max) - HEADER_BYTES

    def _is_peer(self, greeting: Greeting) -> bool:
        known = self.peer
        return known is not None and (known.token, known.incarnation) == (greeting.token, greeting.incarnation)

    def _welcome(self, greeting: Greeting) -> Effect:
        body = self._greeter.welcome(greeting.attempt, tentative=self.tentative)
        return Transmit(self.endpoint, self.stream.control_frame(framing.WELCOME, (body,)))

    def _come_up(self, now: float) -> list[Effect]:
        assert self.peer is not None, "an answer came from somebody"
        self.state = "up"
        self._heard_at = self._pinged_at = now
        self._greeter.end_row()
        self._end_at = self._ack_at = inf
        self.stream.missing.defer(now)
        self._probe_in(self.stream.missing.round_trip.probe_s, now)
        self._wake(now + self._settings.ping_after_s)
        self._wake(self.stream.missing.due_at)
        if self.ever_up:
            return [PeerBack(self)]
        self.ever_up, self.tentative = True, False
        return [PeerUp(self, self.peer)]

    def postpone(self, now: float) -> None:
        """The peer does not want the link for now: greet it after the longest pause."""
        self._greeter.postpone(now)
        self._wake(self._greeter.next_at)

    def be_tentative(self, until: float) -> None:
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
        if self.state != "up":
            return [] if self.state == "leaving" else self.end("closed", "this node took its leave")
        self.state = "leaving"
        self._end_at, self._bye_at = now + self._settings.linger_s, now + self._settings.linger_s / 4
        self._wake(self._bye_at)
        return [self._control(framing.BYE)]

    def end(self, reason: DownReason, detail: str) -> list[Effect]:
        """End the session now."""
        if self.state == "closed":
            return []
        self.state, self.wake_at = "closed", inf
        left = tuple(kept.parts for kept in self.stream.drain())
        return [PeerDown(self, reason, detail, left)] if self.ever_up else []

    def doubt(self, now: float) -> tuple[Literal["asked", "alive", "silent"], list[Effect]]:
        """Another node claims the peer's name: ask the peer for a sign of life, and say what is known by now.

        The other node greets again and again, so a doubt is settled by a later call, and forgotten if none comes.
        """
        since_s = now - self._doubted_at
        if since_s > self._settings.name_check_s + 2 * self._settings.greet_max_s:
            self._doubted_at, self._doubted_after = now, self.received_frames
            return "asked", [self._control(framing.PING)]
        if self.received_frames > self._doubted_after:
            return "alive", []
        return ("silent" if since_s >= self._settings.name_check_s else "asked"), []

    def _break(self, detail: str, now: float) -> list[Effect]:
        self.state = "broken"
        self.breaks += 1
        self._ack_at = self._probe_at = inf
        self._end_at = now + self._settings.give_up_s
        return [PeerBroken(self, detail), self.greet(now)]

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
        elif self.state == "closed":
            return []
        elif now >= self._end_at:
            return self.end("node_lost", f"it stayed out of reach for {self._settings.give_up_s} s")
        else:
            effects = [self.greet(now)] if now >= self._greeter.next_at else []
            self._wake(min(self._greeter.next_at, self._end_at))
        return effects

    def _tick_up(self, now: float) -> list[Effect]:
        settings = self._settings
        if now >= self._heard_at + settings.peer_timeout_s:
            return self._break(f"it said nothing for {settings.peer_timeout_s} s", now)
        effects: list[Effect] = []
        probes = now >= self._probe_at and self.stream.has_unacknowledged
        if probes:
            self._probe_in(min(2 * self._probe_s, settings.ping_after_s), now)
        if probes or now >= max(self._heard_at, self._pinged_at) + settings.ping_after_s:
            self._pinged_at = now
            effects.append(self._control(framing.PING))
        if now >= self._ack_at:
            self._ack_at = inf
            if self.stream.owes:
                effects.append(self._control(framing.ACK))
        if self.stream.has_unacknowledged:
            self._wake(self._probe_at)
        self._wake(min(self._ack_at, max(self._heard_at, self._pinged_at) + settings.ping_after_s))
        self._wake(self._heard_at + settings.peer_timeout_s)
        return effects

    def _tick_leaving(self, now: float) -> list[Effect]:
        if now >= self._end_at:
            return self.end("closed", "this node took its leave; the peer did not confirm it")
        effects: list[Effect] = []
        if now >= self._bye_at:
            self._bye_at = now + self._settings.linger_s / 4
            effects = [self._control(framing.BYE)]
        self._wake(min(self._bye_at, self._end_at))
        return effects

    def _probe_in(self, delay_s: float, now: float) -> None:
        self._probe_s = delay_s
        self._probe_at = now + delay_s
        if self._probe_at < self.wake_at:
            self.wake_at = self._probe_at

    def _wake(self, at: float) -> None:
        if at < self.wake_at:
            self.wake_at = at

    # -- frames --------------------------------------------------------------------------------------------------------

    def _control(self, kind: int) -> Transmit:
        return Transmit(self.endpoint, self.stream.control_frame(kind))
