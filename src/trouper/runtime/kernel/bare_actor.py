"""Actors: user state plus handlers, one message at a time.

``BareActor`` is what the kernel itself needs; ``trouper.Actor`` adds timers, stash, links and pipes.
An actor class that cannot be used is refused when the class is made.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from typing import TYPE_CHECKING, ClassVar, cast

from .errors import CallerError, InvalidOption
from .handler_table import HandlerEntry, HandlerTable
from .lifecycle import STOP, stop_self
from .mailbox import Mailbox
from .ref import ActorRef, DeadLetter, Down
from .supervision import OneForOne, Strategy

if TYPE_CHECKING:
    from .cell import Cell

Hooked = Awaitable[None] | None


class BareActor:
    """Base of all actors.  Subclass ``trouper.Actor`` instead.

    Class attributes: ``supervision``, the strategy for this actor's children; ``mailbox``, the bounds and order of its
    queue; ``keep_children``, True keeps the children alive while this actor restarts; ``resume``, the errors after
    which it goes on with the same instance (the message is a dead letter, and an asker gets the error, all the same);
    ``exported``, False keeps other nodes from it: its ref cannot be sent to them, nor be found by them.  None, the
    default, is False for the actors of the runtime and its extensions, and True for all others.
