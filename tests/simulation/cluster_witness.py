"""The witness of a cluster's torture: it stands outside of all nodes, and sees what a crash cannot take from it.

It knows nothing of how messages travel.  It keeps, by the ids of messages and the lives of nodes, what the laws promise
across nodes:

1. nothing of a node runs after its crash, nor while it stands still;
2. messages from one sender to one receiver arrive in order, whatever the network does (law 2), except those put aside;
3. no message is handled twice (law 2);
4. no message is lost without a dead letter, unless the node of its sender or of its receiver has crashed (laws 2, 11);
5. each watch is answered by exactly one ``Down``; it is ``node_lost`` when the node crashed, and only then;
6. every ask of a node that lives ends, with its own reply or an error (law 5);
7. what an event-sourced actor acknowledged is there after every crash.

A breach inside a handler must not look like that handler's failure, so breaches are collected, and raised by ``hold``.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tests.simulation.cluster_messages import Deed
from trouper import Actor, ActorRef, DeadLetter, Down, Node
from trouper.runtime.kernel.cell import Cell
from trouper.runtime.net.remote_cell import PlacedCell, RemoteCell
from trouper.testing import Simulation
from trouper.testing.node_loop import NodeLoop

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_STAGE: list["ClusterWitness"] = []


def on_stage() -> "ClusterWitness":
    """The witness of the run that is on."""
    return _STAGE[-1]


UNKNOWN = "outcome_unknown"
"""How its sender counts a message that a lost node had taken: it may have had another end there."""


class Who(NamedTuple):
    """An actor, in one life of a node."""

    node: str
    generation: int
    uid: int


class ClusterWitness:
    """Keeps the books of one run, and draws the numbers for all players from the simulation's seed."""

    def __init__(self, sim: Simulation, deeds: int) -> None:
        self.sim, self.deeds_left = sim, deeds
        self.breaches: list[str] = []
        self._deeds: dict[int, Deed] = {}
        self._routes: dict[int, tuple[Who, Who]] = {}
        self._numbers: Counter[tuple[Who, Who]] = Counter()
        self._arrived: Counter[tuple[Who, Who, Who]] = Counter()
        self._begun: set[int] = set()
        self._ended: dict[int, str] = {}
        self._aside: set[int] = set()
        self._unread: Counter[Who] = Counter()
        self._asks: dict[int, tuple[Who, asyncio.Future[int]]] = {}
        self._watches: dict[tuple[Who, Who], Cell] = {}
        self._owed: Counter[tuple[Who, Who]] = Counter()
        self._watchers: dict[Who, Cell] = {}
        self._lives: dict[tuple[str, int], Node] = {}
        self._posted: Counter[str] = Counter()
        self._posting: Counter[str] = Counter()
        self.losses: Counter[str] = Counter()
        _STAGE[:] = [self]

    def attach(self, node: Node) -> None:
        """A life of a node begins."""
        node_id = node.network.node_id
        self._lives[node_id.name, node_id.generation] = node
        node.reports.on_letter.append(self._dead_letters_of(node))

    def breach(self, text: str) -> None:
        """Keep a breach of a law."""
        self.breaches.append(f"{self.sim.now_s:g} s: {text}")

    def hold(self) -> None:
        """Raise when a law was broken."""
        assert not self.breaches, "\n".join(self.breaches[:10])

    # --- chance ------------------------------------------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        """Say yes in this share of the cases."""
        return self.sim.random.random() < share

    def seconds(self, most: float) -> float:
        """Draw a time."""
        return round(self.sim.random.random() * most, 3)

    def pick(self, values: Sequence[T]) -> T:
        """Draw one of these."""
        return self.sim.random.choice(values)

    # --- messages ----------------------------------------------------------------------------------------------------

    def deed(self, kind: type[Deed], sender: Actor, target: ActorRef, gift: ActorRef | None) -> Deed:
        """Make the next message from a sender to a target."""
        one, other = who_of(cell_of(sender.ref)), who_of(cell_of(target))
        self._numbers[one, other] += 1
        number = len(self._deeds) + 1
        deed = kind(number, str(one), str(other), self._numbers[one, other], gift)
        self._deeds[number], self._routes[number] = deed, (one, other)
        return deed

    def never_sent(self, deed: Deed) -> None:
        """Take a message back that the runtime refused to send."""
        if deed.id not in self._ended:
            self._ended[deed.id] = "never sent"

    def enter(self, actor: Actor, deed: Deed) -> None:
        """A handler begins."""
        me = cell_of(actor.ref)
        what = f"{shown(deed)} at {me.address}"
        self._runs(me, what)
        if deed.id in self._aside:
            self._aside.discard(deed.id)
            return
        if deed.id in self._begun:
            self.breach(f"{what} is handled again, and was {self._ended.get(deed.id, 'neither handled nor dead')}")
        self._begun.add(deed.id)
        way = (*self._routes[deed.id], who_of(me))
        if deed.number <= self._arrived[way]:
            self.breach(f"{what} is number {deed.number} from its sender and came after number {self._arrived[way]}")
        self._arrived[way] = max(deed.number, self._arrived[way])

    def _runs(self, cell: Cell, what: str) -> None:
        loop = cell.system.loop
        if isinstance(loop, NodeLoop) and (loop.dead or loop.paused):
            self.breach(f"{what} runs, and its node {'has crashed' if loop.dead else 'stands still'}")

    def leave(self, actor: Actor, deed: Deed, outcome: str) -> None:
        """A handler ends: ``handled``, or for any other reason a dead letter will come, or has come."""
        cell = cell_of(actor.ref)
        if outcome == "handled" and not (cell.gone and deed.id in self._ended):
            self._end(deed, "handled")

    def stashed(self, actor: Actor, deed: Deed) -> None:
        """A message was put aside, and so it will be handled again, or be a dead letter."""
        self._runs(cell_of(actor.ref), shown(deed))
        self._aside.add(deed.id)

    def _dead_letters_of(self, node: Node) -> "Callable[[DeadLetter], None]":
        def dead(letter: DeadLetter) -> None:
            if isinstance(letter.message, Deed) and letter.reason == UNKNOWN:
                self.losses[letter.reason] += 1
                self._ended.setdefault(letter.message.id, UNKNOWN)
            elif isinstance(letter.message, Deed):
                self.losses[letter.reason] += 1
                self._aside.discard(letter.message.id)
                self._end(letter.message, f"dead ({letter.reason}) at {node.name}")
            elif type(letter.message).__name__ == "UnreadableMessage":
                self.losses[f"unread, {letter.reason}"] += 1
                self._unread[who_of(cell_of(letter.target))] += 1

        return dead

    def _end(self, deed: Deed, outcome: str) -> None:
        before = self._ended.get(deed.id)
        if before is not None and before != UNKNOWN:
            self.breach(f"{shown(deed)} was {before}, and then {outcome}")
        self._ended[deed.id] = outcome

    # --- asks --------------------------------------------------------------------------------------------------------

    def asked(self, actor: Actor, deed: Deed, ask: asyncio.Future[int]) -> None:
        """Somebody asked."""
        self._asks[deed.id] = who_of(cell_of(actor.ref)), ask
        ask.add_done_callback(lambda done: self._replied(deed, done))

    def _replied(self, deed: Deed, ask: asyncio.Future[int]) -> None:
        if not ask.cancelled() and ask.exception() is None and ask.result() != deed.id:
            self.breach(f"{shown(deed)} got the reply to {ask.result()}")

    # --- watches -----------------------------------------------------------------------------------------------------

    def built(self, actor: Actor) -> None:
        """An instance is made."""
        self._runs(actor.__cell__, "the start of an instance")

    def watched(self, actor: Actor, target: ActorRef) -> None:
        """A watch begins; one of an actor that is known to have ended is answered at once, every time."""
        me, cell = cell_of(actor.ref), cell_of(target)
        pair = (who_of(me), who_of(cell))
        self._watchers[pair[0]] = me
        if cell.gone or (isinstance(cell, RemoteCell) and cell.find_peer() is None):
            self._owed[pair] += 1
        else:
            self._watches[pair] = cell

    def unwatched(self, actor: Actor, target: ActorRef) -> None:
        """A watch is taken back, with what is under way."""
        pair = (who_of(cell_of(actor.ref)), who_of(cell_of(target)))
        self._watches.pop(pair, None)
        self._owed.pop(pair, None)

    def down(self, actor: Actor, down: Down) -> None:
        """A ``Down`` is handled."""
        me, target = cell_of(actor.ref), who_of(cell_of(down.ref))
        what = f"{down!r} at {me.address}"
        self._runs(me, what)
        crashed, pair = self._crashed(target), (who_of(me), target)
        if self._watches.pop(pair, None) is None:
            # One that was paid at once: the actor had ended, or this node could not reach its node just then.
            self._owed[pair] -= 1
            if self._owed[pair] < 0:
                self.breach(f"{what} was not owed")
        elif crashed != (down.reason == "node_lost") and not self._is_gone(target):
            self.breach(f"{what} came though its node has {'crashed' if crashed else 'not crashed'}")
        elif not crashed and not self._is_gone(target):
            self.breach(f"{what} came though the actor lives")

    # --- the journal -------------------------------------------------------------------------------------------------

    def posting(self, node: str) -> None:
        """A ledger is about to keep something."""
        self._posting[node] += 1

    def posted(self, node: str, count: int) -> None:
        """A ledger has kept something, and says so."""
        self._posted[node] = max(self._posted[node], count)

    def recovered(self, node: str, count: int) -> None:
        """A ledger has recovered: nothing that was acknowledged may be missing, and nothing be there twice."""
        if not self._posted[node] <= count <= self._posting[node]:
            said = f"{self._posted[node]} of {self._posting[node]} were acknowledged"
            self.breach(f"the ledger of {node} has {count} numbers after its start, and {said}")
        self._posted[node] = count

    # --- the end -----------------------------------------------------------------------------------------------------

    def at_rest(self) -> None:
        """Hold what must be true when all faults and deadlines are over."""
        for number, (asker, ask) in self._asks.items():
            if not ask.done() and not self._crashed(asker):
                self.breach(f"the ask {shown(self._deeds[number])} never ended")
        for (watcher, target), cell in self._watches.items():
            if self._heeds(watcher) and (self._crashed(target) or self._is_gone(target) or cell.gone):
                self.breach(f"{watcher} watched {target}, which ended, and heard nothing")
        for (watcher, target), count in self._owed.items():
            if count > 0 and self._heeds(watcher):
                self.breach(f"{watcher} is owed {count} Down of {target}, and heard nothing")
        self._missing()
        for name in self.sim.cluster.machines:
            self._bounded(self.sim[name])
        self.hold()

    def _missing(self) -> None:
        """Say which messages are lost without a trace."""
        cells = {who_of(cell): cell for cell in self.sim.trace.cells}
        unread = Counter(self._unread)
        placed_excuses = sum(unread.values())
        for number, (sender, target) in self._routes.items():
            if number in self._ended or number in self._aside or self._crashed(sender) or self._crashed(target):
                continue
            if isinstance(cells.get(target), PlacedCell) and (placed_excuses > 0 or self._any_crashed()):
                placed_excuses -= 1
            elif unread[target] > 0:
                unread[target] -= 1
            else:
                self.breach(f"{shown(self._deeds[number])} was neither handled nor a dead letter")

    def _bounded(self, node: Node) -> None:
        """What a node keeps of others does not grow with what has happened."""
        network, others = node.network, len(self.sim.cluster.machines) - 1
        if len(network.peers) != others:
            self.breach(f"{node.name} is linked to {sorted(network.peers)} only, when all is well again")
        links = getattr(getattr(network, "_manager"), "_sessions")  # noqa: B009  the witness looks behind it on purpose
        if len(links) != others:
            self.breach(f"{node.name} keeps {len(links)} links to {others} nodes: {list(links.values())}")
        living = sum(1 for _ in node.system.cells())
        if len(network.exports) > living:
            self.breach(f"{node.name} exports {len(network.exports)} actors, and has {living}")

    def _crashed(self, who: Who) -> bool:
        node = self._lives.get((who.node, who.generation))
        loop = None if node is None else node.system.loop
        return isinstance(loop, NodeLoop) and loop.dead

    def _any_crashed(self) -> bool:
        return any(isinstance(node.system.loop, NodeLoop) and node.system.loop.dead for node in self._lives.values())

    def _is_gone(self, who: Who) -> bool:
        cells: Iterable[Cell] = self.sim.trace.cells
        return any(cell.gone for cell in cells if cell.uid == who.uid and who_of(cell) == who)

    def _heeds(self, watcher: Who) -> bool:
        cell = self._watchers[watcher]
        return not self._crashed(watcher) and cell.phase == "live" and not cell.suspended and cell.task is None


def who_of(cell: Cell) -> Who:
    """Return which actor a cell is of, or stands for."""
    if isinstance(cell, RemoteCell):
        return Who(cell.node_id.name, cell.node_id.generation, cell.uid)
    host = cell.system.host
    assert isinstance(host, Node)
    return Who(host.name, host.network.node_id.generation, cell.uid)


def cell_of(ref: ActorRef) -> Cell:
    """The runtime's side of an actor."""
    return ref._cell  # noqa: SLF001  the witness looks behind the ref on purpose


def shown(deed: Deed) -> str:
    """Write a message shortly."""
    return f"{type(deed).__name__} {deed.id} from {deed.sender} to {deed.target}"
