"""The troupe: players of several kinds, with every strategy, hooks that wait, and all sorts of mailboxes."""

import asyncio

from tests.simulation.players import Player
from trouper import Backoff, Down, Mailbox, OneForAll, OneForOne, RestForOne


class Waiter(Player):
    """Its hooks wait; its children are restarted together, in a few tries."""

    supervision = OneForAll(intensity=3, period_s=2.0)

    async def on_start(self) -> None:
        """Maybe wait."""
        self.begin()
        await asyncio.sleep(self.witness.seconds(0.3))
        self.trouble(0.02)

    async def on_stop(self) -> None:
        """Maybe wait."""
        self.end("on_stop")
        await asyncio.sleep(self.witness.seconds(0.3))

    async def on_terminated(self, down: Down) -> None:
        """Maybe wait."""
        self.witness.down(self, down, ended=self.ended)
        await asyncio.sleep(self.witness.seconds(0.1))
        self.trouble(0.05)


class Patient(Player):
    """Restarts its children late; takes few messages, and refuses more."""

    supervision = OneForOne(intensity=2, period_s=1.0, backoff=Backoff(0.1, 1.0))
    mailbox = Mailbox(high_water=2, limit=6, when_full="raise_full")


class Guardian(Player):
    """Restarts what was started after the failed child, and keeps its children when it restarts itself."""

    supervision = RestForOne(intensity=4, period_s=3.0, backoff=Backoff(0.05, 0.5))
    mailbox = Mailbox(high_water=1, limit=4, when_full="drop_oldest")
    keep_children = True

    def before_restart(self, error: BaseException | None) -> None:
        """End the instance in its own way."""
        self.end("before_restart")


class Paced(Player):
    """Handles twenty messages in a second; allows no restart."""

    supervision = OneForAll(intensity=0, period_s=5.0)
    mailbox = Mailbox(high_water=5, limit=20, rate_per_s=20.0)


PLAYERS: tuple[type[Player], ...] = (Player, Player, Waiter, Patient, Guardian, Paced)
Player.troupe = PLAYERS
