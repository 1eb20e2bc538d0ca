"""Forwarding: the message being handled goes to another actor or into the stash, together with the reply it is owed."""

from __future__ import annotations

from typing import cast

from ..kernel.ask import Ask, Envelope, ToldWithHeaders, content, current_invocation, is_ask, open_ask
from ..kernel.cell import Cell
from ..kernel.deadlock import check_cycle
from ..kernel.errors import CallerError, DeadlockError
from ..kernel.message import Message
from ..kernel.ref import ActorRef


def detach_reply(cell: Cell, message: Message[object] | None, target: Cell) -> object:
    """Detach the mailbox item being handled from its handler and return it, to be given to ``target``.

    cell: the actor that handles it.  message: replaces the item's message; None keeps it.  For an ask the item is the
    ``Ask``, which ``target`` then has to answer; for a told message it is the message.  All its headers are kept.
    Raises ``CallerError`` for None when the message was told.
    """
    dispatcher = cell.system.dispatcher
    running = dispatcher.running is cell
    asked = dispatcher.inline_ask if running else None
    if asked is not None and not is_ask(asked):
        asked_for = message or cast("Message[object]", asked)
        try:
            dispatcher.inline_ask = open_ask(asked_for, target, dispatcher.inline_timeout_s, dispatcher.asker)
        except DeadlockError as error:
            dispatcher.inline_ask = refused = Ask(asked_for, target, 0.0, None, None)
            refused.refuse(error)
        return dispatcher.inline_ask
    invocation = cell.invocation if running else current_invocation.get()
    if invocation is None or invocation.cell is not cell or invocation.finished:
        if message is None:
            raise CallerError(f"{cell.address}: the runtime does not keep a told message; pass it as an argument")
        return message
    item = invocation.item
    headers = item.headers if isinstance(item, Envelope) else None
    if not is_ask(item) or not invocation.reply_owed:
        told = message or content(item)
        return told if headers is None else ToldWithHeaders(cast("Message[object]", told), headers)
    # What becomes of this handler is told of the message it was given.
    invocation.item = item.message if headers is None else ToldWithHeaders(item.message, headers)
    invocation.reply_owed = False
    item.message = message or item.message
    item.redirect(target)
    return item


def forward(cell: Cell, target: Cell, message: Message[object] | None) -> None:
    """Send the item being handled by ``cell`` on to ``target``, see ``Actor.forward``.

    An asker that would thereby wait for itself gets ``DeadlockError``.
    """
    item = detach_reply(cell, message, target)
    if is_ask(item) and item.asker is not None and not target.admits_reentry(type(item.message)):
        try:
            check_cycle(item.asker, target)
        except DeadlockError as error:
            item.refuse(error)
    if type(target.ref) is not ActorRef:
        item = target.ref._copied(item)  # noqa: SLF001  a ref is the runtime's own
    if not is_ask(item) or not item.done():
        target.accept(item)
