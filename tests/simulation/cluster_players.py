"""The players of a cluster's torture: actors on several nodes that do anything to each other, at random.

They are made on whatever node they are placed, where only what travels comes in; so they find the witness of the run
on the stage.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from tests.simulation.cluster_messages import Deed, Meet, Nobody, Ponder, Post, Posted, Say, Trouble
from tests.simulation.cluster_witness import on_stage
from trouper import (
    Actor,
    ActorRef,
    DeadlockError,
    Down,
    EventSourcedActor,
    MailboxFull,
    Node,
    TrouperError,
    applies,
    handler,
)

KNOWN_MAX = 12
"""Actors that a player remembers."""
PLAYERS_PER_NODE = 3
NODES = ("n1", "n2", "n3", "n4", "n5")


class Player(Actor):
    """Does things at random whenever it handles something, until the witness has no deeds left."""

    def __init__(self, depth: int = 2) -> None:
        self.witness = on_stage()
        self.depth = depth
        self.known: list[ActorRef] = []
        self.put_away: list[int] = []
        self.witness.built(self)

    def on_terminated(self, down: Down) -> None:
        """See a Down."""
        self.witness.down(self, down)

    @handler
    def meet(self, msg: Meet) -> None:
        """Get to know somebody, and do something."""
        self.remember(msg.who)
        for _ in range(3):
            self.act()

    @handler
    def say(self, msg: Say) -> int:
        """Do something, at once."""
        self.witness.enter(self, msg)
        outcome = "raised"
        try:
            outcome = self.perform(msg)
        finally:
            self.witness.leave(self, msg, outcome)
        return msg.id

    @handler
    async def ponder(self, msg: Ponder) -> int:
        """Do something, and wait now and then."""
        self.witness.enter(self, msg)
        outcome = "raised"
        try:
            if self.witness.chance(0.5):
                await asyncio.sleep(self.witness.seconds(0.5))
            if self.witness.deeds_left > 0 and self.witness.chance(0.5):
                await self.deed_with_waiting()
            outcome = self.perform(msg)
        finally:
            self.witness.leave(self, msg, outcome)
        return msg.id

    def perform(self, msg: Deed) -> str:
        """Do up to three things, then fail, put the message aside, or finish."""
        if msg.gift is not None:
            self.remember(msg.gift)
        for _ in range(self.witness.pick((0, 1, 2, 2, 3))):
            self.act()
        if self.witness.deeds_left > 0 and self.witness.chance(0.05):
            self.stash(msg)
            self.witness.stashed(self, msg)
            return "stashed"
        if self.witness.deeds_left > 0 and self.witness.chance(0.06):
            raise Trouble
        return "handled"

    def remember(self, ref: ActorRef) -> None:
        """Know an actor, and forget one that was known for long."""
        if ref != self.ref and ref not in self.known:
            self.known.append(ref)
            del self.known[:-KNOWN_MAX]

    # --- deeds -------------------------------------------------------------------------------------------------------

    def act(self) -> None:
        """Do one thing at random, if there is a deed left and somebody is known."""
        if self.witness.deeds_left > 0 and self.known:
            self.witness.deeds_left -= 1
            self.witness.pick(DEEDS)(self)

    def deed_tell(self) -> None:
        """Tell somebody something."""
        target, deed = self.new_deed()
        try:
            target.tell(deed)
        except MailboxFull:
            self.witness.never_sent(deed)

    def deed_ask(self) -> Awaitable[int] | None:
        """Ask somebody something; maybe give up at once."""
        target, deed = self.new_deed()
        timeout_s = self.witness.pick((0.3, 2.0, 5.0))
        try:
            asked = target.ask(deed, timeout_s)
        except DeadlockError:
            self.witness.never_sent(deed)
            return None
        self.witness.asked(self, deed, asked)
        if self.witness.chance(0.1):
            asked.cancel()
        return asked

    def new_deed(self) -> tuple[ActorRef, Deed]:
        """Make a message for somebody known; mostly it hands on a ref."""
        witness = self.witness
        target = witness.pick(self.known)
        gift = witness.pick((*self.known, self.ref)) if witness.chance(0.5) else None
        kind = witness.pick((Say, Say, Say, Ponder, Ponder, Nobody) if witness.chance(0.3) else (Say, Ponder))
        return target, witness.deed(kind, self, target, gift)

    async def deed_with_waiting(self) -> None:
        """Do one thing that is awaited; whatever it raises is expected, but for the end of this handler."""
        witness = self.witness
        if not self.known:
            return
        witness.deeds_left -= 1
        try:
            if witness.chance(0.6):
                asked = self.deed_ask()
                if asked is not None:
                    await asked
            elif witness.chance(0.6) and self.depth > 0:
                place = witness.pick((None, *NODES))
                self.remember(await self.spawn(Player, self.depth - 1, place=place))
            else:
                target, deed = self.new_deed()
                await target.tell(deed)
        except (TrouperError, Trouble):
            pass

    def deed_watch(self) -> None:
        """Watch somebody."""
        target = self.witness.pick(self.known)
        self.witness.watched(self, target)
        self.watch(target)

    def deed_unwatch(self) -> None:
        """Take a watch back."""
        target = self.witness.pick(self.known)
        self.witness.unwatched(self, target)
        self.unwatch(target)

    def deed_link(self) -> None:
        """Share somebody's fate, or do so no more."""
        self.witness.pick((self.link, self.unlink))(self.witness.pick(self.known))

    def deed_unstash(self) -> None:
        """Take everything back that was put aside."""
        self.unstash_all()

    def deed_end(self) -> None:
        """End somebody."""
        target = self.witness.pick(self.known)
        self.witness.pick((target.stop, target.drain, target.kill))()


DEEDS: tuple[Callable[[Player], object], ...] = (
    *[Player.deed_tell] * 16,
    *[Player.deed_ask] * 8,
    *[Player.deed_watch] * 8,
    Player.deed_unwatch,
    Player.deed_link,
    *[Player.deed_unstash] * 3,
    Player.deed_end,
)
"""What a player does, by how often."""


class Kept(msgspec.Struct):
    """What a ledger has kept: how many numbers, and the last one."""

    count: int = 0
    last: int = 0


class Ledger(EventSourcedActor[Kept]):
    """Keeps numbers, and must still have them after its node has crashed."""

    snapshot_every = 7

    async def on_start(self) -> None:
        """Recover, and be held to what was acknowledged."""
        await super().on_start()
        on_stage().recovered(self.node.name, self.state.count)

    @handler
    async def post(self, msg: Post) -> int:
        """Keep a number."""
        on_stage().posting(self.node.name)
        await self.persist(Posted(msg.number))
        on_stage().posted(self.node.name, self.state.count)
        return self.state.count

    @applies
    def on_posted(self, event: Posted) -> None:
        """Count."""
        self.state.count += 1
        self.state.last = event.number


async def boot(node: Node) -> None:
    """What every life of a node begins with."""
    on_stage().attach(node)
    for number in range(PLAYERS_PER_NODE):
        await node.spawn(Player, name=f"p{number}", restart="permanent")
    await node.spawn(Ledger, name="ledger", restart="permanent")
