"""Timers: an actor sends itself messages, once or periodically, under a key; they end with the actor's instance."""

import trouper
from trouper import Actor, Message, Node, handler


class Tick(Message):
    """Sent every period."""


class GiveUp(Message):
    """Sent once, unless the timer is set again."""


class Heard(Message):
    """A sign of life: puts the end off."""


class Watchman(Actor):
    """Ticks, and stops when it has heard nothing for a while."""

    def __init__(self, quiet_s: float) -> None:
        self.quiet_s, self.ticks = quiet_s, 0

    def on_start(self) -> None:
        """Set both timers."""
        self.timers.every("tick", 0.01, Tick())
        self.timers.once("quiet", self.quiet_s, GiveUp())

    @handler
    def on_tick(self, _msg: Tick) -> None:
        """Count; after the third tick there are no more."""
        self.ticks += 1
        print("tick", self.ticks)
        if self.ticks == 3:
            self.timers.cancel("tick")
            self.ref.tell(Heard())

    @handler
    def on_heard(self, _msg: Heard) -> None:
        """Set the timer anew: the key replaces the old one."""
        print("heard something; still waiting:", self.timers.is_active("quiet"))
        self.timers.once("quiet", self.quiet_s, GiveUp())

    @handler
    def on_event_timeout(self, _msg: GiveUp) -> None:
        """End."""
        print("it is quiet")
        self.stop()


async def main() -> None:
    """Wait for the watchman to go home."""
    async with Node() as node:
        watchman = await node.spawn(Watchman, 0.2)
        print("the watchman has", await watchman.wait_stopped())


trouper.run(main)

# Output:
# | tick 1
# | tick 2
# | tick 3
# | heard something; still waiting: True
# | it is quiet
# | the watchman has stopped
