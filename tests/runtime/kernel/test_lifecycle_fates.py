"""Random fates of a family in virtual time: whatever happens when, the rules of every life are kept.

The actors have hooks that wait, handlers of every kind, timers, pipes and a stash; what happens to them is drawn by
hypothesis, at any moment of their starts, stops and restarts.
"""

import asyncio
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import Double, Fail, Hold, Note, cell_of, play_on
from trouper import Actor, ActorRef, Backoff, Down, Message, Node, OneForAll, OneForOne, RestForOne, handler
from trouper.runtime.kernel.supervision import Restart, Strategy
from trouper.testing import settle


class Aside(Message[int]):
    """Handled by a reentrant handler."""

    fails: bool = False


class Leave(Message):
    """End by your own decision."""


class Pipe(Message):
    """Work beside the handlers, which may fail."""

    fails: bool


class Life:
    """What was seen of one actor: the instance that is between its start and its end, and how often it ended."""

    def __init__(self) -> None:
        self.instance: object = None
        self.at_work = 0
        self.downs = 0


class Mortal(Actor):
    """Its hooks wait for the time that it is given, and it holds that there is never another instance beside it."""

    def __init__(self, life: Life, hook_s: float) -> None:
        self.life, self.hook_s = life, hook_s

    async def on_start(self) -> None:
        assert self.life.instance is None, "one instance at a time"
        self.life.instance = self
        await asyncio.sleep(self.hook_s)
        self.timers.every("tick", 0.7, Note(0))

    async def on_stop(self) -> None:
        assert self.life.at_work == 0, "no hook beside a handler"
        await asyncio.sleep(self.hook_s)
        self.life.instance = None

    @handler
    def note(self, msg: Note) -> None:
        assert self.life.at_work == 0, "one at a time"
        if msg.n == 1:
            self.stash(msg)
        elif msg.n == 2:
            self.unstash_all()

    @handler
    def double(self, msg: Double) -> int:
        assert self.life.at_work == 0, "one at a time"
        return 2 * msg.n

    @handler
    def fail(self, msg: Fail) -> int:
        raise ValueError(msg.why)

    @handler
    async def hold(self, msg: Hold) -> int:
        self.life.at_work += 1
        assert self.life.at_work == 1, "one at a time"
        try:
            await asyncio.sleep(float(msg.n))
        finally:
            self.life.at_work -= 1
        return msg.n

    @handler(reentrant=True)
    async def aside(self, msg: Aside) -> int:
        await asyncio.sleep(1.1)
        if msg.fails:
            raise ValueError("aside")
        return 1

    @handler
    def leave(self, msg: Leave) -> None:
        self.stop()

    @handler
    def pipe(self, msg: Pipe) -> None:
        async def work() -> int:
            await asyncio.sleep(0.9)
            if msg.fails:
                raise ValueError("in the pipe")
            return 0

        self.pipe_to_self(work(), Note)


class Watcher(Actor):
    def __init__(self, lives: dict[ActorRef, Life]) -> None:
        self.lives = lives

    @handler
    def down(self, msg: Down) -> None:
        self.lives[msg.ref].downs += 1


doings: st.SearchStrategy[str] = st.sampled_from(
    ["note", "stash", "unstash", "double", "hold", "long", "fail", "aside", "bad aside", "leave", "pipe", "bad pipe",
     "stop", "drain", "kill", "cancel", "time out", "link", "spawn"]
)  # fmt: skip
pauses = st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.5, 1.0, 2.0])
strategies: st.SearchStrategy[Strategy] = st.sampled_from(
    [
        strategy(intensity=restarts, period_s=5.0, backoff=backoff)
        for strategy in (OneForOne, OneForAll, RestForOne)
        for restarts in (1, 1_000)
        for backoff in (None, Backoff(0.4, 2.0, 0.0))
    ]
)
restart_types: st.SearchStrategy[Restart] = st.sampled_from(["permanent", "transient", "temporary"])


def message_of(doing: str) -> Message[object] | None:
    """What is sent for a doing; None for one that is no message."""
    messages: dict[str, Message[object]] = {
        "note": Note(0), "stash": Note(1), "unstash": Note(2), "double": Double(1), "hold": Hold(1), "long": Hold(20),
        "fail": Fail(), "aside": Aside(), "bad aside": Aside(fails=True), "leave": Leave(), "pipe": Pipe(fails=False),
        "bad pipe": Pipe(fails=True),
    }  # fmt: skip
    return messages.get(doing)


class Fate:
    """One family, and what is done to it."""

    def __init__(self, node: Node, hook_s: float) -> None:
        self.node, self.hook_s = node, hook_s
        self.lives: dict[ActorRef, Life] = {}
        self.asks: list[asyncio.Future[object]] = []
        self.waits: list[asyncio.Future[object]] = []
        self.spawned: list[asyncio.Future[ActorRef]] = []

    async def begin(self, strategy: Strategy, kinds: list[Restart]) -> list[ActorRef]:
        """Spawn a parent with this strategy, its children, and somebody who watches them."""
        fate, kids = self, list[ActorRef]()

        class Parent(Actor):
            supervision = strategy
            keep_children = True

            @handler
            async def hold(self, msg: Hold) -> int:
                for kind in kinds:
                    life = Life()
                    kids.append(await self.spawn(Mortal, life, fate.hook_s, restart=kind))
                    fate.lives[kids[-1]] = life
                return msg.n

        parent = await self.node.spawn(Parent, name="parent")
        await parent.ask(Hold(0), timeout_s=60.0)
        watcher = await self.node.spawn(Watcher, self.lives)
        for kid in kids:
            kid.watch(watcher)
        return kids

    def do(self, doing: str, kid: ActorRef, other: ActorRef) -> None:
        """One thing to one of the children."""
        message = message_of(doing)
        if message is not None:
            if doing in ("note", "stash", "unstash", "leave", "pipe", "bad pipe"):
                kid.tell(message)
            else:
                self.asks.append(kid.ask(message, timeout_s=8.0))
        elif doing in ("stop", "drain", "kill"):
            self.waits.append(asyncio.ensure_future(getattr(kid, doing)()))
        elif doing == "cancel" and self.asks:
            self.asks[len(self.asks) // 2].cancel()
        elif doing == "time out":
            self.asks.append(kid.ask(Hold(1), timeout_s=0.0))
        elif doing == "link":
            kid.watch(other)
        elif doing == "spawn":
            life = Life()
            spawning = asyncio.ensure_future(self.node.spawn(Mortal, life, self.hook_s, restart="temporary"))
            self.spawned.append(cast("asyncio.Future[ActorRef]", spawning))

    async def end(self, kids: list[ActorRef]) -> None:
        """Wait until all that was begun has ended, and hold what must be true then."""
        await asyncio.gather(*self.asks, return_exceptions=True)
        await asyncio.gather(*self.waits)
        await asyncio.gather(*self.spawned)
        await asyncio.sleep(60.0)
        await settle()
        assert self.node.accounting().missing == 0
        for kid in kids:
            assert self.lives[kid].downs == cell_of(kid).gone
            assert cell_of(kid).phase in ("live", "gone")
            assert self.lives[kid].at_work == 0
            if not cell_of(kid).gone:
                assert await kid.ask(Double(2)) == 4


@given(
    st.lists(st.tuples(doings, st.integers(0, 2), pauses), max_size=25),
    strategies,
    st.lists(restart_types, min_size=1, max_size=3),
    st.sampled_from([0.0, 1.0]),
)
def test_whatever_happens_the_rules_of_a_life_are_kept(
    happening: list[tuple[str, int, float]], strategy: Strategy, kinds: list[Restart], hook_s: float
) -> None:
    """One handler at a time, one instance at a time, one `Down`; every ask and wait ends, and nothing is lost."""

    async def scene(node: Node) -> None:
        fate = Fate(node, hook_s)
        kids = await fate.begin(strategy, kinds)
        for doing, index, pause_s in happening:
            fate.do(doing, kids[index % len(kids)], kids[(index + 1) % len(kids)])
            assert node.accounting().missing == 0
            if pause_s:
                await asyncio.sleep(pause_s)
            else:
                await asyncio.sleep(0)
        await fate.end(kids)

    play_on(Node(supervision=OneForOne(intensity=1_000_000)), scene)
