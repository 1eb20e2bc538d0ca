"""Delivery of notices: a ``tell`` on behalf of the runtime, whose sender is not the one to suffer.

Listings, group changes and events are sent by whoever happened to cause them.  A receiver whose mailbox says
``raise_full`` would raise at that bystander; here it loses the notice instead, as a dead letter.
"""

from __future__ import annotations

from .errors import MailboxFull
from .message import Message
from .ref import ActorRef


def deliver(ref: ActorRef, message: Message[object]) -> None:
    """Tell, and never raise: what does not fit becomes a dead letter with the reason ``mailbox_full``."""
    try:
        ref.tell(message)
    except MailboxFull:
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        cell.received += 1  # the mailbox took its count back before it raised; a dead letter has to have been sent
        cell.lose(message, "mailbox_full")
