"""Passing on: what is being handled goes to another actor, or into the stash, with the reply that is owed."""

from __future__ import annotations

from typing import cast

from .kernel.ask import Ask, content, current_turn, is_ask
from .kernel.cell import Cell
from .kernel.errors import CallerError
from .kernel.messages import Message


def take_over(cell: Cell, message: Message[object] | None) -> object:
    """Take what is being handled away from its handler; whoever gets it owes the reply, if one is owed.

    message: what to put in its place; None keeps it.
    """
    dispatcher = cell.system.dispatcher
    running = dispatcher.running is cell
    turn = cell.turn if running else current_turn.get()
    if turn is not None and turn.cell is cell:
        item = turn.item
        if is_ask(item) and turn.owes:
            turn.owes = False
            item.message = message or item.message
            return item
        return message or content(item)
    asked = dispatcher.asked if running else None
    if asked is not None and not is_ask(asked):
        dispatcher.asked = Ask(message or cast("Message[object]", asked), cell, cell.system.ask_timeout_s, None)
        return dispatcher.asked
    if message is None:
        raise CallerError(f"{cell.address}: the runtime keeps no message that was told; pass it as an argument")
    return message


def forward(cell: Cell, target: Cell, message: Message[object] | None) -> None:
    """Pass what is being handled on, with the reply that is owed."""
    item = take_over(cell, message)
    if is_ask(item):
        item.target = target
    target.accept(item)
