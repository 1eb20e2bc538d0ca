"""A world of switchboards over an adversarial channel, on a clock that only the test moves.

It carries out effects as a node would, and checks what links promise while it does: bodies of a session come out as a
prefix of what went in, sessions begin and end once, what was not delivered is handed back, windows hold.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from random import Random

from trouper.runtime.wire import framing
from trouper.runtime.wire.effects import (
    CloseWire,
    Deliver,
    DialRefused,
    Effect,
    Faulty,
    OpenWire,
    PeerBack,
    PeerBroken,
    PeerDown,
    PeerUp,
    Refuse,
    Room,
    Transmit,
)
from trouper.runtime.wire.framing import NORMAL
from trouper.runtime.wire.greeter import LocalNode
from trouper.runtime.wire.links import Link
from trouper.runtime.wire.refusals import Admit
from trouper.runtime.wire.settings import LinkSettings
from trouper.runtime.wire.switchboard import Switchboard
from trouper.runtime.wire.transport import Buffer, Source

FRAMES_AT_ONCE_MAX = 400
"""More frames than this without time passing are a loop."""


@dataclass
class Weather:
    """What the channel does to frames; chances in [0, 1], seconds."""

    delay_s: float = 0.001
    jitter_s: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    reorder: float = 0.0


@dataclass
class Life:
    """One life of a node: its switchboard, and what it saw."""

    name: str
    endpoint: str
    board: Switchboard
    identity: str | None = None
    up: dict[str, Link] = field(default_factory=dict[str, Link])
    sent: dict[int, int] = field(default_factory=dict[int, int])
    returned: dict[int, int] = field(default_factory=dict[int, int])
    delivered: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    story: list[str] = field(default_factory=list[str])
    wires: set[str] = field(default_factory=set[str])
    paused_until: float = -inf
    waiting: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    alive: bool = True

    def told(self, what: str) -> list[str]:
        """The lines of its story that begin so."""
        return [line for line in self.story if line.startswith(what)]


class World:
    """Nodes by name, each with its living life, and the channel between endpoints."""

    def __init__(self, seed: int = 0, settings: LinkSettings | None = None) -> None:
        self.random = Random(seed)
        self.settings = settings or LinkSettings()
        self.now = 100.0
        self.weather = Weather()
        self.nodes: dict[str, Life] = {}
        self.listening: dict[str, Life] = {}
        self.lives: list[Life] = []
        self.cut: set[tuple[str, str]] = set()
        self.full: set[tuple[str, str]] = set()
        self.frames = 0
        self.log: Callable[[str], None] = lambda line: None
        self._tokens: dict[int, str] = {0: "anybody"}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._not_before: dict[tuple[str, str], float] = {}

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def start(
        self, name: str, endpoint: str | None = None, *, admit: Admit | None = None, identity: str | None = None
    ) -> Life:
        """A node begins a life, at an endpoint of its name or at another."""
        where = endpoint or f"test://{name}"
        local = LocalNode(name, self.random.getrandbits(63), where)
        board = Switchboard(
            local, self.settings, token=lambda: self.random.getrandbits(64), chance=self.random.random, admit=admit
        )
        life = Life(name, where, board, identity)
        self.nodes[name] = self.listening[where] = life
        self.lives.append(life)
        return life

    def crash(self, name: str) -> None:
        """The node ends without a word; its sockets are gone, so whoever has a wire to it may hear of it."""
        life = self.nodes.pop(name)
        life.alive = False
        if self.listening.get(life.endpoint) is life:
            del self.listening[life.endpoint]

    def connect(self, name: str, endpoint: str) -> None:
        life = self.nodes[name]
        self.carry_out(life, life.board.connect(endpoint, self.now))

    def send(self, name: str, to: str, count: int = 1, body_bytes: int = 20, lane: int = NORMAL) -> int:
        """Send numbered bodies while there is room; returns how many were sent."""
        life = self.nodes[name]
        for done in range(count):
            link = life.up.get(to)
            if link is None:
                return done
            number = life.sent.get(link.token, 0) + 1
            body = f"{link.token} {number} ".encode().ljust(body_bytes, b".")
            effects = None if link.state == "parting" else life.board.send(link, (body,), lane, self.now)
            if effects is None:
                return done
            life.sent[link.token] = number
            self.carry_out(life, effects)
            self._check_window(link)
        return count

    def reset(self, name: str, to: str) -> None:
        """The connection from one node to another breaks: what is on its way is lost, and the sender is told."""
        key = (self.nodes[name].endpoint, self.nodes[to].endpoint)
        self._not_before.pop(key, None)
        self._events = [event for event in self._events if getattr(event[2], "key", None) != key]
        heapq.heapify(self._events)
        life = self.nodes[name]
        self.carry_out(life, life.board.wire_lost(key[1], "reset", self.now))

    def pause(self, name: str, seconds: float) -> None:
        """The node does nothing for a while; what comes in waits, as in a socket."""
        self.nodes[name].paused_until = self.now + seconds

    def fill(self, name: str, to: str) -> None:
        self.full.add((self.nodes[name].endpoint, self.nodes[to].endpoint))

    def empty(self, name: str, to: str) -> None:
        """The wire has room again."""
        life, endpoint = self.nodes[name], self.nodes[to].endpoint
        self.full.discard((life.endpoint, endpoint))
        self.carry_out(life, life.board.wire_ready(endpoint, self.now))

    def run(self, seconds: float) -> None:
        """Let time pass, with everything that happens in it."""
        end, at_once = self.now + seconds, 0
        while True:
            at = min(self._events[0][0] if self._events else inf, *(self._wake_at(life) for life in self.lives), inf)
            if at > end:
                break
            at_once = at_once + 1 if at <= self.now else 0
            assert at_once < FRAMES_AT_ONCE_MAX, "a loop without end, without time passing"
            self.now = max(self.now, at)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            for life in self.lives:
                if self._wake_at(life) <= self.now:
                    self._wake(life)
        self.now = end

    # -- effects -------------------------------------------------------------------------------------------------------

    def carry_out(self, life: Life, effects: list[Effect]) -> None:
        """Do as a node does."""
        stopped: set[str] = set()
        for effect in effects:
            match effect:
                case Transmit(endpoint, parts, sequence):
                    assert endpoint in life.wires, f"{life.name} has no wire to {endpoint}"
                    if sequence and endpoint in stopped:
                        continue
                    if (life.endpoint, endpoint) not in self.full:
                        self._transmit(life, endpoint, parts)
                    elif sequence:
                        life.board.not_taken(endpoint, sequence)
                        stopped.add(endpoint)
                case Refuse(endpoint, parts):
                    self._transmit(life, endpoint, parts)
                case OpenWire(endpoint):
                    assert endpoint not in life.wires, "opened twice"
                    life.wires.add(endpoint)
                case CloseWire(endpoint):
                    life.wires.remove(endpoint)
                case Deliver(link, _, parts):
                    self._delivered(life, link, parts)
                case _:
                    life.story.append(self._note(life, effect))
                    self.log(f"{life.name}: {life.story[-1]}")

    def _note(self, life: Life, effect: Effect) -> str:
        """Take note of news; returns them as a line of the life's story."""
        match effect:
            case PeerUp(link, greeting):
                assert greeting.node not in life.up, "up twice"
                life.up[greeting.node] = link
                return f"up {greeting.node}"
            case PeerDown(link, reason, detail, unacknowledged):
                assert link.peer is not None, "who was up has a name"
                assert life.up.pop(link.peer.node) is link, "down without up"
                assert reason != "idle" or not unacknowledged, "an idle session has nothing unacknowledged"
                life.returned[link.token] = len(unacknowledged)
                back = f", {len(unacknowledged)} bodies come back" if unacknowledged else ""
                return f"down {link.peer.node} {reason}: {detail}{back}"
            case PeerBroken(_, detail):
                return f"broken: {detail}"
            case PeerBack(_):
                return "back"
            case Room(_):
                return "room"
            case DialRefused(endpoint, code, text):
                return f"refused {endpoint} {code}: {text}"
            case Faulty(_, problem):
                return f"faulty: {problem}"
            case _:
                raise AssertionError(f"what is {effect}?")

    def _transmit(self, life: Life, endpoint: str, parts: tuple[Buffer, ...]) -> None:
        self.frames += 1
        weather, key = self.weather, (life.endpoint, endpoint)
        lost = key in self.cut or self.random.random() < weather.loss
        self.log(f"{life.name} -> {endpoint.partition('://')[2]}: {self._words(parts)}{', lost' if lost else ''}")
        if lost:
            return
        source = Source(life.endpoint.encode(), life.identity)
        for _ in range(2 if self.random.random() < weather.duplication else 1):
            at = self.now + weather.delay_s + weather.jitter_s * self.random.random()
            if self.random.random() < weather.reorder:
                at += 5 * weather.delay_s + weather.jitter_s
            else:
                at = self._not_before[key] = max(at, self._not_before.get(key, 0.0))
            self._schedule(at, _Arrival(self, key, parts, source))

    def arrive(self, key: tuple[str, str], parts: tuple[Buffer, ...], source: Source) -> None:
        """A frame reaches an endpoint; if nobody listens there it is lost."""
        life = self.listening.get(key[1])
        if life is None or key in self.cut:
            return
        if life.paused_until > self.now:
            self._schedule(life.paused_until, _Arrival(self, key, parts, source))
            return
        self.carry_out(life, life.board.receive(parts, source, self.now))

    def _words(self, parts: tuple[Buffer, ...]) -> str:
        """A frame in words; tokens are named t1, t2, ... as they appear."""
        frame = framing.parse(parts, 10_000_000)
        kind, to = framing.KIND_NAMES[frame.kind], self._token_name(frame.session)
        numbers = f"sequence {frame.sequence}, acknowledged {frame.acknowledged}"
        if frame.kind == framing.REFUSE:
            return f"{kind} to {to}: {framing.read_refusal(frame).code}"
        if frame.kind not in (framing.HELLO, framing.WELCOME):
            return f"{kind} to {to}, {numbers}"
        greeting = framing.read_greeting(frame)
        what = [f"{kind} to {to} from {self._token_name(greeting.token)}"]
        what += [f"attempt {greeting.attempt}"] if greeting.attempt else []
        what += [f"echo {greeting.echo}"] if greeting.echo else []
        what += ["tentative"] if greeting.tentative else []
        return ", ".join([*what, numbers] if frame.sequence or frame.acknowledged else what)

    def _token_name(self, token: int) -> str:
        return self._tokens.setdefault(token, f"t{len(self._tokens)}") if token else "anybody"

    def _schedule(self, at: float, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (at, self._count, event))

    def _wake_at(self, life: Life) -> float:
        return max(life.board.wake_at, life.paused_until) if life.alive else inf

    def _wake(self, life: Life) -> None:
        self.carry_out(life, life.board.tick(self.now))

    # -- checks --------------------------------------------------------------------------------------------------------

    def _delivered(self, life: Life, link: Link, parts: tuple[Buffer, ...]) -> None:
        token, number = (int(word) for word in bytes(parts[0]).split()[:2])
        first = token, 0
        sender, before = life.delivered.get(link.token, first)
        assert link in life.up.values(), "delivered outside of a session"
        assert (sender, before + 1) == (token, number), "not the next body of this session"
        life.delivered[link.token] = token, number

    def _check_window(self, link: Link) -> None:
        assert 0 <= link.stream.unacknowledged_bytes <= self.settings.window_bytes
        assert link.stream.sent_bytes <= link.stream.credit

    def check_nothing_lost(self) -> None:
        """Every body was delivered, or given back, or is still kept for a peer that is up."""
        arrived = dict(pair for life in self.lives for pair in life.delivered.values())
        for life in self.lives:
            kept = {link.token: link.stream.last - link.stream.acknowledged for link in life.up.values()}
            for token, sent in life.sent.items():
                unsure = life.returned.get(token, kept.get(token, 0))
                assert sent - unsure <= arrived.get(token, 0) <= sent, f"{life.name} lost bodies of session {token}"

    def check_all_delivered(self) -> None:
        """Whatever was sent in a session that is up has arrived, and been acknowledged."""
        arrived = dict(pair for life in self.lives for pair in life.delivered.values())
        for life in self.nodes.values():
            for link in life.up.values():
                assert arrived.get(link.token, 0) == life.sent.get(link.token, 0), f"{life.name}: {link}"
                assert not link.stream.has_unacknowledged, f"{life.name}: {link}"


@dataclass(frozen=True)
class _Arrival:
    """A frame on its way."""

    world: World
    key: tuple[str, str]
    parts: tuple[Buffer, ...]
    source: Source

    def __call__(self) -> None:
        self.world.arrive(self.key, self.parts, self.source)
