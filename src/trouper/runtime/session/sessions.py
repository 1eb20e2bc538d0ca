"""``SessionManager``: all sessions of one node, and which session a frame belongs to (PURE).

Frames of a session carry its token, so one look-up finds it.  Greetings are matched by the name of the node, which has
one session at a time.  To dial an endpoint is to greet the node that listens there; the dial becomes the session when
the answer names a node that has none.  So when two nodes dial each other at once, or one dials another by two names of
a host, one session comes of it.

When a node that has a session greets with another token (a later generation, or the same one after it has given up), a
*candidate* session greets back.  Only when the candidate comes up does the old session end, so a late or repeated frame
ends nothing.  If the old session is up, and the greeting tells another endpoint, the old peer is asked for a sign of
life first, and the newcomer is refused if it gives one: two nodes of one name, or, where it says that it is of the same
generation, a node that has dialled this one by another endpoint, or an impostor.  Where the nodes are monitored by
other means, ``known_node`` says which node has a name, and no sign of life is asked for: a greeting of another
generation is refused unless it comes from the same endpoint, where only one process can listen.

A generation that has made way for another one is over here: it is refused with the code ``over``, and has to start
again.  Generations are random numbers, of which none is later than another.

Each public method is one event: it takes the time in seconds and returns the effects, to be carried out in order.
``tick`` is wanted at ``wake_at``, which may have changed after any event.

Sessions that exist only while they are used: a node that needs a peer dials it with ``connect(endpoint, once=True)``,
and closes the session again by ``close_unused`` or ``close_idle``.  This succeeds when both sides have set
``Session.in_use`` to False, neither has dialled the other until ``disconnect``, and everything is acknowledged.  So the
network layer sets ``in_use``, which begins as True:

* to False only while it does not need the session: no ask is open in either direction, no actor here watches, links
  with or supervises one of the peer's, nor the other way round, and nothing waits to be sent;
* to True before it begins any of this, and before it sends a body that is to be answered.

From the question to its answer the session's state is ``closing``: it takes nothing, and messages wait.  Then comes
``CapacityAvailable``, and the session goes on, or ``SessionDown`` with the reason ``idle`` on both sides; no body is
lost.  After that, refs to the peer stay valid, because it is the same generation, and nobody is told ``node_lost``.
The next message dials again; what has waited goes to the new session if its generation is the same, with the
definitions of the codec made anew.  If it is another generation, the peer is lost only then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple

from ..kernel.errors import CallerError, PeerOverLimit
from . import frames
from .budget import Account, Budget, PeerLimits, RateLimit
from .effects import CloseWire, DialRefused, Effect, FrameRejected, OpenWire, Refuse
from .frames import Frame, FrameError, Greeting, SessionRefusal
from .generations import Generations
from .handshake import Handshake, LocalNode
from .session import Session
from .settings import SessionSettings
from .transport import Buffer, Source

REFUSALS_MAX = 20
"""Nodes that are told in ``REFUSALS_S`` seconds that they are refused; each takes a connection to them."""
REFUSALS_S = 1.0


class TooManyPeers(CallerError):
    """``SessionSettings.peers_max`` endpoints are dialled already."""


class KnownNode(NamedTuple):
    """A node that is known to be alive.  generation: its own.  endpoint: where it listens."""

    generation: int
    endpoint: str


@dataclass(slots=True)
class _DialledEndpoint:
    """node: the node that was found there, None before.  once: whether to stop dialling when a session is up."""

    node: str | None
    once: bool


class SessionManager:
    """All sessions of one node.

    local: what this node says of itself.  settings: None for the defaults.
    token: returns a random number of 64 bits, which must not be guessable where transports do not authenticate.
    chance: returns a random number in [0, 1).
    generations: of other nodes; None makes a table of its own.
    known_node: returns the node that is known by other means to be alive and to have a name; None for none.
    admit: returns why the sender of a greeting gets no session, in one clause, by the name that it gives itself and the
        identity of its transport; None admits it.
    account: returns what the peers of an identity cost this node; None counts all peers as one, with default limits.
    unknown_session_frames: frames dropped because their session is over or was never this node's.
    rejected_frames: frames that broke the protocol.
    """

    def __init__(
        self,
        local: LocalNode,
        settings: SessionSettings | None = None,
        *,
        token: Callable[[], int],
        chance: Callable[[], float],
        generations: Generations | None = None,
        known_node: Callable[[str], KnownNode | None] = lambda _: None,
        admit: Callable[[str, str | None], str | None] = lambda _, __: None,
        account: Callable[[str | None], Account] | None = None,
    ) -> None:
        self._account = account or partial(Budget(PeerLimits()).account, name="all peers", shared=True)
        self._half_open: dict[int, Account] = {}
        self._refusals = RateLimit(REFUSALS_MAX, REFUSALS_S)
        self._local, self._settings = local, settings or SessionSettings()
        self._generations = Generations() if generations is None else generations
        self._known_node = known_node
        self._token, self._chance, self._admit = token, chance, admit
        self._sessions: dict[int, Session] = {}
        self._peers: dict[str, Session] = {}
        self._candidates: dict[str, Session] = {}
        self._dials: dict[str, Session] = {}
        self._dialled: dict[str, _DialledEndpoint] = {}
        self._dialled_once = 0
        self._wires: dict[str, dict[int, Session]] = {}
        self._alarms: list[tuple[float, int]] = []
        self._refused_at: dict[str, float] = {}
        self._closing = False
        self.unknown_session_frames = self.rejected_frames = 0

    # -- what the network layer asks for -------------------------------------------------------------------------------

    def peer(self, node: str) -> Session | None:
        """Return the session with the node of this name, up or not; None when there is none."""
        return self._peers.get(node)

    def is_unreached(self, endpoint: str) -> bool:
        """Return whether an endpoint is dialled, and there is no session with a node that was found there."""
        dialled = self._dialled.get(endpoint)
        return dialled is not None and dialled.node not in self._peers

    @property
    def is_empty(self) -> bool:
        """Whether no session, dial or handshake is left: true some time after ``close``."""
        return not self._sessions

    @property
    def wake_at(self) -> float:
        """When ``tick`` is wanted next, in seconds; inf for not at all.  It may be early."""
        while self._alarms:
            at, token = self._alarms[0]
            if (session := self._sessions.get(token)) is not None and session.alarm_at == at:
                return at
            heappop(self._alarms)  # the session has ended, or was woken by an earlier one
        return inf

    def connect(self, endpoint: str, now: float, *, once: bool = False) -> list[Effect]:
        """Dial an endpoint, again and again, and again after each loss, until ``disconnect``.

        once: only until a session with the node there is up, or ``forget``; that session may be closed as idle.
        Raises ``TooManyPeers``.
        """
        if self._closing:
            return []
        known = self._dialled.get(endpoint)
        if known is not None:
            if known.once and not once:
                known.once = False
                self._dialled_once -= 1
            return []
        if len(self._dialled) >= self._settings.peers_max:
            raise TooManyPeers(f"{endpoint} is not dialled: peers_max={self._settings.peers_max} endpoints are")
        self._dialled[endpoint] = _DialledEndpoint(None, once)
        self._dialled_once += once
        return self._dial(endpoint, now)

    def forget(self, endpoint: str, now: float) -> list[Effect]:
        """Stop dialling this endpoint.  A session with the node that was found there goes on."""
        self._stop_dialling(endpoint)
        return self._after_event(dial, dial.leave(now), now) if (dial := self._dials.get(endpoint)) else []

    def disconnect(self, endpoint: str, now: float) -> list[Effect]:
        """Stop dialling this endpoint, and leave the peer that was found there."""
        node = self._stop_dialling(endpoint)
        effects = self.forget(endpoint, now)
        return effects if node is None else effects + self.leave(node, now)

    def leave(self, node: str, now: float) -> list[Effect]:
        """Say goodbye to a peer, and stop dialling the endpoints where it was found."""
        for endpoint in self._endpoints_of(node):
            self._stop_dialling(endpoint)
        session = self._peers.get(node)
        return [] if session is None else self._after_event(session, session.leave(now), now)

    def close_idle(self, session: Session, now: float) -> list[Effect]:
        """Ask the peer whether the session may end, unless this side needs it."""
        session.pinned = self._is_pinned(session)
        return self._after_event(session, session.ask_to_close(now), now)

    def close_unused(self, now: float) -> list[Effect]:
        """``close_idle`` for each session that ``closable`` names; call it after each ``SessionUp``, and at times."""
        for session in self._peers.values():
            session.pinned = self._is_pinned(session)
        chosen = closable(self._peers.values(), self._settings, now)
        return [effect for session in chosen for effect in self.close_idle(session, now)]

    def send(self, session: Session, parts: Sequence[Buffer], stream: int, now: float) -> list[Effect] | None:
        """Send a body to a peer that is up; None when it was not taken.

        Raises ``SessionClosed`` and ``FrameTooLarge``, as ``Session.send``.
        """
        effects = session.send(parts, stream, now)
        if session.wake_at < session.alarm_at:
            self._set_alarm(session)
        return effects

    def send_unreliable(self, session: Session, parts: Sequence[Buffer]) -> list[Effect]:
        """Send a body that may be lost, come twice, or overtake others, and waits for nothing.

        Raises ``SessionClosed`` and ``FrameTooLarge``, as ``Session.send_unreliable``.
        """
        return session.send_unreliable(parts)

    def end_session(self, node: str, detail: str, now: float) -> list[Effect]:
        """End the session with a peer that is known to be gone, such as a child process that has ended.

        detail: one sentence for people.
        """
        session = self._peers.get(node)
        return [] if session is None else self._after_event(session, session.end("node_lost", detail), now)

    def close(self, now: float) -> list[Effect]:
        """Leave all peers and greet no node any more; ``is_empty`` says when it is done."""
        self._closing = True
        self._dialled.clear()
        self._dialled_once = 0
        sessions = list(self._sessions.values())
        return [effect for session in sessions for effect in self._after_event(session, session.leave(now), now)]

    # -- what the transport reports ------------------------------------------------------------------------------------

    def receive(self, parts: Sequence[Buffer], source: Source, now: float) -> list[Effect]:
        """A frame came in, which may hold anything."""
        try:
            frame = frames.parse(parts, self._settings.frame_bytes_max)
            if frame.kind <= frames.REFUSE:
                return self._on_handshake(frame, source, now)
            session = self._sessions.get(frame.session)
            if session is None:
                self.unknown_session_frames += 1
                return []
            if session.identity != source.identity:
                raise FrameError(f"a frame for {session} from {source.identity}, it is with {session.identity}", 12)
            if frame.kind == frames.IDLE:
                session.pinned = self._is_pinned(session)
            return self._after_event(session, session.receive(frame, now), now)
        except FrameError as error:
            return [self._rejected(source, error)]

    def _rejected(self, source: Source, error: FrameError | PeerOverLimit) -> Effect:
        self.rejected_frames += 1
        return FrameRejected(source, str(error))

    def not_taken(self, endpoint: str, sequence: int) -> None:
        """The wire is full and did not take the DATA frame of this number."""
        for session in self._wires.get(endpoint, {}).values():
            if session.ever_up:
                session.not_taken(sequence)

    def wire_ready(self, endpoint: str, now: float) -> list[Effect]:
        """The wire takes frames again."""
        sessions = list(self._wires.get(endpoint, {}).values())
        return [effect for session in sessions for effect in self._after_event(session, session.wire_ready(now), now)]

    def wire_lost(self, endpoint: str, detail: str, now: float) -> list[Effect]:
        """The wire's connection broke.  detail: one sentence for people."""
        effects: list[Effect] = []
        for session in list(self._wires.get(endpoint, {}).values()):
            effects += self._after_event(session, session.wire_lost(detail, now), now)
        return effects

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

    def _on_handshake(self, frame: Frame, source: Source, now: float) -> list[Effect]:
        ours = self._sessions.get(frame.session) if frame.session else None
        if frame.kind == frames.REFUSE:
            return self._on_refusal(ours, frames.read_refusal(frame), now)
        greeting = frames.read_greeting(frame)
        if bool(greeting.attempt) != (frame.kind == frames.HELLO) or not (greeting.attempt or greeting.echo):
            raise FrameError(f"{greeting.node} greets with attempt {greeting.attempt} and echo {greeting.echo}", 3)
        refused = self._admit(greeting.node, source.identity)
        if refused is not None:
            return self._refuse(greeting, "not_admitted", refused, ours, now)
        found = objection(self._local, greeting, closing=self._closing and ours is None) or self._lost_name(
            greeting, now
        )
        if found is not None:
            return self._refuse(greeting, *found, ours, now)
        current, dial = self._peers.get(greeting.node), ours if ours and self._is_dial(ours) else None
        if ours is not None and ours is self._candidates.get(greeting.node) and ours.identity == source.identity:
            return self._greeted(ours, frame, greeting, now)
        if current is None:
            return self._first_greeting(dial, frame, greeting, source, now)
        if current.identity != source.identity and current.ever_up:
            text = f"{greeting.node} has a session already, with another key"
            return self._refuse(greeting, "name_taken", text, dial, now)
        if current.is_over_for(frame, greeting) or (dial and _is_other_generation(current, greeting)):
            return self._challenge(current, dial, frame, greeting, source, now)
        effects = self._drop_dial(dial, greeting.node, now)
        if not current.ever_up:
            if current.peer is not None and current.endpoint == current.peer.endpoint != greeting.endpoint:
                effects += self._after_event(current, current.end("node_lost", "it greets from elsewhere"), now)
                return effects + self._first_greeting(None, frame, greeting, source, now)
            current.identity = source.identity
        return effects + self._greeted(current, frame, greeting, now)

    def _greeted(self, session: Session, frame: Frame, greeting: Greeting, now: float) -> list[Effect]:
        """Give a greeting to its session, and note which generation has the name of the node if it comes up."""
        effects = session.greeted(frame, greeting, now)
        if session.state == "up" and session.peer is not None:
            self._generations.begin(session.peer.node, session.peer.generation, now)
        return self._after_event(session, effects, now)

    def _lost_name(self, greeting: Greeting, now: float) -> tuple[str, str] | None:
        """Return why the sender must not have the name that it greets with, as code and text; None when it may."""
        name, here = greeting.node, self._local.node
        if self._generations.is_over(name, greeting.generation, now):
            text = f"another node took the name {name} while this one did not answer {here}; start this one again"
            return "over", f"{text}, under another name if the other one is to stay"
        known = self._known_node(name)
        if known is None or greeting.generation == known.generation or greeting.endpoint == known.endpoint:
            return None
        return "name_taken", f"another {name} is alive at {known.endpoint}; take another name, or wait until it ends"

    def _first_greeting(
        self, dial: Session | None, frame: Frame, greeting: Greeting, source: Source, now: float
    ) -> list[Effect]:
        """A node without a session greets, or answers the dial."""
        effects: list[Effect] = []
        session = dial or self._dials.get(greeting.endpoint)
        if session is None and frame.kind == frames.WELCOME:  # it answers a HELLO that this node has not sent
            self.unknown_session_frames += 1
            return []
        if session is not None:
            self._dials.pop(session.endpoint)
            self._found(session.endpoint, greeting.node)
        elif len(self._peers) - len(self._half_open) >= self._settings.peers_max:
            text = f"{self._local.node} has peers_max={self._settings.peers_max} sessions already"
            return self._refuse(greeting, "full", text, None, now)
        else:
            session, effects = self._answering_session(greeting, now + self._settings.handshake_s, source)
            if session is None:
                return effects
        session.identity = source.identity
        self._peers[greeting.node] = session
        return effects + self._greeted(session, frame, greeting, now)

    def _challenge(
        self, current: Session, dial: Session | None, frame: Frame, greeting: Greeting, source: Source, now: float
    ) -> list[Effect]:
        """A node of the peer's name does not know the session: it has to answer a handshake to take its place."""
        assert current.peer is not None, "a session that was up has a peer"
        if current.state == "leaving" or (dial is None and frame.kind == frames.WELCOME):
            return []
        is_other = _is_other_generation(current, greeting)
        if current.state == "up" and greeting.endpoint != current.peer.endpoint:
            found, asking = current.check_name(now)
            if found == "alive" and not is_other:
                text = f"{greeting.node} has a session already, and is alive at {current.peer.endpoint}"
                return self._refuse(greeting, "connected", text, dial, now)
            if found == "alive":
                text = f"another {greeting.node} has a session already, and is alive at {current.peer.endpoint}"
                return self._refuse(greeting, "name_taken", text, dial, now)
            if found != "silent":
                return asking
        effects: list[Effect] = []
        candidate = self._candidates.get(greeting.node)
        if candidate is None or dial is not None or candidate.endpoint != greeting.endpoint:
            effects += [] if candidate is None else self._after_event(candidate, candidate.end("node_lost", ""), now)
            if dial is None:
                candidate, opened = self._answering_session(greeting, inf, source)
                effects += opened
                if candidate is None:
                    return effects
            else:
                self._dials.pop(dial.endpoint)
                self._found(dial.endpoint, greeting.node)
                candidate = dial
            candidate.make_tentative(now + self._settings.handshake_s)
            self._candidates[greeting.node] = candidate
        candidate.identity = source.identity
        return effects + self._greeted(candidate, frame, greeting, now)

    # -- refusals ------------------------------------------------------------------------------------------------------

    def _refuse(self, greeting: Greeting, code: str, text: str, ours: Session | None, now: float) -> list[Effect]:
        """Tell the node that it is refused, unless it was told just before, or many others were.

        A dial of it has come to nothing.
        """
        if code == "itself":
            dial = self._sessions.get(greeting.token)
            if dial is None or not self._is_dial(dial):
                return []
            self._stop_dialling(dial.endpoint)
            return [*self._after_event(dial, dial.end("refused", text), now), DialRefused(dial.endpoint, code, text)]
        effects = self._postpone([ours.endpoint], code, text, now) if ours and self._is_dial(ours) else []
        if now < self._refused_at.get(greeting.endpoint, -inf) + self._settings.greet_first_s:
            return effects
        if not self._refusals.admits(now):
            return effects
        if len(self._refused_at) >= self._settings.peers_max:
            self._refused_at.clear()
        self._refused_at[greeting.endpoint] = now
        body = frames.encode_body(SessionRefusal(self._local.node, code, text))
        refusal = frames.build(frames.REFUSE, greeting.token, 0, 0, 0, (body,))
        return [*effects, Refuse(greeting.endpoint, refusal)]

    def _on_refusal(self, ours: Session | None, refusal: SessionRefusal, now: float) -> list[Effect]:
        """A peer refuses the session whose token this is."""
        if ours is None or ours.state not in ("greeting", "broken"):
            self.unknown_session_frames += 1
            return []
        if refusal.code == "connected" and self._is_dial(ours) and refusal.node in self._peers:
            return self._drop_dial(ours, refusal.node, now)
        nodes = {node for node, session in self._peers.items() if session is ours}
        endpoints = [endpoint for node in nodes for endpoint in self._endpoints_of(node)]
        endpoints += [ours.endpoint] if ours.endpoint in self._dialled and ours.endpoint not in endpoints else []
        if not endpoints and refusal.code in ("name_taken", "over"):
            endpoints = [ours.endpoint]  # it greeted first, and this node has to hear all the same that it is refused
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

    # -- dialled endpoints ---------------------------------------------------------------------------------------------

    def _dial(self, endpoint: str, now: float) -> list[Effect]:
        """Dial the endpoint, unless there is a session with the node that listens there."""
        for node, session in self._peers.items():
            if endpoint in (session.endpoint, session.peer and session.peer.endpoint):
                self._found(endpoint, node)
                self._after_event(session, [], now)
                return []
        dial, effects = self._make_session(endpoint, inf)
        self._dials[endpoint] = dial
        return effects + self._after_event(dial, [dial.greet(now)], now)

    def _drop_dial(self, dial: Session | None, node: str, now: float) -> list[Effect]:
        """The dial has led to a node that has a session: it is not needed any more."""
        if dial is None:
            return []
        self._found(dial.endpoint, node)
        return self._after_event(dial, dial.end("closed", "another session leads there"), now)

    def _is_dial(self, session: Session) -> bool:
        return self._dials.get(session.endpoint) is session

    def _found(self, endpoint: str, node: str) -> None:
        """This node listens at the endpoint."""
        if endpoint in self._dialled:
            self._dialled[endpoint].node = node

    def _stop_dialling(self, endpoint: str) -> str | None:
        """Return the node that was found there, if any."""
        dialled = self._dialled.pop(endpoint, None)
        if dialled is None:
            return None
        self._dialled_once -= dialled.once
        return dialled.node

    def _endpoints_of(self, node: str) -> list[str]:
        """The dialled endpoints where this node was found."""
        return [endpoint for endpoint, dialled in self._dialled.items() if dialled.node == node]

    def _is_pinned(self, session: Session) -> bool:
        """Whether the peer was found at an endpoint that is dialled until ``disconnect``."""
        peer = session.peer
        return peer is not None and any(
            dialled.node == peer.node and not dialled.once for dialled in self._dialled.values()
        )

    # -- housekeeping --------------------------------------------------------------------------------------------------

    def _answering_session(
        self, greeting: Greeting, expires_at: float, source: Source
    ) -> tuple[Session | None, list[Effect]]:
        """Make a session for a node that has greeted; None, and the rejection, for too many handshakes of its identity.

        The handshake is held by the account until it is complete.
        """
        account = self._account(source.identity)
        try:
            account.take("handshakes")
        except PeerOverLimit as error:
            return None, [self._rejected(source, error)]  # no more: what was done before for this frame stays done
        session, effects = self._make_session(greeting.endpoint, expires_at)
        self._half_open[session.token] = account
        return session, effects

    def _no_longer_half_open(self, session: Session) -> None:
        if (account := self._half_open.pop(session.token, None)) is not None:
            account.give_back("handshakes")

    def _make_session(self, endpoint: str, expires_at: float) -> tuple[Session, list[Effect]]:
        token = self._token()
        while token in self._sessions or not 0 < token < 2**64:
            token = self._token()
        handshake = Handshake(self._local, self._settings, token, self._chance, endpoint)
        session = self._sessions[token] = Session(handshake, self._settings, endpoint, expires_at)
        (users := self._wires.setdefault(endpoint, {}))[token] = session
        return session, [OpenWire(endpoint)] if len(users) == 1 else []

    def _after_event(self, session: Session, effects: list[Effect], now: float) -> list[Effect]:
        """Update the tables after an event of a session; returns its effects and those of the update, in order."""
        if session.state == "closed":
            return effects + self._forget_session(session, now)
        if self._half_open and session.ever_up:
            self._no_longer_half_open(session)
        if session.wake_at < session.alarm_at:
            self._set_alarm(session)
        if self._candidates and session.state == "up" and session.peer is not None:
            node = session.peer.node
            if self._candidates.get(node) is session:
                del self._candidates[node]
                old, self._peers[node] = self._peers[node], session
                effects = self._after_event(old, old.supersede(), now) + effects
        if self._dialled_once and session.state == "up" and session.peer is not None:
            for endpoint in self._endpoints_of(session.peer.node):
                if self._dialled[endpoint].once:
                    self._stop_dialling(endpoint)
        return effects + self._detach(session, now) if session.state == "closed_idle" else effects

    def _forget_session(self, session: Session, now: float) -> list[Effect]:
        """A session has ended: close its wire, and dial again the endpoints that are wanted."""
        if self._sessions.pop(session.token, None) is None:
            return []
        self._no_longer_half_open(session)
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
        """The session with a peer is over; another one may take its place."""
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
        return [effect for endpoint in self._endpoints_of(node) for effect in self._dial(endpoint, now)]

    def _set_alarm(self, session: Session) -> None:
        session.alarm_at = session.wake_at
        heappush(self._alarms, (session.wake_at, session.token))


def objection(local: LocalNode, greeting: Greeting, *, closing: bool) -> tuple[str, str] | None:
    """Return why this node refuses a session with the sender of a greeting, as code and text; None when it does not.

    What others have to do with the name of the sender is not looked at.
    closing: whether this node begins no new sessions.
    """
    if greeting.node == local.node:
        if greeting.generation == local.generation:
            return "itself", f"{local.node} has dialled itself"
        return "name_taken", f"this node is called {local.node} too; give one of the two another name"
    if greeting.protocol_min > frames.PROTOCOL_MAX or greeting.protocol_max < frames.PROTOCOL_MIN:
        theirs = f"{greeting.node} speaks the protocol versions {greeting.protocol_min} to {greeting.protocol_max}"
        ours = f"{local.node} {frames.PROTOCOL_MIN} to {frames.PROTOCOL_MAX}"
        return "protocol", f"{theirs}, {ours}: upgrade the older one"
    return ("closing", f"{local.node} is shutting down") if closing else None


def closable(sessions: Iterable[Session], settings: SessionSettings, now: float) -> list[Session]:
    """Return the sessions to close: those unused for ``idle_after_s``, and as many as there are above ``sessions_max``.

    The least recently used come first.  A session that is in use, or has something unacknowledged, is never among them,
    so that there may be more than ``sessions_max`` sessions.
    """
    up = [session for session in sessions if session.state == "up"]
    surplus = 0 if settings.sessions_max is None else max(0, len(up) - settings.sessions_max)
    since = None if settings.idle_after_s is None else now - settings.idle_after_s
    if not surplus and since is None:
        return []
    free = sorted((session for session in up if session.can_close), key=lambda session: session.used_at)
    return [
        session
        for rank, session in enumerate(free)
        if rank < surplus or (since is not None and session.used_at <= since)
    ]


def _is_other_generation(session: Session, greeting: Greeting) -> bool:
    """Whether the greeting comes from another generation of the peer's name than the session is with."""
    return session.peer is not None and session.peer.generation != greeting.generation
