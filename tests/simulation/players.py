"""The players of a torture run: actors that do anything, at random, whenever they handle a message.

What they do is drawn from the seed; what they see is told to the witness.  They stop doing things once the witness has
no deeds left to give out, so that every run ends.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, cast

from tests.simulation.messages import (
    KINDS,
    NAMES,
    RESTARTS,
    Aside,
    Deed,
    OddTrouble,
    Piped,
    Plain,
    Slow,
    Tick,
    Trouble,
)
from tests.simulation.witness import Witness
from trouper import (
    Actor,
    ActorRef,
    ActorStopped,
    DeadlockError,
    Down,
    MailboxFull,
    NameTaken,
    NodeClosed,
    Reject,
    TrouperError,
    handler,
)
from trouper.runtime.kernel.ask import current_invocation


class Player(Actor):
    """Everything a player does; the subclasses in ``troupe.py`` differ in hooks, strategy and mailbox."""

    troupe: ClassVar[Sequence[type["Player"]]] = ()
    """The classes of which children are made; ``troupe.py`` fills it."""

    def __init__(self, witness: Witness, depth: int) -> None:
        self.witness, self.depth = witness, depth
        self.ended = False
        self.instance = witness.next_number()
        self.young: list[ActorRef] = []
        self.ticks: dict[int, int] = {}
        witness.built(self.__cell__)
        self.trouble(0.02)

    # --- hooks -------------------------------------------------------------------------------------------------------

    def on_start(self) -> Awaitable[None] | None:
        """Maybe fail, maybe do something."""
        self.begin()
        return None

    def on_stop(self) -> Awaitable[None] | None:
        """Maybe fail."""
        self.end("on_stop")
        return None

    def begin(self) -> None:
        """What every start is."""
        self.witness.hook(self, "on_start")
        self.trouble(0.03)
        if self.witness.chance(0.2):
            self.act()

    def end(self, name: str) -> None:
        """What every end is."""
        self.witness.hook(self, name)
        self.ended = True
        self.trouble(0.1)

    def on_terminated(self, down: Down) -> Awaitable[None] | None:
        """See a Down."""
        self.witness.down(self, down, ended=self.ended)
        self.trouble(0.05)
        return None

    def trouble(self, share: float) -> None:
        """Raise, in this share of the cases."""
        if self.witness.deeds_left > 0 and self.witness.chance(share):
            if self.witness.chance(0.1):
                raise OddTrouble
            raise Trouble

    # --- handlers ----------------------------------------------------------------------------------------------------

    @handler
    def plain(self, msg: Plain) -> int:
        """Do something, at once."""
        self.witness.enter(self, msg, ended=self.ended)
        outcome, is_asked = "raised", self.is_asked()
        try:
            outcome = self.perform(msg)
        except Reject:
            outcome = "handled" if is_asked else "rejected"
            raise
        finally:
            self.witness.leave(self, msg, outcome)
        return msg.reply

    @handler
    async def slow(self, msg: Slow) -> int:
        """Do something, and wait now and then."""
        self.witness.enter(self, msg, ended=self.ended)
        outcome, is_asked = "raised", self.is_asked()
        try:
            outcome = await self.perform_slowly(msg)
        except Reject:
            outcome = "handled" if is_asked else "rejected"
            raise
        finally:
            self.witness.leave(self, msg, outcome)
        return msg.reply

    @handler(reentrant=True)
    async def aside(self, msg: Aside) -> int:
        """Do something while others do."""
        self.witness.enter(self, msg, ended=self.ended, aside=True)
        outcome = "raised"
        try:
            await asyncio.sleep(self.witness.seconds(0.5))
            if self.witness.deeds_left > 0:
                self.deed_tell()
            outcome = "handled"
        finally:
            self.witness.leave(self, msg, outcome, aside=True)
        return msg.reply

    @handler
    def tick(self, msg: Tick) -> None:
        """Take a timer's message, and do something."""
        if msg.instance != self.instance or self.ticks.get(msg.key) != msg.number or self.ended:
            self.witness.breach(f"{self!r}, instance {self.instance}, got {msg}, but has {self.ticks}")
        self.trouble(0.05)
        if self.witness.chance(0.5):
            self.act()

    @handler
    def piped(self, msg: Piped) -> None:
        """Take the result of a pipe."""
        self.trouble(0.05)
        if self.witness.chance(0.5):
            self.act()

    def perform(self, msg: Deed) -> str:
        """Do up to three things, then fail, refuse, put the message aside, pass it on, or finish."""
        for _ in range(self.witness.pick((0, 1, 2, 2, 3))):
            self.act()
        if self.witness.deeds_left > 0 and self.witness.chance(0.12):
            return self.hand_over(msg)
        if self.witness.deeds_left > 0 and self.witness.chance(0.05):
            raise Reject("no")
        self.trouble(0.08)
        return "handled"

    def hand_over(self, msg: Deed) -> str:
        """Put a message aside, or pass it on as a new one."""
        if self.witness.chance(0.5):
            self.stash(msg)
            self.witness.stashed(self.__cell__, msg)
            return "stashed"
        target = self.witness.peer()
        kind = self.witness.pick((Plain, Slow))
        new = self.witness.deed(kind, self.__cell__.uid, target, asked=msg.asked, reply=msg.reply)
        ask = self.ask_at_hand()
        try:
            self.forward(target, new)
        except MailboxFull:
            self.witness.never_sent(new)
            raise
        ask = ask or self.ask_at_hand()
        if ask is not None and ask.done():
            self.witness.never_sent(new)  # its asker has given up, or would have waited for itself
        self.trouble(0.2)
        return "handled"

    def ask_at_hand(self) -> asyncio.Future[object] | None:
        """Return the ask that is being handled; one that is answered inline becomes one when it is passed on."""
        cell, invocation = self.__cell__, self.__cell__.invocation or current_invocation.get()
        item = cell.system.dispatcher.inline_ask
        if invocation is not None and invocation.cell is cell:
            item = invocation.item
        return cast("asyncio.Future[object]", item) if isinstance(item, asyncio.Future) else None

    def is_asked(self) -> bool:
        """Say whether a reply is owed for what is being handled; an ask that is passed on too late is only told."""
        dispatcher = self.__cell__.system.dispatcher
        inline = dispatcher.running is self.__cell__ and dispatcher.inline_ask is not None
        return inline or self.ask_at_hand() is not None

    async def perform_slowly(self, msg: Deed) -> str:
        """Do things with awaits between them."""
        witness = self.witness
        if witness.chance(0.5):
            await asyncio.sleep(witness.seconds(0.5))
        if witness.deeds_left > 0 and witness.chance(0.5):
            witness.deeds_left -= 1
            await self.deed_with_waiting()
        return self.perform(msg)

    async def deed_with_waiting(self) -> None:
        """Do one thing that is awaited; whatever it raises is expected, but for the end of this handler."""
        witness = self.witness
        try:
            if witness.chance(0.6):
                asked = self.deed_ask()
                if asked is not None:
                    await asked
            elif witness.chance(0.4):
                await (self.deed_tell() or asyncio.sleep(0))
            elif witness.chance(0.6) and self.depth > 0:
                name = witness.pick((*NAMES, None))
                start = self.spawn(
                    witness.pick(self.troupe), witness, self.depth - 1, name=name, restart=witness.pick(RESTARTS)
                )
                self.adopt(await start)
            elif self.young:
                await witness.pick(self.young).stop()
        except (TrouperError, Trouble):
            pass

    def adopt(self, ref: ActorRef) -> None:
        """Remember a child, and let the others know it."""
        self.young.append(ref)
        self.witness.refs.append(ref)

    # --- deeds -------------------------------------------------------------------------------------------------------

    def act(self) -> None:
        """Do one thing at random, if there is a deed left."""
        if self.witness.deeds_left > 0:
            self.witness.deeds_left -= 1
            self.witness.pick(DEEDS)(self)

    def deed_tell(self) -> Awaitable[None] | None:
        """Tell somebody something."""
        target = self.witness.peer()
        deed = self.witness.deed(self.witness.pick(KINDS), self.__cell__.uid, target, asked=False)
        try:
            return target.tell(deed)
        except MailboxFull:
            self.witness.never_sent(deed)
            return None

    def deed_ask(self) -> asyncio.Future[int] | None:
        """Ask somebody something; maybe give up at once."""
        target = self.witness.peer()
        deed = self.witness.deed(self.witness.pick(KINDS), self.__cell__.uid, target, asked=True)
        try:
            asked = target.ask(deed, self.witness.pick((None, 0.0, 0.3, 2.0)))
        except DeadlockError:
            self.witness.never_sent(deed)
            return None
        self.witness.asked(deed, asked)
        if self.witness.chance(0.1):
            asked.cancel()
        return asked

    def deed_spawn(self) -> None:
        """Start a child, without waiting."""
        if self.depth > 0:
            name, restart = self.witness.pick((*NAMES, None)), self.witness.pick(RESTARTS)
            try:
                cls = self.witness.pick(self.troupe)
                self.adopt(self.spawn_nowait(cls, self.witness, self.depth - 1, name=name, restart=restart))
            except (NameTaken, NodeClosed):
                pass

    def deed_unstash(self) -> None:
        """Take everything back that was put aside."""
        self.witness.unstashed(self.__cell__)
        self.unstash_all()

    def deed_watch(self) -> None:
        """Watch somebody."""
        target = self.witness.peer()
        self.witness.watched(self.__cell__, target)
        self.watch(target)

    def deed_unwatch(self) -> None:
        """Take a watch back."""
        target = self.witness.peer()
        self.witness.unwatched(self.__cell__, target)
        self.unwatch(target)

    def deed_link(self) -> None:
        """Share somebody's fate, or do so no more."""
        target = self.witness.peer()
        if target != self.ref:
            self.witness.pick((self.link, self.unlink))(target)

    def deed_become(self) -> None:
        """Handle messages otherwise, or as before."""
        if self.witness.chance(0.5):
            self.become(self.other)
        else:
            self.unbecome()

    def other(self, msg: Plain) -> int:
        """Handle a message in another way, then be as before."""
        self.unbecome()
        return self.plain(msg)

    def deed_timer(self) -> None:
        """Set a timer, set it anew, or cancel it."""
        witness = self.witness
        key = witness.pick((1, 2))
        if witness.chance(0.3):
            self.ticks.pop(key, None)
            self.timers.cancel(key)
            return
        self.ticks[key] = witness.next_number()
        tick = Tick(self.instance, key, self.ticks[key])
        if witness.chance(0.5):
            self.timers.once(key, witness.seconds(1.0), tick)
        else:
            self.timers.every(key, 0.2 + witness.seconds(1.0), tick)

    def deed_pipe(self) -> None:
        """Wait for something beside the handlers."""
        fails = self.witness.chance(0.2)
        later = _later(self.witness.seconds(0.5), fails=fails)
        try:
            self.pipe_to_self(later, lambda _: Piped())
        except ActorStopped:  # this handler has killed its own actor
            later.close()
            raise

    def deed_end(self) -> None:
        """End somebody, or oneself."""
        if self.witness.chance(0.3) and self.__cell__.spec.restart != "permanent":
            self.stop()
            return
        target = self.witness.peer()
        end = self.witness.pick((target.stop, target.drain, target.kill))
        end()


async def _later(seconds: float, *, fails: bool) -> None:
    await asyncio.sleep(seconds)
    if fails:
        raise Trouble


DEEDS: tuple[Callable[[Player], object], ...] = (
    *[Player.deed_tell] * 14,
    *[Player.deed_ask] * 7,
    *[Player.deed_spawn] * 5,
    *[Player.deed_unstash] * 2,
    *[Player.deed_watch] * 3,
    Player.deed_unwatch,
    Player.deed_link,
    *[Player.deed_become] * 2,
    *[Player.deed_timer] * 3,
    Player.deed_pipe,
    *[Player.deed_end] * 2,
)
"""What a player does, by how often."""
