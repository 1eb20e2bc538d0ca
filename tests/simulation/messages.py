"""What players say to each other, and what goes wrong with them."""

from trouper import Message
from trouper.runtime.kernel.supervision import Restart


class Deed(Message[int]):
    """A message between players.

    number: counts what its sender sent to its receiver.  asked: it was sent by ask, and ``reply`` is to come back.
    """

    id: int
    sender: int
    number: int
    asked: bool
    reply: int


class Trouble(Exception):
    """What a player raises."""


class OddTrouble(BaseException):
    """What a player should not raise."""


class Plain(Deed):
    """Handled by a plain handler."""


class Slow(Deed):
    """Handled by an async handler."""


class Aside(Deed):
    """Handled by a reentrant handler."""


class Nobody(Deed):
    """Handled by no handler."""


class Tick(Message):
    """A timer's message to the instance that set it."""

    instance: int
    key: int
    number: int


class Piped(Message):
    """What comes of something that was awaited beside the handlers."""


KINDS = (Plain, Plain, Plain, Slow, Slow, Slow, Aside, Nobody)
NAMES = ("ada", "bob", "cyd")
RESTARTS: tuple[Restart, ...] = ("permanent", "transient", "transient", "temporary")
