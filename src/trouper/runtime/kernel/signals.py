"""The system queue of a cell: signals run ahead of all messages.  Also, when a cell is in the run queue.

Laws 1 and 2 of ``cell.py`` are kept here.  These functions are methods of ``Cell``.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from . import lifecycle
from .handler_table import Handle
from .lifecycle import REQUEST, Signal
from .mailbox import Throttle

if TYPE_CHECKING:
    from .cell import Cell
    from .handler_table import HandlerTable

CLOSED: dict[type, Handle] = {}
"""The table of a cell whose messages must not be handled by the fast path."""


def post(cell: Cell, priority: int, signal: Signal, payload: object = None) -> None:
    """Queue a signal; it runs as soon as no handler is at work, by priority, then in the order of posting."""
    if cell.gone:
        return
    if cell.signals is None:
        cell.signals = []
    heappush(cell.signals, (priority, cell.system.next_uid(), signal, payload))
    cell.slow_path = True
    if cell.mail is None:
        cell.mail = cell.open_mail()
        cell.system.dispatcher.schedule(cell)
    elif cell.blocked:
        cell.blocked = False
        cell.system.dispatcher.schedule(cell)


def process_signals(cell: Cell) -> None:
    """Run all signals, then handle one item that the fast path must not handle, if there is one."""
    while not cell.busy:
        if not cell.signals:
            break
        _, _, signal, payload = heappop(cell.signals)
        signal(cell, payload)
    if cell.busy or cell.gone:
        return  # the task reschedules the cell when it is done
    cell.refresh()
    if cell.phase == "live" and not cell.suspended and cell.slow_path:
        _handle_one(cell)
    cell.reschedule()


def _handle_one(cell: Cell) -> None:
    """Handle a ``Down``, or one message of an actor that is observed, limited in rate or draining."""
    if cell.downs:
        cell.received += 1
        cell.step(cell.downs.popleft())
        return
    rate = cell.spec.mailbox.rate_per_s
    if cell.mail and rate is not None:
        if cell.throttle is None:
            cell.throttle = Throttle(rate)
        wait_until = cell.throttle.step(cell.system.loop.time(), len(cell.mail))
        if wait_until is not None:
            cell.system.loop.call_at(wait_until, cell.post, REQUEST, refresh)
            cell.blocked = True
            return
    if cell.drain_left is not None:
        if cell.drain_left == 0 or not cell.mail:
            lifecycle.stop(cell, None)
            return
        cell.drain_left -= 1
    if cell.mail:
        cell.step(cell.mail.popleft())


def refresh(cell: Cell, _: object = None) -> None:
    """Open or close the fast path, according to the state of the cell."""
    plain = (
        cell.phase == "live"
        and not cell.suspended
        and cell.hooks is None
        and cell.drain_left is None
        and cell.spec.mailbox.rate_per_s is None
    )
    cell.table = cell.handler_table.plain if plain else CLOSED
    cell.slow_path = not plain or bool(cell.signals) or bool(cell.downs)


def reschedule(cell: Cell) -> None:
    """After a run: put the cell into the run queue again, mark it ``blocked``, or make it idle."""
    mail = cell.mail
    if not cell.high_water:
        cell.high_water = cell.default_high_water()
    if mail is None or cell.blocked or cell.queued or cell.busy:
        return
    ready = cell.phase == "live" and not cell.suspended
    if cell.signals or (ready and (mail or cell.downs or cell.drain_left is not None)):
        cell.system.dispatcher.schedule(cell)
    elif mail or cell.downs or cell.phase == "starting":
        cell.blocked = True
    else:
        cell.mail = None
        cell.system.dispatcher.put_back(mail)
    if cell.capacity_waiter is not None:
        cell.capacity_waiter.release()


def change_handler_table(cell: Cell, handler_table: HandlerTable) -> None:
    """Use another handler table from the next message on, also in a run that has begun."""
    cell.handler_table = handler_table
    cell.post(REQUEST, refresh)
    cell.table = CLOSED
