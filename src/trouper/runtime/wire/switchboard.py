"""``Switchboard``: all links of one node, and which link a frame belongs to (PURE).

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
from . import framing
from .effects import CloseWire, DialRefused, Effect, Faulty, OpenWire
from .framing import Frame, FrameError, Greeting, Refusal
from .greeter import Greeter, LocalNode
from .idle import unused
from .links import Link
from .refusals import Admit, Refusals
from .settings import LinkSettings
from .transport import Buffer, Source
from .wishes import Wishes


class TooManyPeers(CallerError):
    """``LinkSettings.peers_max`` endpoints are dialled already."""


class Switchboard:
    """See the top of the file.

    token: returns a random number of 64 bits; it must not be guessable where transports do not authenticate.
    chance: returns a random number in [0, 1).  admit: None admits everybody whom the transport lets through.
    strangers: frames dropped because their session is over or was never ours.  faults: frames that broke the rules.
    """

    def __init__(
        self,
        local: LocalNode,
        settings: LinkSettings | None = None,
        *,
        token: Callable[[], int],
        chance: Callable[[], float],
        admit: Admit | None = None,
    ) -> None:
        self._local, self._settings = local, settings or LinkSettings()
        self._token, self._chance = token, chance
        self._refusals = Refusals(local, self._settings, admit)
        self._links: dict[int, Link] = {}
        self._peers: dict[str, Link] = {}
        self._candidates: dict[str, Link] = {}
        self._dials: dict[str, Link] = {}
        self._wishes = Wishes()
        self._wires: dict[str, dict[int, Link]] = {}
        self._alarms: list[tuple[float, int]] = []
        self._closing = False
        self.strangers = self.faults = 0

    # -- what the node asks for ----------------------------------------------------------------------------------------

    def peer(self, node: str) -> Link | None:
        """The link to the node of this name, up or not; None when there is none."""
        return self._peers.get(node)

    @property
    def is_empty(self) -> bool:
        """Whether no link, dial or handshake is left: true some time after ``close``."""
        return not self._links

    @property
    def wake_at(self) -> float:
        """When ``tick`` is wanted next, in seconds; inf for not at all.  It may be early."""
        while self._alarms:
            at, token = self._alarms[0]
            if (link := self._links.get(token)) is not None and link.alarm_at == at:
                return at
            heappop(self._alarms)  # the link has ended, or was woken by an earlier one
        return inf

    def connect(self, endpoint: str, now: float, *, once: bool = False) -> list[Effect]:
        """Dial an endpoint, again and again, and again after each loss, until ``disconnect``.

        once: until a link to the node there is up, or ``forget``; it may be idle.  Raises ``TooManyPeers``.
        """
        if self._closing:
            return []
        if endpoint in self._wishes:
            self._wishes.add(endpoint, once=once)
            return []
        if len(self._wishes) >= self._settings.peers_max:
            raise TooManyPeers(f"{endpoint} is not dialled: peers_max={self._settings.peers_max} endpoints are")
        self._wishes.add(endpoint, once=once)
        return self._want(endpoint, now)

    def forget(self, endpoint: str, now: float) -> list[Effect]:
        """Dial this endpoint no more.  A link to the node that was found there goes on."""
        self._wishes.drop(endpoint)
        return self._settle(dial, dial.leave(now), now) if (dial := self._dials.get(endpoint)) else []

    def disconnect(self, endpoint: str, now: float) -> list[Effect]:
        """Dial this endpoint no more, and take leave of the peer that was found there."""
        node = self._wishes.drop(endpoint)
        effects = self.forget(endpoint, now)
        return effects if node is None else effects + self.leave(node, now)

    def leave(self, node: str, now: float) -> list[Effect]:
        """Take leave of a peer, and dial no more the endpoints that led to it."""
        self._wishes.drop_node(node)
        link = self._peers.get(node)
        return [] if link is None else self._settle(link, link.leave(now), now)

    def close_idle(self, link: Link, now: float) -> list[Effect]:
        """Ask the peer whether the session may end, unless this side needs it; ``idle`` says what the caller owes."""
        link.kept = self._is_kept(link)
        return self._settle(link, link.part(now), now)

    def close_unused(self, now: float) -> list[Effect]:
        """``close_idle`` for what ``idle.unused`` chooses; call it after each ``PeerUp``, and now and then."""
        for link in self._peers.values():
            link.kept = self._is_kept(link)
        links = unused(self._peers.values(), self._settings, now)
        return [effect for link in links for effect in self.close_idle(link, now)]

    def send(self, link: Link, parts: Sequence[Buffer], lane: int, now: float) -> list[Effect] | None:
        """``Link.send``: a body to a peer that is up, None for no room.  Raises ``LinkClosed``, ``FrameTooLarge``."""
        effects = link.send(parts, lane, now)
        if link.wake_at < link.alarm_at:
            self._set_alarm(link)
        return effects

    def retain(self, link: Link, byte_change: int, now: float) -> list[Effect]:
        """``Link.retain``: hold back, or give free, credit for delivered bytes."""
        return self._settle(link, link.retain(byte_change, now), now)

    def abandon(self, node: str, detail: str, now: float) -> list[Effect]:
        """It is known for certain that the peer is gone, such as a child process that has ended: do not wait."""
        link = self._peers.get(node)
        return [] if link is None else self._settle(link, link.end("node_lost", detail), now)

    def close(self, now: float) -> list[Effect]:
        """Take leave of all peers and greet nobody any more; ``is_empty`` tells when it is done."""
        self._closing = True
        self._wishes.clear()
        return [effect for link in list(self._links.values()) for effect in self._settle(link, link.leave(now), now)]

    # -- what the transport reports ------------------------------------------------------------------------------------

    def receive(self, parts: Sequence[Buffer], source: Source, now: float) -> list[Effect]:
        """A frame came in, which may hold anything."""
        try:
            frame = framing.parse(parts, self._settings.frame_bytes_max)
            if frame.kind <= framing.REFUSE:
                return self._handshake(frame, source, now)
            link = self._links.get(frame.session)
            if link is None:
                self.strangers += 1
                return []
            if link.identity != source.identity:
                raise FrameError(f"a frame for {link} from {source.identity}, it is with {link.identity}", 12)
            if frame.kind == framing.IDLE:
                link.kept = self._is_kept(link)
            return self._settle(link, link.receive(frame, now), now)
        except FrameError as error:
            self.faults += 1
            return [Faulty(source, str(error))]

    def not_taken(self, endpoint: str, sequence: int) -> None:
        """The wire is full and did not take the DATA frame of this number."""
        for link in self._wires.get(endpoint, {}).values():
            if link.ever_up:
                link.not_taken(sequence)

    def wire_ready(self, endpoint: str, now: float) -> list[Effect]:
        """The wire has room again."""
        links = list(self._wires.get(endpoint, {}).values())
        return [effect for link in links for effect in self._settle(link, link.wire_ready(now), now)]

    def wire_lost(self, endpoint: str, detail: str, now: float) -> list[Effect]:
        """The wire's connection broke."""
        links = list(self._wires.get(endpoint, {}).values())
        return [effect for link in links for effect in self._settle(link, link.wire_lost(detail, now), now)]

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        effects: list[Effect] = []
        while self._alarms and self._alarms[0][0] <= now:
            at, token = heappop(self._alarms)
            link = self._links.get(token)
            if link is not None and link.alarm_at == at:
                link.alarm_at = inf
                effects += self._settle(link, link.tick(now), now)
        return effects

    # -- greetings -----------------------------------------------------------------------------------------------------

    def _handshake(self, frame: Frame, source: Source, now: float) -> list[Effect]:
        ours = self._links.get(frame.session) if frame.session else None
        if frame.kind == framing.REFUSE:
            return self._refused(ours, framing.read_refusal(frame), now)
        greeting = framing.read_greeting(frame)
        if bool(greeting.attempt) != (frame.kind == framing.HELLO) or not (greeting.attempt or greeting.echo):
            raise FrameError(f"{greeting.node} greets with attempt {greeting.attempt} and echo {greeting.echo}", 3)
        found = self._refusals.objection(greeting, source, closing=self._closing and ours is None)
        if found is not None:
            return self._refuse(greeting, *found, ours, now)
        current, dial = self._peers.get(greeting.node), ours if ours and self._is_dial(ours) else None
        if ours is not None and ours is self._candidates.get(greeting.node) and ours.identity == source.identity:
            return self._settle(ours, ours.greeted(frame, greeting, now), now)
        if current is None:
            return self._met(dial, frame, greeting, source, now)
        if current.identity != source.identity and current.ever_up:
            text = f"{greeting.node} is linked already, with another key"
            return self._refuse(greeting, "name_taken", text, dial, now)
        if current.is_over_for(frame, greeting) or (dial and _is_other_life(current, greeting)):
            return self._challenge(current, dial, frame, greeting, source, now)
        effects = self._drop_dial(dial, greeting.node, now)
        if not current.ever_up:
            if current.peer is not None and current.endpoint == current.peer.endpoint != greeting.endpoint:
                effects += self._settle(current, current.end("node_lost", "it greets from elsewhere"), now)
                return effects + self._met(None, frame, greeting, source, now)
            current.identity = source.identity
        return effects + self._settle(current, current.greeted(frame, greeting, now), now)

    def _met(self, dial: Link | None, frame: Frame, greeting: Greeting, source: Source, now: float) -> list[Effect]:
        """A node without a link greets, or answers the dial."""
        effects: list[Effect] = []
        link = dial or self._dials.get(greeting.endpoint)
        if link is not None:
            self._dials.pop(link.endpoint)
            self._wishes.found(link.endpoint, greeting.node)
        elif len(self._peers) >= self._settings.peers_max:
            text = f"{self._local.node} has peers_max={self._settings.peers_max} links already"
            return self._refuse(greeting, "full", text, None, now)
        else:
            link, effects = self._make_link(greeting.endpoint, now + self._settings.handshake_s)
        link.identity = source.identity
        self._peers[greeting.node] = link
        return effects + self._settle(link, link.greeted(frame, greeting, now), now)

    def _challenge(
        self, current: Link, dial: Link | None, frame: Frame, greeting: Greeting, source: Source, now: float
    ) -> list[Effect]:
        """Somebody of the peer's name does not know the session: let them prove that they are there."""
        assert current.peer is not None, "a link that was up has a peer"
        if current.state == "leaving":
            return []
        if current.state == "up" and _is_other_life(current, greeting) and greeting.endpoint != current.peer.endpoint:
            sign, asking = current.doubt(now)
            if sign == "alive":
                text = f"another {greeting.node} is linked already, and alive at {current.peer.endpoint}"
                return self._refuse(greeting, "name_taken", text, dial, now)
            if sign in ("ask", "asked"):
                return asking
        effects: list[Effect] = []
        candidate = self._candidates.get(greeting.node)
        if candidate is None or dial is not None or candidate.endpoint != greeting.endpoint:
            effects += [] if candidate is None else self._settle(candidate, candidate.end("node_lost", ""), now)
            if dial is None:
                candidate, opened = self._make_link(greeting.endpoint, inf)
                effects += opened
            else:
                self._dials.pop(dial.endpoint)
                self._wishes.found(dial.endpoint, greeting.node)
                candidate = dial
            candidate.be_tentative(now + self._settings.handshake_s)
            self._candidates[greeting.node] = candidate
        candidate.identity = source.identity
        return effects + self._settle(candidate, candidate.greeted(frame, greeting, now), now)

    # -- refusals ------------------------------------------------------------------------------------------------------

    def _refuse(self, greeting: Greeting, code: str, text: str, ours: Link | None, now: float) -> list[Effect]:
        """Tell the node that it is not wanted, unless it was just told; if it was dialled, that came to nothing."""
        if code == "itself":
            dial = self._links.get(greeting.token)
            if dial is None or not self._is_dial(dial):
                return []
            self._wishes.drop(dial.endpoint)
            return [*self._settle(dial, dial.end("refused", text), now), DialRefused(dial.endpoint, code, text)]
        effects = self._postpone([ours.endpoint], code, text, now) if ours and self._is_dial(ours) else []
        return [*effects, *self._refusals.tell(greeting, code, text, now)]

    def _refused(self, ours: Link | None, refusal: Refusal, now: float) -> list[Effect]:
        """A peer does not want the link whose token this is."""
        if ours is None or ours.state not in ("greeting", "broken"):
            self.strangers += 1
            return []
        nodes = {node for node, link in self._peers.items() if link is ours}
        endpoints = [endpoint for node in nodes for endpoint in self._wishes.endpoints(node)]
        endpoints += [ours.endpoint] if ours.endpoint in self._wishes and ours.endpoint not in endpoints else []
        effects: list[Effect] = []
        if not self._is_dial(ours):
            effects = self._settle(ours, ours.end("refused", f"{refusal.node}: {refusal.text}"), now)
        return effects + self._postpone(endpoints, refusal.code, refusal.text, now)

    def _postpone(self, endpoints: Sequence[str], code: str, text: str, now: float) -> list[Effect]:
        """These dials came to nothing for now."""
        for dial in filter(None, map(self._dials.get, endpoints)):
            dial.postpone(now)
            self._settle(dial, [], now)
        return [DialRefused(endpoint, code, text) for endpoint in endpoints]

    # -- housekeeping --------------------------------------------------------------------------------------------------

    def _want(self, endpoint: str, now: float) -> list[Effect]:
        """Dial the endpoint, unless there is a link to whoever listens there."""
        for node, link in self._peers.items():
            if endpoint in (link.endpoint, link.peer and link.peer.endpoint):
                self._wishes.found(endpoint, node)
                self._settle(link, [], now)
                return []
        dial, effects = self._make_link(endpoint, inf)
        self._dials[endpoint] = dial
        return effects + self._settle(dial, [dial.greet(now)], now)

    def _drop_dial(self, dial: Link | None, node: str, now: float) -> list[Effect]:
        """The dial has led to a node that has a link: it has done its work."""
        if dial is None:
            return []
        self._wishes.found(dial.endpoint, node)
        return self._settle(dial, dial.end("closed", "another link leads there"), now)

    def _is_dial(self, link: Link) -> bool:
        return self._dials.get(link.endpoint) is link

    def _make_link(self, endpoint: str, expires_at: float) -> tuple[Link, list[Effect]]:
        token = self._token()
        while token in self._links or not 0 < token < 2**64:
            token = self._token()
        greeter = Greeter(self._local, self._settings, token, self._chance)
        link = self._links[token] = Link(greeter, self._settings, endpoint, expires_at)
        (users := self._wires.setdefault(endpoint, {}))[token] = link
        return link, [OpenWire(endpoint)] if len(users) == 1 else []

    def _settle(self, link: Link, effects: list[Effect], now: float) -> list[Effect]:
        """After each event of a link: take note of what became of it."""
        if link.state == "closed":
            return effects + self._forget(link, now)
        if link.wake_at < link.alarm_at:
            self._set_alarm(link)
        if self._candidates and link.state == "up" and link.peer is not None:
            node = link.peer.node
            if self._candidates.get(node) is link:
                del self._candidates[node]
                old, self._peers[node] = self._peers[node], link
                effects = self._settle(old, old.give_way(), now) + effects
        if self._wishes.once and link.state == "up" and link.peer is not None:
            self._wishes.is_up(link.peer.node)
        return effects + self._part_from(link, now) if link.state == "parted" else effects

    def _forget(self, link: Link, now: float) -> list[Effect]:
        """A link has ended: let go of its wire, and dial again what is wanted."""
        if self._links.pop(link.token, None) is None:
            return []
        effects: list[Effect] = []
        users = self._wires[link.endpoint]
        del users[link.token]
        if not users:
            del self._wires[link.endpoint]
            effects.append(CloseWire(link.endpoint))
        if self._dials.get(link.endpoint) is link:
            del self._dials[link.endpoint]
        return effects + self._part_from(link, now)

    def _part_from(self, link: Link, now: float) -> list[Effect]:
        """The session with a peer is over; another may take its place."""
        node = link.peer.node if link.peer is not None else ""
        if self._candidates.get(node) is link:
            del self._candidates[node]
        if self._peers.get(node) is not link:
            return []
        del self._peers[node]
        if node in self._candidates:
            self._peers[node] = heir = self._candidates.pop(node)
            heir.tentative = False
            return []
        return [effect for endpoint in self._wishes.endpoints(node) for effect in self._want(endpoint, now)]

    def _is_kept(self, link: Link) -> bool:
        return link.peer is not None and self._wishes.wants_for_good(link.peer.node)

    def _set_alarm(self, link: Link) -> None:
        link.alarm_at = link.wake_at
        heappush(self._alarms, (link.wake_at, link.token))


def _is_other_life(link: Link, greeting: Greeting) -> bool:
    """Whether the greeting comes from another life of the peer's name than the link is with."""
    return link.peer is not None and link.peer.incarnation != greeting.incarnation
