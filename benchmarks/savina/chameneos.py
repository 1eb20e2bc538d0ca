"""Chameneos: creatures meet in pairs at a mall, ``size`` times, and change their colours.

It measures a mailbox that many senders compete for.  After Kaiser and Pradat-Peyre's exercise in symmetric cooperation.
"""

from __future__ import annotations

from enum import Enum

from trouper import Actor, ActorRef, Message, Node, handler

from . import outcome
from .conductor import Conductor, Outcome

SIZE = 20_000
CREATURES = 100


class Colour(Enum):
    """The colours there are."""

    YELLOW = 0
    BLUE = 1
    RED = 2


def complement(own: Colour, other: Colour) -> Colour:
    """Return the colour after a meeting: the same when both have it, else the one that neither has."""
    return own if own is other else Colour(3 - own.value - other.value)


class Arrive(Message):
    """A creature wants to meet someone."""

    creature: ActorRef
    colour: Colour


class Meet(Message):
    """Somebody is there; tell them your colour."""

    other: ActorRef
    colour: Colour


class Change(Message):
    """The creature that was met has this colour."""

    colour: Colour


class Leave(Message):
    """The mall is closed."""


class Meetings(Message):
    """How many meetings a creature has had."""

    count: int


class Creature(Actor):
    """Meets others until the mall closes."""

    def __init__(self, mall: ActorRef, colour: Colour) -> None:
        self.mall = mall
        self.colour = colour
        self.meetings = 0

    def on_start(self) -> None:
        """Go to the mall."""
        self.mall.tell(Arrive(self.ref, self.colour))

    @handler
    def meet(self, msg: Meet) -> None:
        """Change colours with the one who is there, and come again."""
        msg.other.tell(Change(self.colour))
        self._have_met(msg.colour)

    @handler
    def change(self, msg: Change) -> None:
        """Change colour, and come again."""
        self._have_met(msg.colour)

    @handler
    def leave(self, msg: Leave) -> None:
        """Say how many meetings there were, and end."""
        self.mall.tell(Meetings(self.meetings))
        self.stop()

    def _have_met(self, other: Colour) -> None:
        self.colour = complement(self.colour, other)
        self.meetings += 1
        self.mall.tell(Arrive(self.ref, self.colour))


class Mall(Conductor):
    """Brings two creatures together, as often as there are meetings; then sends them home."""

    def __init__(self, meetings: int) -> None:
        super().__init__()
        self.left = meetings
        self.waiting: Arrive | None = None
        self.total = 0
        self.gone_home = 0

    @handler
    def arrive(self, msg: Arrive) -> None:
        """Let it wait, meet the one who waits, or go home."""
        if self.left == 0:
            msg.creature.tell(Leave())
        elif self.waiting is None:
            self.waiting = msg
        else:
            first, self.waiting = self.waiting, None
            first.creature.tell(Meet(msg.creature, msg.colour))
            self.left -= 1

    @handler
    def meetings(self, msg: Meetings) -> None:
        """Add up what the creatures say."""
        self.total += msg.count
        self.gone_home += 1
        if self.gone_home == CREATURES:
            self.finish(self.total)


async def run(node: Node, size: int) -> float:
    """Hold ``size`` meetings and return the sum of what the creatures counted."""
    mall = await node.spawn(Mall, size)
    for number in range(CREATURES):
        await node.spawn(Creature, mall, Colour(number % 3))
    return await outcome(mall, Outcome())


def check(size: int, result: float) -> None:
    """Both sides counted every meeting."""
    assert result == 2 * size
