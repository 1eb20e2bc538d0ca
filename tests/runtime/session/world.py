"""A world of session managers over an adversarial channel, on a clock that only the test moves.

It carries out effects as a node would, and checks what links promise while it does: bodies of a session come out as a
prefix of what went in, sessions begin and end once, what was not delivered is handed back, windows hold.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from random import Random

from trouper.runtime.kernel.address import random_generation
from trouper.runtime.session import frames
from trouper.runtime.session.effects import (
    CapacityAvailable,
    CloseWire,
    Deliver,
    DialRefused,
    Effect,
    FrameRejected,
    OpenWire,
    PeerReachable,
    PeerUnreachable,
    Refuse,
    SessionDown,
    SessionUp,
    Transmit,
)
from trouper.runtime.session.frames import NORMAL
from trouper.runtime.session.handshake import LocalNode
from trouper.runtime.session.session import Session
from trouper.runtime.session.sessions import KnownNode, SessionManager
from trouper.runtime.session.settings import SessionSettings
from trouper.runtime.session.transport import Buffer, Source

FRAMES_AT_ONCE_MAX = 400
"""More frames than this without time passing are a loop."""


@dataclass
class ChannelFaults:
    """What the channel does to frames; chances in [0, 1], seconds."""

    delay_s: float = 0.001
    jitter_s: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    reorder: float = 0.0


@dataclass
class NodeRun:
    """One generation of a node: its session manager, and what it saw."""

    name: str
    endpoint: str
    manager: SessionManager
    identity: str | None = None
    up: dict[str, Session] = field(default_factory=dict[str, Session])
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

    def __init__(self, seed: int = 0, settings: SessionSettings | None = None) -> None:
        self.random = Random(seed)
        self.settings = settings or SessionSettings()
        self.now = 100.0
        self.channel_faults = ChannelFaults()
        self.nodes: dict[str, NodeRun] = {}
        self.listening: dict[str, NodeRun] = {}
        self.node_runs: list[NodeRun] = []
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
        self,
        name: str,
        endpoint: str | None = None,
        *,
        identity: str | None = None,
        generation: int | None = None,
        known_node: Callable[[str], KnownNode | None] = lambda _: None,
    ) -> NodeRun:
        """A generation of a node begins, at an endpoint of its name or at another."""
        where = endpoint or f"test://{name}"
        local = LocalNode(name, random_generation(self.random.getrandbits) if generation is None else generation, where)
        manager = SessionManager(
            local,
            self.settings,
            token=lambda: self.random.getrandbits(64),
            chance=self.random.random,
            known_node=known_node,
        )
        node_run = NodeRun(name, where, manager, identity)
        self.nodes[name] = self.listening[where] = node_run
        self.node_runs.append(node_run)
        return node_run

    def crash(self, name: str) -> None:
        """The node ends without a word; its sockets are gone, so a node with a connection to it may notice."""
        node_run = self.nodes.pop(name)
        node_run.alive = False
        if self.listening.get(node_run.endpoint) is node_run:
            del self.listening[node_run.endpoint]

    def connect(self, name: str, endpoint: str) -> None:
        node_run = self.nodes[name]
        self.carry_out(node_run, node_run.manager.connect(endpoint, self.now))

    def send(self, name: str, to: str, count: int = 1, body_bytes: int = 20, stream: int = NORMAL) -> int:
        """Send numbered bodies while there is room; returns how many were sent."""
        node_run = self.nodes[name]
        for done in range(count):
            session = node_run.up.get(to)
            if session is None:
                return done
            number = node_run.sent.get(session.token, 0) + 1
            body = f"{session.token} {number} ".encode().ljust(body_bytes, b".")
            effects = None if session.state == "closing" else node_run.manager.send(session, (body,), stream, self.now)
            if effects is None:
                return done
            node_run.sent[session.token] = number
            self.carry_out(node_run, effects)
            self._check_window(session)
        return count

    def reset(self, name: str, to: str) -> None:
        """The connection from one node to another breaks: what is on its way is lost, and the sender is told."""
        key = (self.nodes[name].endpoint, self.nodes[to].endpoint)
        self._not_before.pop(key, None)
        self._events = [event for event in self._events if getattr(event[2], "key", None) != key]
        heapq.heapify(self._events)
        node_run = self.nodes[name]
        self.carry_out(node_run, node_run.manager.wire_lost(key[1], "reset", self.now))

    def pause(self, name: str, seconds: float) -> None:
        """The node does nothing for a while; what comes in waits, as in a socket."""
        self.nodes[name].paused_until = self.now + seconds

    def fill(self, name: str, to: str) -> None:
        self.full.add((self.nodes[name].endpoint, self.nodes[to].endpoint))

    def empty(self, name: str, to: str) -> None:
        """The wire has room again."""
        node_run, endpoint = self.nodes[name], self.nodes[to].endpoint
        self.full.discard((node_run.endpoint, endpoint))
        self.carry_out(node_run, node_run.manager.wire_ready(endpoint, self.now))

    def run(self, seconds: float) -> None:
        """Let time pass, with everything that happens in it."""
        end, at_once = self.now + seconds, 0
        while True:
            at = min(
                self._events[0][0] if self._events else inf,
                *(self._wake_at(node_run) for node_run in self.node_runs),
                inf,
            )
            if at > end:
                break
            at_once = at_once + 1 if at <= self.now else 0
            assert at_once < FRAMES_AT_ONCE_MAX, "a loop without end, without time passing"
            self.now = max(self.now, at)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            for node_run in self.node_runs:
                if self._wake_at(node_run) <= self.now:
                    self._wake(node_run)
        self.now = end

    # -- effects -------------------------------------------------------------------------------------------------------

    def carry_out(self, node_run: NodeRun, effects: list[Effect]) -> None:
        """Do as a node does."""
        stopped: set[str] = set()
        for effect in effects:
            match effect:
                case Transmit(endpoint, parts, sequence):
                    assert endpoint in node_run.wires, f"{node_run.name} has no wire to {endpoint}"
                    if sequence and endpoint in stopped:
                        continue
                    if (node_run.endpoint, endpoint) not in self.full:
                        self._transmit(node_run, endpoint, parts)
                    elif sequence:
                        node_run.manager.not_taken(endpoint, sequence)
                        stopped.add(endpoint)
                case Refuse(endpoint, parts):
                    self._transmit(node_run, endpoint, parts)
                case OpenWire(endpoint):
                    assert endpoint not in node_run.wires, "opened twice"
                    node_run.wires.add(endpoint)
                case CloseWire(endpoint):
                    node_run.wires.remove(endpoint)
                case Deliver(session, _, parts):
                    self._delivered(node_run, session, parts)
                case _:
                    node_run.story.append(self._note(node_run, effect))
                    self.log(f"{node_run.name}: {node_run.story[-1]}")

    def _note(self, node_run: NodeRun, effect: Effect) -> str:
        """Take note of news; returns them as a line of the life's story."""
        match effect:
            case SessionUp(session, greeting):
                assert greeting.node not in node_run.up, "up twice"
                node_run.up[greeting.node] = session
                return f"up {greeting.node}"
            case SessionDown(session, reason, detail, unacknowledged):
                assert session.peer is not None, "who was up has a name"
                assert node_run.up.pop(session.peer.node) is session, "down without up"
                assert reason != "idle" or not unacknowledged, "an idle session has nothing unacknowledged"
                node_run.returned[session.token] = len(unacknowledged)
                back = f", {len(unacknowledged)} bodies come back" if unacknowledged else ""
                return f"down {session.peer.node} {reason}: {detail}{back}"
            case PeerUnreachable(_, detail):
                return f"broken: {detail}"
            case PeerReachable(_):
                return "back"
            case CapacityAvailable(_):
                return "room"
            case DialRefused(endpoint, code, text):
                return f"refused {endpoint} {code}: {text}"
            case FrameRejected(_, problem):
                return f"faulty: {problem}"
            case _:
                raise AssertionError(f"what is {effect}?")

    def _transmit(self, node_run: NodeRun, endpoint: str, parts: tuple[Buffer, ...]) -> None:
        self.frames += 1
        channel_faults, key = self.channel_faults, (node_run.endpoint, endpoint)
        lost = key in self.cut or self.random.random() < channel_faults.loss
        self.log(f"{node_run.name} -> {endpoint.partition('://')[2]}: {self._words(parts)}{', lost' if lost else ''}")
        if lost:
            return
        source = Source(node_run.endpoint, node_run.identity)
        for _ in range(2 if self.random.random() < channel_faults.duplication else 1):
            at = self.now + channel_faults.delay_s + channel_faults.jitter_s * self.random.random()
            if self.random.random() < channel_faults.reorder:
                at += 5 * channel_faults.delay_s + channel_faults.jitter_s
            else:
                at = self._not_before[key] = max(at, self._not_before.get(key, 0.0))
            self._schedule(at, _Arrival(self, key, parts, source))

    def arrive(self, key: tuple[str, str], parts: tuple[Buffer, ...], source: Source) -> None:
        """A frame reaches an endpoint; if nobody listens there it is lost."""
        node_run = self.listening.get(key[1])
        if node_run is None or key in self.cut:
            return
        if node_run.paused_until > self.now:
            self._schedule(node_run.paused_until, _Arrival(self, key, parts, source))
            return
        self.carry_out(node_run, node_run.manager.receive(parts, source, self.now))

    def _words(self, parts: tuple[Buffer, ...]) -> str:
        """A frame in words; tokens are named t1, t2, ... as they appear."""
        frame = frames.parse(parts, 10_000_000)
        kind, to = frames.KIND_NAMES[frame.kind], self._token_name(frame.session)
        numbers = f"sequence {frame.sequence}, acknowledged {frame.acknowledged}"
        if frame.kind == frames.REFUSE:
            return f"{kind} to {to}: {frames.read_refusal(frame).code}"
        if frame.kind not in (frames.HELLO, frames.WELCOME):
            return f"{kind} to {to}, {numbers}"
        greeting = frames.read_greeting(frame)
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

    def _wake_at(self, node_run: NodeRun) -> float:
        return max(node_run.manager.wake_at, node_run.paused_until) if node_run.alive else inf

    def _wake(self, node_run: NodeRun) -> None:
        self.carry_out(node_run, node_run.manager.tick(self.now))

    # -- checks --------------------------------------------------------------------------------------------------------

    def _delivered(self, node_run: NodeRun, session: Session, parts: tuple[Buffer, ...]) -> None:
        token, number = (int(word) for word in bytes(parts[0]).split()[:2])
        first = token, 0
        sender, before = node_run.delivered.get(session.token, first)
        assert session in node_run.up.values(), "delivered outside of a session"
        assert (sender, before + 1) == (token, number), "not the next body of this session"
        node_run.delivered[session.token] = token, number

    def _check_window(self, session: Session) -> None:
        assert 0 <= session.sequencer.unacknowledged_bytes <= self.settings.window_bytes
        assert session.sequencer.sent_bytes <= session.sequencer.credit

    def check_nothing_lost(self) -> None:
        """Every body was delivered, or given back, or is still kept for a peer that is up."""
        arrived = dict(pair for node_run in self.node_runs for pair in node_run.delivered.values())
        for node_run in self.node_runs:
            kept = {
                session.token: session.sequencer.last - session.sequencer.acknowledged
                for session in node_run.up.values()
            }
            for token, sent in node_run.sent.items():
                unsure = node_run.returned.get(token, kept.get(token, 0))
                assert sent - unsure <= arrived.get(token, 0) <= sent, f"{node_run.name} lost bodies of session {token}"

    def check_all_delivered(self) -> None:
        """Whatever was sent in a session that is up has arrived, and been acknowledged."""
        arrived = dict(pair for node_run in self.node_runs for pair in node_run.delivered.values())
        for node_run in self.nodes.values():
            for session in node_run.up.values():
                assert arrived.get(session.token, 0) == node_run.sent.get(session.token, 0), (
                    f"{node_run.name}: {session}"
                )
                assert not session.sequencer.has_unacknowledged, f"{node_run.name}: {session}"


@dataclass(frozen=True)
class _Arrival:
    """A frame on its way."""

    world: World
    key: tuple[str, str]
    parts: tuple[Buffer, ...]
    source: Source

    def __call__(self) -> None:
        self.world.arrive(self.key, self.parts, self.source)
