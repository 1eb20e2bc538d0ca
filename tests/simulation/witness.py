"""The witness of a torture run: it hears of everything the players do and see, and says which law was broken.

It knows nothing of how the runtime works.  It keeps, by the ids of messages, actors and watches, what the laws promise:

1. one handler at a time, and none of a dead instance (laws 1 and 8);
2. messages from one sender to one receiver arrive in order, except that those for reentrant handlers overtake, and
   those that were put aside come back in order (laws 2 and 8);
3. every message ends exactly once, as handled or as a dead letter, and is never tried again (laws 8 and 11);
4. every watch is answered by exactly one ``Down`` (law 3 of the life cycle);
5. a supervisor restarts no more often than its intensity allows, and fails when it would have to (law 9);
6. every ask ends, with its own reply, an error or a time-out (law 5);
7. a timer's message comes to the instance that set it, and not after it was cancelled (law 8).

A breach inside a handler must not look like that handler's failure, so breaches are collected, and raised by ``hold``.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import TypeVar

from tests.simulation.messages import Deed
from trouper import ActorRef, DeadLetter, Down, RestartsExceeded
from trouper.runtime.kernel.bare_actor import BareActor
from trouper.runtime.kernel.cell import Cell
from trouper.testing import Simulation

T = TypeVar("T")


class Witness:
    """Keeps the books of one run, and draws the numbers for all players from the simulation's seed."""

    def __init__(self, sim: Simulation, deeds: int) -> None:
        self.sim = sim
        self.deeds_left = deeds
        self.refs: list[ActorRef] = []
        self.breaches: list[str] = []
        self._ids = self._numbered = 0
        self._sent: dict[int, str] = {}
        self._begun: set[int] = set()
        self._ended: dict[int, str] = {}
        self._numbers: defaultdict[tuple[int, int], int] = defaultdict(int)
        self._arrived: defaultdict[tuple[int, int], int] = defaultdict(int)
        self._busy: dict[int, str] = {}
        self._stashes: defaultdict[int, list[Deed]] = defaultdict(list)
        self._returning: defaultdict[int, deque[Deed]] = defaultdict(deque)
        self._watches: dict[tuple[int, int], Cell] = {}
        self._owed: defaultdict[tuple[int, int], int] = defaultdict(int)
        self._watchers: dict[int, Cell] = {}
        self._asks: dict[int, asyncio.Future[int]] = {}
        self._windows: defaultdict[int, list[float]] = defaultdict(list)
        self._must_fail: Cell | None = None
        sim.node.reports.on_letter.append(self._dead)
        sim.node.reports.on_crash.append(self._crashed)

    def breach(self, text: str) -> None:
        """Keep a breach of a law."""
        self.breaches.append(f"{self.sim.now_s:g} s: {text}")

    def hold(self) -> None:
        """Raise when a law was broken."""
        missing = self.sim.node.accounting().missing
        if missing:
            self.breach(f"{missing} messages are unaccounted for: {self.sim.node.accounting()}")
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

    def next_number(self) -> int:
        """Return a number that was not given out before."""
        self._numbered += 1
        return self._numbered

    def peer(self) -> ActorRef:
        """Draw an actor, mostly one of a few that live, so that there is contention; now and then a dead one."""
        if self.chance(0.1):
            return self.pick(self.refs)
        living = [ref for ref in self.refs[-30:] if not cell_of(ref).gone]
        return self.pick(living[-6:] or self.refs)

    # --- messages ----------------------------------------------------------------------------------------------------

    def deed(self, kind: type[Deed], sender: int, target: ActorRef, *, asked: bool, reply: int = 0) -> Deed:
        """Make the next message from a sender (0: from outside, without order) to a target; 0 replies with its id."""
        self._ids += 1
        receiver = uid(target)
        self._numbers[sender, receiver] += 1
        self._sent[self._ids] = f"{kind.__name__} {self._ids} to {target!r}"
        return kind(self._ids, sender, self._numbers[sender, receiver], asked, reply or self._ids)

    def never_sent(self, deed: Deed) -> None:
        """Take a message back that the runtime refused to send; one that has ended was sent."""
        if deed.id not in self._ended:
            del self._sent[deed.id]

    def enter(self, actor: BareActor, deed: Deed, *, ended: bool, aside: bool = False) -> None:
        """A handler begins.  Between taking a message and the begin of its task, a sibling's failure may doom it."""
        cell = cell_of(actor)
        what = f"{self._sent.get(deed.id, deed)} at {cell.address}"
        if deed.id in self._begun:
            self.breach(f"{what} is handled again, and was {self._ended.get(deed.id, 'neither handled nor dead')}")
        self._begun.add(deed.id)
        if ended or cell.actor is not actor or cell.phase not in ("live", "failed", "stopping" if aside else "live"):
            self.breach(f"{what} is handled by a dead instance ({cell.phase})")
        if not aside:
            self._enter_alone(cell, what)
            self._check_order(cell, deed, what)

    def _enter_alone(self, cell: Cell, what: str) -> None:
        if cell.uid in self._busy:
            self.breach(f"{what} begins while {self._busy[cell.uid]} is at work")
        self._busy[cell.uid] = what

    def _check_order(self, cell: Cell, deed: Deed, what: str) -> None:
        returning = self._returning[cell.uid]
        if any(item.id == deed.id for item in returning):
            while returning[0].id != deed.id:
                skipped = returning.popleft()
                if skipped.id not in self._ended:
                    self.breach(f"{what} came back from the stash before {self._sent[skipped.id]}")
            returning.popleft()
            return
        waiting = [item for item in returning if item.id not in self._ended]
        if waiting and not cell.spec.actor.mailbox.rate_per_s:
            self.breach(f"{what} came before {self._sent[waiting[0].id]}, which was unstashed")
        pair = (deed.sender, cell.uid)
        if deed.sender and deed.number <= self._arrived[pair]:
            self.breach(f"{what} is number {deed.number} from its sender and came after number {self._arrived[pair]}")
        self._arrived[pair] = max(deed.number, self._arrived[pair])

    def leave(self, actor: BareActor, deed: Deed, outcome: str, *, aside: bool = False) -> None:
        """A handler ends: ``handled``, or for any other reason a dead letter will come, or has come."""
        cell = cell_of(actor)
        if not aside:
            self._busy.pop(cell.uid, None)
        if outcome == "handled" and not (cell.gone and deed.id in self._ended):
            self._end(deed, "handled")

    def hook(self, actor: BareActor, name: str) -> None:
        """A hook is called: no handler may be at work."""
        cell = cell_of(actor)
        if cell.uid in self._busy:
            self.breach(f"{name} of {cell.address} is called while {self._busy[cell.uid]} is at work")

    def stashed(self, cell: Cell, deed: Deed) -> None:
        """A message was put aside, and so it will be handled again."""
        self._begun.discard(deed.id)
        self._stashes[cell.uid].append(deed)

    def unstashed(self, cell: Cell) -> None:
        """Everything that was put aside is given back, ahead of the mailbox."""
        stash = self._stashes.pop(cell.uid, [])
        self._returning[cell.uid].extendleft(reversed(stash))

    def _dead(self, letter: DeadLetter) -> None:
        if isinstance(letter.message, Deed):
            self._end(letter.message, f"dead ({letter.reason})")

    def _end(self, deed: Deed, outcome: str) -> None:
        before = self._ended.get(deed.id)
        if before is not None:
            self.breach(f"{self._sent.get(deed.id, deed)} was {before}, and then {outcome}")
        self._ended[deed.id] = outcome

    # --- asks --------------------------------------------------------------------------------------------------------

    def asked(self, deed: Deed, ask: asyncio.Future[int]) -> None:
        """Somebody asked."""
        self._asks[deed.id] = ask
        ask.add_done_callback(lambda done: self._replied(deed, done))

    def _replied(self, deed: Deed, ask: asyncio.Future[int]) -> None:
        if not ask.cancelled() and ask.exception() is None and ask.result() != deed.reply:
            self.breach(f"{self._sent[deed.id]} got the reply to {ask.result()}")

    # --- watches -----------------------------------------------------------------------------------------------------

    def watched(self, watcher: Cell, target: ActorRef) -> None:
        """A watch begins; one of an actor that has ended is answered at once, every time."""
        cell = cell_of(target)
        self._watchers[watcher.uid] = watcher
        if cell.gone:
            self._owed[watcher.uid, cell.uid] += 1
        else:
            self._watches[watcher.uid, cell.uid] = cell

    def unwatched(self, watcher: Cell, target: ActorRef) -> None:
        """A watch is taken back, with what is under way."""
        self._watches.pop((watcher.uid, uid(target)), None)
        self._owed.pop((watcher.uid, uid(target)), None)

    def down(self, actor: BareActor, down: Down, *, ended: bool) -> None:
        """A ``Down`` is handled."""
        cell = cell_of(actor)
        pair = (cell.uid, uid(down.ref))
        what = f"{down!r} at {cell.address}"
        if ended or cell.actor is not actor:
            self.breach(f"{what} is handled by a dead instance ({cell.phase})")
        if not cell_of(down.ref).gone:
            self.breach(f"{what} came though the actor lives")
        if not self._paid(pair):
            self.breach(f"{what} was not owed")

    def _paid(self, pair: tuple[int, int]) -> bool:
        """Take one ``Down`` for this watcher and target off the books; False when none is owed."""
        if self._watches.pop(pair, None) is None:
            self._owed[pair] -= 1
        return self._owed[pair] >= 0

    # --- supervision -------------------------------------------------------------------------------------------------

    def built(self, cell: Cell) -> None:
        """A new instance: it begins with no restarts of its children on its account, and all of its stash back."""
        self._windows.pop(cell.uid, None)
        self.unstashed(cell)

    def _crashed(self, cell: Cell, error: BaseException, _: str) -> None:
        """An actor failed: count as its supervisor has to, and see that it fails when it has to."""
        due, self._must_fail = self._must_fail, None
        if due is not None and due is not cell:
            self.breach(f"{due.address} had to fail, but {cell.address} failed next")
        if isinstance(error, RestartsExceeded) and due is not cell:
            self.breach(f"{cell.address} failed by its intensity, which was not exceeded: {error}")
        parent = cell.parent
        if parent is None or parent.phase in ("stopping", "gone") or cell.spec.restart == "temporary":
            return
        strategy, now = parent.spec.actor.supervision, self.sim.loop.time()
        window = [time for time in self._windows[parent.uid] if time >= now - strategy.period_s]
        self._windows[parent.uid] = [*window, now]
        if strategy.intensity is not None and len(window) >= strategy.intensity:
            self._must_fail = parent

    # --- the end -----------------------------------------------------------------------------------------------------

    def quiet(self) -> None:
        """Hold what must be true whenever nothing is under way."""
        if self._must_fail is not None:
            self.breach(f"{self._must_fail.address} had to fail by its intensity, and did not")
        for cell in self.sim.node.system.cells():
            for name, child in (cell.children or {}).items():
                if name != child.name or child.gone:
                    self.breach(f"{cell.address} has a child {name!r} which is {child.address}, {child.phase}")
        for (watcher, target), cell in list(self._watches.items()):
            if cell.gone and self._heeds(watcher):
                self.breach(f"{self._watchers[watcher].address} watched #{target}, which ended, and heard nothing")
        for (watcher, target), count in self._owed.items():
            if count > 0 and self._heeds(watcher):
                self.breach(f"{self._watchers[watcher].address} is owed {count} Down of #{target}, and heard nothing")
        self.hold()

    def at_rest(self) -> None:
        """Hold what must be true when all deadlines are over: every ask has ended."""
        for number, ask in self._asks.items():
            if not ask.done():
                self.breach(f"the ask {self._sent[number]} never ended")
        self.quiet()

    def _heeds(self, watcher: int) -> bool:
        cell = self._watchers[watcher]
        return cell.phase == "live" and not cell.suspended and cell.task is None

    def finish(self) -> None:
        """Hold what must be true when all players have ended."""
        for number, what in self._sent.items():
            if number not in self._ended:
                self.breach(f"{what} was neither handled nor a dead letter")
        self.quiet()


def cell_of(actor: BareActor | ActorRef) -> Cell:
    """The runtime's side of an actor, which a witness may see."""
    return actor.__cell__ if isinstance(actor, BareActor) else actor._cell  # noqa: SLF001  a ref is the runtime's own


def uid(ref: ActorRef) -> int:
    """The number of an actor."""
    return cell_of(ref).uid
