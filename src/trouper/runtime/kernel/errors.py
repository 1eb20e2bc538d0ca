"""Every error of Trouper: one short tree, split by whose fault it is.

``CallerError``: the calling code asked for something impossible.  ``ActorError``: the other actor failed, or cannot be
reached.  ``Reject``: a business "no", which is no fault.  ``InternalError``: a fault of Trouper; please report it.
Each message names the actor, the value seen and the next step.
"""

from __future__ import annotations


class TrouperError(Exception):
    """Base of all errors that Trouper raises."""


class CallerError(TrouperError):
    """The caller's fault: a retry without a change in the calling code will fail again."""


class InvalidName(CallerError, ValueError):
    """A name of an actor or a node that an address cannot contain."""


class NameTaken(CallerError):
    """Another living child of the same parent has this name."""


class TagTaken(CallerError, TypeError):
    """Two message classes claim one wire tag."""


class InvalidMessage(CallerError, TypeError):
    """A message class that cannot be used; raised when the class is made."""


class InvalidHandler(CallerError, TypeError):
    """An actor class or function whose handlers cannot be used; raised when the class is made."""


class InvalidOption(CallerError, ValueError):
    """A setting outside of its range."""


class NodeClosed(CallerError):
    """The node is shutting down or has shut down, and takes no new actors."""


class WrongThread(CallerError, RuntimeError):
    """A call in a thread where it is not allowed; nothing was done.

    A node belongs to the thread that runs its loop.  In other threads ``ref.tell`` works, and ``ref.blocking`` waits
    for replies; in the loop's own thread nothing may wait, so ``ref.blocking`` is refused there.
    """


class MailboxFull(CallerError):
    """The mailbox is at its hard limit and its policy is ``raise_full``, or an ask was dropped by the policy."""


class Unhandled(CallerError):
    """The actor has no handler for this type of message."""


class StashFull(CallerError):
    """The stash is at its limit."""


class DeadlockError(CallerError):
    """This ask would close a cycle of actors that wait for each other.

    On one node it was not sent; across nodes it was sent, and is cancelled within a second.

    cycle: the addresses as text, from the asker around to the asker again.
    """

    def __init__(self, cycle: tuple[str, ...]) -> None:
        super().__init__(
            f"this ask closes a cycle of waiting actors: {' -> '.join(cycle)}; "
            "let one of them tell instead of ask, or mark the handler that is asked @handler(reentrant=True)"
        )
        self.cycle = cycle


class ActorError(TrouperError):
    """The fault of the actor that was called, or of the connection to it."""


class ActorStopped(ActorError):
    """The actor has ended, or ended before it answered; a new ref is needed."""


class ActorFailed(ActorError):
    """The actor failed with an error that cannot be raised at the asker as it is."""


class NotAdmitted(ActorError):
    """The admission hook of the actor refused the message before any handler saw it; the text has its reason."""


class StartFailed(ActorError):
    """``__init__`` or ``on_start`` raised; the error is the ``__cause__`` and the name is free again."""


class AskTimeout(ActorError, TimeoutError):
    """No reply before the deadline.  The outcome is unknown: the handler may have run."""


class WrongReply(ActorError, TypeError):
    """A handler returned a value that is not of its message's reply type."""


class RestartsExceeded(ActorError):
    """The children of a supervisor failed more often than its ``intensity`` allows, so it failed itself."""


class LinkedActorFailed(ActorError):
    """An actor that this one is linked to ended abnormally."""


class NotPermitted(ActorError):
    """The node that was sent a message does not permit it to this peer: its identity lacks the role."""


class PeerOverLimit(ActorError):
    """The node that was sent a message refused it: its peers may not cost it more than its ``PeerLimits`` say."""


class WireError(ActorError):
    """A message that cannot be encoded, or was received and cannot be decoded; names the type and the field."""


class NodeUnreachable(ActorError):
    """No node of this name is connected."""


class NodeFailed(ActorError):
    """A failure was escalated to the root supervisor, and the node was shut down."""


class NodeDowned(NodeFailed):
    """The cluster has taken the node down, for the reason that it names, and the node was shut down."""


class Reject(TrouperError):
    """A business "no": raise it in a handler to refuse a message.  The actor goes on, and the asker gets this error."""


class Unavailable(Reject):
    """A refusal for now: the actor is at a limit, or lacks what it needs; the same message may be accepted later."""


class InternalError(TrouperError):
    """A fault of Trouper itself."""
