"""``SessionManager``: all links of one node, and which link a frame belongs to (PURE).

Frames of a session carry the token of their link, so one look-up finds it.  Greetings are matched by the node's name,
of which there is one link at a time.  To dial an endpoint is to greet whoever listens there; the dial becomes the link
when the answer names a node that has none.  So when two nodes dial each other at once, or one dials another by two
names of a host, one link comes of it.

When somebody of a linked node's name greets with another token (a later life of it, or the same life after it has given
up), a *candidate* link is greeted with.  Only when it comes up does the old link end, so a late or repeated frame ends
nothing.  If the old link is up, and the newcomer is another life at another endpoint, the old one is asked for a sign
of life first, and the newcomer refused if it gives one: two nodes of one name.

Each public method is one event: it takes the time in seconds and returns the effects, to be carried out in order.
``tick`` is wanted at ``wake_at``, which may have changed after any event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import inf

from ..kernel.errors import CallerError
from . import frames
from .desired_peers import DesiredPeers
from .effects import CloseWire, DialRefused, Effect, FrameRejected, OpenWire
from .frames import Frame, FrameError, Greeting, Refusal
from .handshake import Handshake, LocalNode
from .idle_sessions import closable
from .refusal_rules import Admit, RefusalRules
from .session import Session
from .settings import SessionSettings
from .transport import Buffer, Source


class TooManyPeers(CallerError):
    """``SessionSettings.peers_max`` endpoints are dialled already."""


class SessionManager:
    """See the top of the file.

    token: returns a random number of 64 bits; it must not be guessable where transports do not authenticate.
    chance: returns a random number in [0, 1).  admit: None admits everybody whom the transport lets through.
    strangers: frames dropped because their session is over or was never ours.  faults: frames that broke the rules.
    """

    def __init__(
        self,
        local: LocalNode,
        settings: SessionSettings | None = None,
        *,
        token: Callable[[], int],
        chance: Callable[[], float],
        admit: Admit | None = None,
    ) -> None:
        self._local, self._settings = local, settings or SessionSettings()
        self._token, self._chance = token, chance
        self._refusals = RefusalRules(local, self._settings, admit)
        self._sessions: dict[int, Session] = {}
        self._peers: dict[str, Session] = {}
        self._candidates: dict[str, Session] = {}
        self._dials: dict[str, Session] = {}
        self._desired_peers = DesiredPeers()
        self._wires: dict[str, dict[int, Session]] = {}
        self._alarms: list[tuple[float, int]] = []
        self._closing = False
        self.unknown_session_frames = self.rejected_frames = 0

    # -- what the node asks for ----------------------------------------------------------------------------------------

    def peer(self, node: str) -> Session | None:
        """The link to the node of this name, up or not; None when there is none."""
        return self._peers.get(node)

    @property
    def is_empty(self) -> bool:
        """Whether no link, dial or handshake is left: true some time after ``close``."""
        return not self._sessions

    @property
    def wake_at(self) -> float:
        """When ``tick`` is wanted next, in seconds; inf for not at all.  It may be early."""
        while self._alarms:
            at, token = self._alarms[0]
            if (session := self._sessions.get(token)) is not None and session.alarm_at == at:
                return at
            heappop(self._alarms)  # the link has ended, or was woken by an earlier one
        return inf

    def connect(self, endpoint: str, now: float, *, once: bool = False) -> list[Effect]:
        """Dial an endpoint, again and again, and again after each loss, until ``disconnect``.

        once: until a link to the node there is up, or ``forget``; it may be idle.  Raises ``TooManyPeers``.
        """
        if self._closing:
            return []
        if endpoint in self._desired_peers:
            self._desired_peers.add(endpoint, once=once)
            return []
        if len(self._desired_peers) >= self._settings.peers_max:
            raise TooManyPeers(f"{endpoint} is not dialled: peers_max={self._settings.peers_max} endpoints are")
        self._desired_peers.add(endpoint, once=once)
        return self._dial(endpoint, now)

    def forget(self, endpoint: str, now: float) -> list[Effect]:
        """Dial this endpoint no more.  A link to the node that was found there goes on."""
        self._desired_peers.drop(endpoint)
        return self._after_event(dial, dial.leave(now), now) if (dial := self._dials.get(endpoint)) else []

    def disconnect(self, endpoint: str, now: float) -> list[Effect]:
        """Dial this endpoint no more, and take leave of the peer that was found there."""
        node = self._desired_peers.drop(endpoint)
        effects = self.forget(endpoint, now)
        return effects if node is None else effects + self.leave(node, now)

    def leave(self, node: str, now: float) -> list[Effect]:
        """Take leave of a peer, and dial no more the endpoints that led to it."""
        self._desired_peers.drop_node(node)
        session = self._peers.get(node)
        return [] if session is None else self._after_event(session, session.leave(now), now)

    def close_idle(self, session: Session, now: float) -> list[Effect]:
        """Ask the peer whether the session may end, unless this side needs it; ``idle`` says what the caller owes."""
        session.kept = self._is_kept(session)
        return self._after_event(session, session.ask_to_close(now), now)

    def close_unused(self, now: float) -> list[Effect]:
        """``close_idle`` for what ``idle.closable`` chooses; call it after each ``PeerUp``, and now and then."""
        for session in self._peers.values():
            session.kept = self._is_kept(session)
        sessions = closable(self._peers.values(), self._settings, now)
        return [effect for session in sessions for effect in self.close_idle(session, now)]

    def send(self, session: Session, parts: Sequence[Buffer], lane: int, now: float) -> list[Effect] | None:
        """``Session.send``: a body to a peer that is up, None for no room.  Raises ``SessionClosed``, ``FrameTooLarge``."""
        effects = session.send(parts, lane, now)
        if session.wake_at < session.alarm_at:
            self._set_alarm(session)
        return effects

    def retain(self, session: Session, byte_change: int, now: float) -> list[Effect]:
        """``Session.retain``: hold back, or give free, credit for delivered bytes."""
        return self._after_event(session, session.retain(byte_change, now), now)

    def end_session(self, node: str, detail: str, now: float) -> list[Effect]:
        """It is known for certain that the peer is gone, such as a child process that has ended: do not wait."""
        session = self._peers.get(node)
        return [] if session is None else self._after_event(session, session.end("node_lost", detail), now)

    def close(self, now: float) -> list[Effect]:
        """Take leave of all peers and greet nobody any more; ``is_empty`` tells when it is done."""
        self._closing = True
        self._desired_peers.clear()
        return [
            effect
            for session in list(self._sessions.values())
            for effect in self._after_event(session, session.leave(now), now)
        ]

    # -- what the transport reports ------------------------------------------------------------------------------------

    def receive(self, parts: Sequence[Buffer], source: Source, now: float) -> list[Effect]:
        """A frame came in, which may hold anything."""
        try:
            frame = frames.parse(parts, self._settings.frame_bytes_max)
            if frame.kind <= frames.REFUSE:
                return self._handshake(frame, source, now)
            session = self._sessions.get(frame.session)
            if session is None:
                self.unknown_session_frames += 1
                return []
            if session.identity != source.identity:
                raise FrameError(f"a frame for {session} from {source.identity}, it is with {session.identity}", 12)
            if frame.kind == frames.IDLE:
                session.kept = self._is_kept(session)
            return self._after_event(session, session.receive(frame, now), now)
        except FrameError as error:
            self.rejected_frames += 1
            return [FrameRejected(source, str(error))]

    def not_taken(self, endpoint: str, sequence: int) -> None:
        """The wire is full and did not take the DATA frame of this number."""
        for session in self._wires.get(endpoint, {}).values():
            if session.ever_up:
                session.not_taken(sequence)

    def wire_ready(self, endpoint: str, now: float) -> list[Effect]:
        """The wire has room again."""
        sessions = list(self._wires.get(endpoint, {}).values())
        return [effect for session in sessions for effect in self._after_event(session, session.wire_ready(now), now)]

    def wire_lost(self, endpoint: str, detail: str, now: float) -> list[Effect]:
        """The wire's connection broke."""
        sessions = list(self._wires.get(endpoint, {}).values())
        return [
            effect for session in sessions for effect in self._after_event(session, session.wire_lost(detail, now), now)
        ]

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        effects: list[Effect] = []
        while self._alarms and self._alarms[0][0] <= now:
            at, token = heappop(self._alarms)
            session = self._sessions.get(token)
            if session is not None and session.alarm_at == at:
                session.alarm_at = inf
                effects += self._after_event(session, session.tick(now), now)
        return effects

    # -- greetings -----------------------------------------------------------------------------------------------------

    def _handshake(self, frame: Frame, source: Source, now: float) -> list[Effect]:
        ours = self._sessions.get(frame.session) if frame.session else None
        if frame.kind == frames.REFUSE:
            return self._refused(ours, frames.read_refusal(frame), now)
        greeting = frames.read_greeting(frame)
        if bool(greeting.attempt) != (frame.kind == frames.HELLO) or not (greeting.attempt or greeting.echo):
            raise FrameError(f"{greeting.node} greets with attempt {greeting.attempt} and echo {greeting.echo}", 3)
        found = self._refusals.objection(greeting, source, closing=self._closing and ours is None)
        if found is not None:
            return self._refuse(greeting, *found, ours, now)
        current, dial = self._peers.get(greeting.node), ours if ours and self._is_dial(ours) else None
        if ours is not None and ours is self._candidates.get(greeting.node) and ours.identity == source.identity:
            return self._after_event(ours, ours.greeted(frame, greeting, now), now)
        if current is None:
            return self._first_greeting(dial, frame, greeting, source, now)
        if current.identity != source.identity and current.ever_up:
            text = f"{greeting.node} is linked already, with another key"
            return self._refuse(greeting, "name_taken", text, dial, now)
        if current.is_over_for(frame, greeting) or (dial and _is_other_generation(current, greeting)):
            return self._challenge(current, dial, frame, greeting, source, now)
        effects = self._drop_dial(dial, greeting.node, now)
        if not current.ever_up:
            if current.peer is not None and current.endpoint == current.peer.endpoint != greeting.endpoint:
                effects += self._after_event(current, current.end("node_lost", "it greets from elsewhere"), now)
                return effects + self._first_greeting(None, frame, greeting, source, now)
            current.identity = source.identity
        return effects + self._after_event(current, current.greeted(frame, greeting, now), now)

    def _first_greeting(
        self, dial: Session | None, frame: Frame, greeting: Greeting, source: Source, now: float
    ) -> list[Effect]:
        """A node without a link greets, or answers the dial."""
        effects: list[Effect] = []
        session = dial or self._dials.get(greeting.endpoint)
        if session is not None:
            self._dials.pop(session.endpoint)
            self._desired_peers.found(session.endpoint, greeting.node)
        elif len(self._peers) >= self._settings.peers_max:
            text = f"{self._local.node} has peers_max={self._settings.peers_max} links already"
            return self._refuse(greeting, "full", text, None, now)
        else:
            session, effects = self._make_session(greeting.endpoint, now + self._settings.handshake_s)
        session.identity = source.identity
        self._peers[greeting.node] = session
        return effects + self._after_event(session, session.greeted(frame, greeting, now), now)

    def _challenge(
        self, current: Session, dial: Session | None, frame: Frame, greeting: Greeting, source: Source, now: float
    ) -> list[Effect]:
        """Somebody of the peer's name does not know the session: let them prove that they are there."""
        assert current.peer is not None, "a link that was up has a peer"
        if current.state == "leaving":
            return []
        if (
            current.state == "up"
            and _is_other_generation(current, greeting)
            and greeting.endpoint != current.peer.endpoint
        ):
            sign, asking = current.name_check(now)
            if sign == "alive":
                text = f"another {greeting.node} is linked already, and alive at {current.peer.endpoint}"
                return self._refuse(greeting, "name_taken", text, dial, now)
            if sign in ("ask", "asked"):
                return asking
        effects: list[Effect] = []
        candidate = self._candidates.get(greeting.node)
        if candidate is None or dial is not None or candidate.endpoint != greeting.endpoint:
            effects += [] if candidate is None else self._after_event(candidate, candidate.end("node_lost", ""), now)
            if dial is None:
                candidate, opened = self._make_session(greeting.endpoint, inf)
                effects += opened
            else:
                self._dials.pop(dial.endpoint)
                self._desired_peers.found(dial.endpoint, greeting.node)
                candidate = dial
            candidate.make_tentative(now + self._settings.handshake_s)
            self._candidates[greeting.node] = candidate
        candidate.identity = source.identity
        return effects + self._after_event(candidate, candidate.greeted(frame, greeting, now), now)

    # -- refusals ------------------------------------------------------------------------------------------------------

    def _refuse(self, greeting: Greeting, code: str, text: str, ours: Session | None, now: float) -> list[Effect]:
        """Tell the node that it is not wanted, unless it was just told; if it was dialled, that came to nothing."""
        if code == "itself":
            dial = self._sessions.get(greeting.token)
            if dial is None or not self._is_dial(dial):
                return []
            self._desired_peers.drop(dial.endpoint)
            return [*self._after_event(dial, dial.end("refused", text), now), DialRefused(dial.endpoint, code, text)]
        effects = self._postpone([ours.endpoint], code, text, now) if ours and self._is_dial(ours) else []
        return [*effects, *self._refusals.refuse(greeting, code, text, now)]

    def _refused(self, ours: Session | None, refusal: Refusal, now: float) -> list[Effect]:
        """A peer does not want the link whose token this is."""
        if ours is None or ours.state not in ("greeting", "broken"):
            self.unknown_session_frames += 1
            return []
        nodes = {node for node, session in self._peers.items() if session is ours}
        endpoints = [endpoint for node in nodes for endpoint in self._desired_peers.endpoints(node)]
        endpoints += [ours.endpoint] if ours.endpoint in self._desired_peers and ours.endpoint not in endpoints else []
        effects: list[Effect] = []
        if not self._is_dial(ours):
            effects = self._after_event(ours, ours.end("refused", f"{refusal.node}: {refusal.text}"), now)
        return effects + self._postpone(endpoints, refusal.code, refusal.text, now)

    def _postpone(self, endpoints: Sequence[str], code: str, text: str, now: float) -> list[Effect]:
        """These dials came to nothing for now."""
        for dial in filter(None, map(self._dials.get, endpoints)):
            dial.postpone(now)
            self._after_event(dial, [], now)
        return [DialRefused(endpoint, code, text) for endpoint in endpoints]

    # -- housekeeping --------------------------------------------------------------------------------------------------

    def _dial(self, endpoint: str, now: float) -> list[Effect]:
        """Dial the endpoint, unless there is a link to whoever listens there."""
        for node, session in self._peers.items():
            if endpoint in (session.endpoint, session.peer and session.peer.endpoint):
                self._desired_peers.found(endpoint, node)
                self._after_event(session, [], now)
                return []
        dial, effects = self._make_session(endpoint, inf)
        self._dials[endpoint] = dial
        return effects + self._after_event(dial, [dial.greet(now)], now)

    def _drop_dial(self, dial: Session | None, node: str, now: float) -> list[Effect]:
        """The dial has led to a node that has a link: it has done its work."""
        if dial is None:
            return []
        self._desired_peers.found(dial.endpoint, node)
        return self._after_event(dial, dial.end("closed", "another link leads there"), now)

    def _is_dial(self, session: Session) -> bool:
        return self._dials.get(session.endpoint) is session

    def _make_session(self, endpoint: str, expires_at: float) -> tuple[Session, list[Effect]]:
        token = self._token()
        while token in self._sessions or not 0 < token < 2**64:
            token = self._token()
        handshake = Handshake(self._local, self._settings, token, self._chance)
        session = self._sessions[token] = Session(handshake, self._settings, endpoint, expires_at)
        (users := self._wires.setdefault(endpoint, {}))[token] = session
        return session, [OpenWire(endpoint)] if len(users) == 1 else []

    def _after_event(self, session: Session, effects: list[Effect], now: float) -> list[Effect]:
        """After each event of a link: take note of what became of it."""
        if session.state == "closed":
            return effects + self._forget(session, now)
        if session.wake_at < session.alarm_at:
            self._set_alarm(session)
        if self._candidates and session.state == "up" and session.peer is not None:
            node = session.peer.node
            if self._candidates.get(node) is session:
                del self._candidates[node]
                old, self._peers[node] = self._peers[node], session
                effects = self._after_event(old, old.supersede(), now) + effects
        if self._desired_peers.once and session.state == "up" and session.peer is not None:
            self._desired_peers.is_up(session.peer.node)
        return effects + self._detach(session, now) if session.state == "closed_idle" else effects

    def _forget(self, session: Session, now: float) -> list[Effect]:
        """A link has ended: let go of its wire, and dial again what is wanted."""
        if self._sessions.pop(session.token, None) is None:
            return []
        effects: list[Effect] = []
        users = self._wires[session.endpoint]
        del users[session.token]
        if not users:
            del self._wires[session.endpoint]
            effects.append(CloseWire(session.endpoint))
        if self._dials.get(session.endpoint) is session:
            del self._dials[session.endpoint]
        return effects + self._detach(session, now)

    def _detach(self, session: Session, now: float) -> list[Effect]:
        """The session with a peer is over; another may take its place."""
        node = session.peer.node if session.peer is not None else ""
        if self._candidates.get(node) is session:
            del self._candidates[node]
        if self._peers.get(node) is not session:
            return []
        del self._peers[node]
        if node in self._candidates:
            self._peers[node] = successor = self._candidates.pop(node)
            successor.tentative = False
            return []
        return [effect for endpoint in self._desired_peers.endpoints(node) for effect in self._dial(endpoint, now)]

    def _is_kept(self, session: Session) -> bool:
        return session.peer is not None and self._desired_peers.wants_for_good(session.peer.node)

    def _set_alarm(self, session: Session) -> None:
        session.alarm_at = session.wake_at
        heappush(self._alarms, (session.wake_at, session.token))


def _is_other_generation(session: Session, greeting: Greeting) -> bool:
    """Whether the greeting comes from another life of the peer's name than the link is with."""
    return session.peer is not None and session.peer.generation != greeting.generation
