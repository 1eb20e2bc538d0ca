"""What the players of a cluster say to each other."""

from trouper import ActorRef, Message


class Deed(Message[int]):
    """A message between players.

    sender, target: the two actors, as text; number: counts what one sent to the other.  reply: what is to come back, if
    anything.  gift: an actor to get to know.
    """

    id: int
    sender: str
    target: str
    number: int
    gift: ActorRef | None


class Say(Deed):
    """Handled by a plain handler."""


class Ponder(Deed):
    """Handled by an async handler."""


class Nobody(Deed):
    """Handled by no handler."""


class Meet(Message):
    """An introduction from outside."""

    who: ActorRef


class Post(Message[int]):
    """Keep a number; the reply is how many were kept."""

    number: int


class Posted(Message):
    """An event: a number was kept."""

    number: int


class Trouble(Exception):
    """What a player raises."""
