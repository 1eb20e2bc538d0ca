"""A model of several nodes whose actors wait for one another, to hold `DeadlockSearch` against.

Its actors have one handler at a time, ask one another at random, give up at random, and answer.  Messages take random
times; those of one pair of nodes stay in order.  Its own view of everything at one moment is the oracle: see
`World.carry_out` for what it holds each refusal to, and `World.rings_left` for what must not last.
"""

import random
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from trouper.actors.deadlock.deadlock import (
    DeadlockCheck,
    DeadlockProbe,
    DeadlockSearch,
    Effect,
    RefuseAsk,
    RemoteEdge,
    SendToNode,
)

STEP_S = 0.01
LOOK_EVERY = 10
DELAY_STEPS_MAX = 4
NAMES = ("n1", "n2", "n3", "n4")


@dataclass(eq=False)
class Turn:
    """One handler at work."""

    actor: "Actor"
    item: "Ask | None"
    waits: dict["Ask", None] = field(default_factory=dict["Ask", None])
    ended: bool = False


@dataclass(eq=False)
class Ask:
    """An ask.  here: it waits at its asker.  there: it has arrived at its target, and has not been answered."""

    asker: Turn
    target: "Actor"
    made_at: float
    correlation: int
    here: bool = True
    there: bool = False

    @property
    def is_local(self) -> bool:
        return self.asker.actor.node is self.target.node


@dataclass
class Ending:
    """A message that an ask is over: replied to, or given up."""

    ask: Ask
    replied: bool


@dataclass(eq=False)
class Actor:
    """An actor: its handler at work, and the asks that wait for it."""

    name: str
    node: "ModelNode"
    turn: Turn | None = None
    queue: deque[Ask] = field(default_factory=deque[Ask])


class ModelNode:
    """A node, as its own ``DeadlockSearch`` see it."""

    def __init__(self, name: str, world: "World") -> None:
        self.name, self.world = name, world
        self.actors: list[Actor] = []
        self.rings = DeadlockSearch(name, 1, self)
        self.asks: dict[RemoteEdge, Ask] = {}
        self.entered: dict[RemoteEdge, Ask] = {}

    def unanswered(self, node: str, correlation: int, /) -> Hashable | None:
        return self.entered.get((node, correlation))

    def remote_edge(self, ask: Hashable, /) -> RemoteEdge | None:
        assert isinstance(ask, Ask)
        exit_ = ask.target.node.name, ask.correlation
        return exit_ if self.asks.get(exit_) is ask else None

    def blocker(self, ask: Hashable, /) -> Hashable | None:
        assert isinstance(ask, Ask)
        return ask.target.turn if ask.target.node is self and ask.there else None

    def waits_of(self, handler: Hashable, /) -> Sequence[Hashable]:
        assert isinstance(handler, Turn)
        return list(handler.waits)

    def address(self, handler: Hashable, /) -> str:
        assert isinstance(handler, Turn)
        return handler.actor.name

    def waited_s(self, ask: Hashable, /) -> float:
        assert isinstance(ask, Ask)
        return self.world.now - ask.made_at


class World:
    """All nodes, the messages between them, and the oracle."""

    def __init__(self, chance: random.Random, nodes: int, actors: int, *, delay_steps: int = DELAY_STEPS_MAX) -> None:
        self.chance, self.delay_steps = chance, delay_steps
        self.now, self.steps = 0.0, 0
        self.nodes = {name: ModelNode(name, self) for name in NAMES[:nodes]}
        self.actors: list[Actor] = []
        for index in range(actors):
            node = self.nodes[NAMES[index % nodes]]
            self.actors.append(Actor(f"actor-{index}", node))
            node.actors.append(self.actors[-1])
        self.phase = {name: chance.randrange(LOOK_EVERY) for name in self.nodes}
        self.ways: dict[tuple[str, str], deque[tuple[int, object]]] = {}
        self.correlation = 0
        self.was_ring: dict[tuple[str, int], bool] = {}
        self.refused: list[tuple[str, ...]] = []
        self.sent = 0

    # --- what the actors do ------------------------------------------------------------------------------------------

    def begin(self, actor: Actor) -> None:
        """An idle actor begins a handler: of its next ask, or of a tell."""
        item = actor.queue.popleft() if actor.queue else None
        actor.turn = Turn(actor, item)

    def ask(self, turn: Turn, target: Actor) -> Ask | None:
        """A handler asks; within a node an ask that would close a cycle is refused at once, as the kernel does."""
        if target.node is turn.actor.node and self._closes(turn, target):
            return None
        self.correlation += 1
        ask = Ask(turn, target, self.now, self.correlation)
        turn.waits[ask] = None
        if ask.is_local:
            self.arrive(ask)
        else:
            turn.actor.node.asks[target.node.name, ask.correlation] = ask
            self.send(turn.actor.node.name, target.node.name, ask)
        return ask

    @staticmethod
    def _closes(turn: Turn, target: Actor) -> bool:
        front = [target.turn] if target.turn else []
        seen: set[Turn] = set()
        while front:
            at = front.pop()
            if at is turn:
                return True
            seen.add(at)
            for ask in at.waits:
                further = ask.target.turn
                if ask.is_local and further is not None and further not in seen:
                    front.append(further)
        return False

    def arrive(self, ask: Ask) -> None:
        """An ask has come to its target."""
        ask.there = True
        ask.target.queue.append(ask)
        if not ask.is_local:
            ask.target.node.entered[ask.asker.actor.node.name, ask.correlation] = ask

    def leave(self, ask: Ask) -> None:
        """Nothing at the target knows of an ask any more."""
        ask.there = False
        ask.target.node.entered.pop((ask.asker.actor.node.name, ask.correlation), None)
        if ask in ask.target.queue:
            ask.target.queue.remove(ask)
        turn = ask.target.turn
        if turn is not None and turn.item is ask:
            self.end(turn)

    def end(self, turn: Turn) -> None:
        """A handler ends, and answers; what it still waits for it gives up."""
        if turn.ended:
            return
        turn.ended, turn.actor.turn = True, None
        for ask in list(turn.waits):
            self.give_up(ask)
        item = turn.item
        if item is not None and item.there:
            self.leave(item)
            if item.is_local:
                self.replied(item)
            else:
                self.send(item.target.node.name, item.asker.actor.node.name, Ending(item, replied=True))

    def replied(self, ask: Ask) -> None:
        """An ask is over at its asker."""
        ask.here = False
        ask.asker.waits.pop(ask, None)
        ask.asker.actor.node.asks.pop((ask.target.node.name, ask.correlation), None)

    def give_up(self, ask: Ask) -> None:
        """A deadline, or a refusal."""
        if not ask.here:
            return
        self.replied(ask)
        if ask.is_local:
            self.leave(ask)
        else:
            self.send(ask.asker.actor.node.name, ask.target.node.name, Ending(ask, replied=False))

    def act(self) -> None:
        """Something happens, by chance."""
        actor = self.chance.choice(self.actors)
        turn, dice = actor.turn, self.chance.random()
        if turn is None:
            if actor.queue or dice < 0.5:
                self.begin(actor)
        elif turn.waits:
            if dice < 0.03:
                self.give_up(self.chance.choice(list(turn.waits)))
            elif dice < 0.1:
                self.ask(turn, self.chance.choice(self.actors))
        elif dice < 0.5:
            self.ask(turn, self.chance.choice(self.actors))
        elif dice < 0.7:
            self.end(turn)

    def wind_down(self) -> None:
        """No handler asks or gives up any more; each that waits for nothing ends."""
        for actor in self.actors:
            if actor.turn is None and actor.queue:
                self.begin(actor)
            elif actor.turn is not None and not actor.turn.waits:
                self.end(actor.turn)

    # --- messages and time -------------------------------------------------------------------------------------------

    def send(self, origin: str, to: str, what: object) -> None:
        """Send something; it takes its time, and overtakes nothing."""
        way = self.ways.setdefault((origin, to), deque())
        at = self.steps + self.chance.randint(0, self.delay_steps)
        way.append((max(at, way[-1][0] if way else 0), what))

    def step(self) -> None:
        """Some time goes by: what is due arrives, and each node looks now and then."""
        self.steps += 1
        self.now = self.steps * STEP_S
        ways = list(self.ways.items())
        self.chance.shuffle(ways)
        for (origin, to), way in ways:
            while way and way[0][0] <= self.steps:
                self.take(origin, self.nodes[to], way.popleft()[1])
        for name, node in self.nodes.items():
            if self.steps % LOOK_EVERY == self.phase[name]:
                self.carry_out(node, node.rings.scan(list(node.entered.values()), self.now))

    def take(self, origin: str, node: ModelNode, what: object) -> None:
        """A message arrives at a node."""
        if isinstance(what, Ask):
            self.arrive(what)
        elif isinstance(what, DeadlockProbe):
            self.carry_out(node, node.rings.on_probe(what, origin, self.now))
        elif isinstance(what, DeadlockCheck):
            self.carry_out(node, node.rings.on_check(what, origin, self.now), what.number)
        else:
            assert isinstance(what, Ending)
            if what.replied and what.ask.here:
                self.replied(what.ask)
            elif not what.replied and what.ask.there:
                self.leave(what.ask)

    def carry_out(self, node: ModelNode, wanted: list[Effect], number: int = 0) -> None:
        """Do what the ``DeadlockSearch`` of a node want, and hold them to it.  number: of the check that came back, if
        any.
        """
        for effect in wanted:
            if isinstance(effect, SendToNode):
                self.sent += 1
                message = effect.message
                name = node.name, message.number
                if isinstance(message, DeadlockCheck) and message.origin == node.name and name not in self.was_ring:
                    self.was_ring[name] = self.in_ring(self.start_of(node, message))  # the check begins
                self.send(node.name, effect.node, message)
            else:
                assert self.was_ring[node.name, number], f"{effect.cycle} was no ring when its check began"
                self.refuse(effect)

    @staticmethod
    def start_of(node: ModelNode, check: DeadlockCheck) -> Ask:
        """The ask that a check is about; the model looks into the machine for it."""
        ask = node.rings._starts[check.number].ask  # noqa: SLF001  the oracle must know what is meant
        assert isinstance(ask, Ask)
        return ask

    def refuse(self, effect: RefuseAsk) -> None:
        """An ask is refused: it waits still."""
        ask = effect.ask
        assert isinstance(ask, Ask)
        assert ask.here
        assert ask in ask.asker.waits
        assert effect.cycle[0] == effect.cycle[-1] == ask.asker.actor.name
        self.refused.append(effect.cycle)
        self.give_up(ask)

    # --- the oracle --------------------------------------------------------------------------------------------------

    @staticmethod
    def after(turn: Turn) -> Iterator[Turn]:
        """The handlers that a handler waits for at this moment."""
        for ask in turn.waits:
            blocker = ask.target.turn if ask.there and ask.here else None
            if blocker is not None:
                yield blocker

    def in_ring(self, ask: Ask) -> bool:
        """Whether an ask is in a cycle at this moment."""
        blocker = ask.target.turn if ask.there and ask.here else None
        front, seen = [blocker] if blocker else [], set[Turn]()
        while front:
            turn = front.pop()
            if turn is ask.asker:
                return True
            if turn not in seen:
                seen.add(turn)
                front.extend(self.after(turn))
        return False

    def rings_left(self) -> list[str]:
        """The asks that are in a cycle at this moment."""
        turns = [actor.turn for actor in self.actors if actor.turn]
        waits = [ask for turn in turns for ask in turn.waits]
        return [f"{ask.asker.actor.name} -> {ask.target.name}" for ask in waits if self.in_ring(ask)]


def ring(world: World, *order: int) -> list[Ask]:
    """Actors that ask one another in this order, one after the other; the last asks the first."""
    actors = [world.actors[index] for index in order]
    for actor in actors:
        if actor.turn is None:
            world.begin(actor)
    made: list[Ask] = []
    for actor, target in zip(actors, [*actors[1:], actors[0]], strict=True):
        turn = actor.turn
        assert turn is not None
        ask = world.ask(turn, target)
        assert ask is not None
        made.append(ask)
        world.step()
    return made


def run(world: World, seconds: float) -> None:
    """Let time go by, without anybody doing anything else."""
    for _ in range(round(seconds / STEP_S)):
        world.step()
