"""Messages about actors: ``Down``, one that was watched has ended; ``DeadLetter``, one that nobody handled."""

from __future__ import annotations

from .messages import Message
from .ref import ActorRef


class Down(Message[None]):
    """An actor that was watched has ended.

    reason: ``stopped``, ``killed``, ``failed``, ``node_lost``, or ``no_such_actor`` when it had ended before the watch.
    error: the failure as text, bounded in size; None when there was none.
    """

    ref: ActorRef
    reason: str
    error: str | None = None


class DeadLetter(Message[None]):
    """A message that no handler took, with the reason.

    reason: ``unhandled``, ``failed`` (its handler raised), ``rejected``, ``stopped``, ``killed``, ``no_such_actor``,
    ``mailbox_full``, ``coalesced``, ``expired`` (its asker had given up), ``cancelled``, ``stash_full``.
    """

    message: Message[object]
    target: ActorRef
    reason: str
    error: str | None = None
