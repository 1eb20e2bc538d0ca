"""A crash: the failed child is restarted by its parent, its sibling is not affected, the ref stays valid."""

import logging
import sys

import trouper
from trouper import Actor, ActorRef, Message, Node, OneForOne, handler


class Count(Message[int]):
    """The reply is how many of these the instance has handled."""


class Break(Message):
    """Makes the handler fail."""


class GetChild(Message[ActorRef]):
    """The reply is the ref of a child."""

    name: str


class Counter(Actor):
    """Its state is lost by a restart, on purpose: a fresh start is what a restart is for."""

    def __init__(self, label: str) -> None:
        self.label, self.count = label, 0

    def on_start(self) -> None:
        """Called at every start and restart."""
        print(f"{self.label} starts")

    def before_restart(self, error: BaseException | None) -> None:
        """Called on the failed instance: the place to save or release something."""
        print(f"{self.label} failed at {self.count} with {error!r}")

    @handler
    def on_count(self, _msg: Count) -> int:
        """Count."""
        self.count += 1
        return self.count

    @handler
    def on_break(self, _msg: Break) -> None:
        """A bug."""
        raise RuntimeError("a bug")


class Boss(Actor):
    """Every parent is a supervisor; this is how it treats its children: at most 3 restarts in 5 seconds."""

    supervision = OneForOne(intensity=3, period_s=5.0)

    async def on_start(self) -> None:
        """Start two children."""
        self.left = await self.spawn(Counter, "left", name="left")
        self.right = await self.spawn(Counter, "right", name="right")

    @handler
    def get_child(self, msg: GetChild) -> ActorRef:
        """Hand out a ref."""
        return self.left if msg.name == "left" else self.right


async def main() -> None:
    """Break one of two children."""
    logging.basicConfig(format="LOG %(levelname)s %(message)s", stream=sys.stdout)
    async with Node() as node:
        boss = await node.spawn(Boss, name="boss")
        left, right = await boss.ask(GetChild("left")), await boss.ask(GetChild("right"))
        for child in (left, right):
            child.tell(Count())
        left.tell(Break())
        left.tell(Count())  # waits in the mailbox while left restarts
        print("left counts", await left.ask(Count()), "and right", await right.ask(Count()))
        print(node.accounting())


trouper.run(main)

# Output:
# | left starts
# | right starts
# | LOG WARNING trouper://local/user/boss/left#5 failed handling Break()
# |   | Traceback (most recent call last):
# | ...
# |   | RuntimeError: a bug
# | LOG WARNING trouper://local/user/boss/left#5 is restarted by trouper://local/user/boss#4
# | left failed at 1 with RuntimeError('a bug')
# | left starts
# | left counts 2 and right 2
# | Accounting(sent=8, handled=7, stashed=0, dead=1, in_flight=0)
