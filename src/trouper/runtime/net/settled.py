"""Which messages of one peer are settled here: handled, or a dead letter; the peer is told how many (law 11).

The peer counts what it has told to actors of this node.  When this node is killed, what was not reported as settled is
what the peer does not know the outcome of.  An ask is settled by its reply, and is not counted here.

Laws of this file:
1. The count never exceeds the number of messages that are settled, and never falls.
2. Once the actors that the peer has told something have nothing left to do, it is that number.
3. Nothing is paid per message but one addition; a count costs a look at each actor with unsettled messages.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from ..kernel.cell import Cell

REPORT_S = 0.05
"""Seconds between a message and the report that it is settled, at least."""
REPORT_S_MAX = 1.0
"""Seconds between two counts while no message is settled, at most."""
CELL_S = 20e-6
"""Seconds that a count is put off for each actor that is looked at, so that it takes little of the loop's time."""


class SettledCount:
    """Counts the settled messages of one peer, and reports the number when it has risen.

    loop: has the time.  report: called with the number of messages settled since the session began.
    """

    __slots__ = ("_loop", "_marks", "_pause_s", "_report", "_reported", "count", "timer", "unsettled")

    def __init__(self, loop: asyncio.AbstractEventLoop, report: Callable[[int], None]) -> None:
        self._loop, self._report = loop, report
        self.unsettled: defaultdict[Cell, int] = defaultdict(int)
        """Messages that were given to each actor and are not known to be settled; the peer's receiver adds to it."""
        self.count = 0
        """Messages that are settled; the receiver adds those that no actor gets."""
        self._marks: dict[Cell, tuple[int, int]] = {}
        """What was unsettled at each actor at the last count, and how many messages it had received by then."""
        self._reported = 0
        self.timer: asyncio.TimerHandle | None = None
        """None while nothing is to be counted."""
        self._pause_s = REPORT_S

    def received(self) -> None:
        """Take note that messages may have come, while ``timer`` is None."""
        if self.unsettled or self.count != self._reported:
            self._pause_s = REPORT_S
            self._set_timer()

    def report_now(self) -> None:
        """Count, and report the number if it has risen; goes on while messages are unsettled."""
        self.stop()
        before = self._reported
        self._update()
        if self.count != before:
            self._reported, self._pause_s = self.count, REPORT_S
            self._report(self.count)
        else:
            self._pause_s = min(REPORT_S_MAX, 2 * self._pause_s)
        if self.unsettled:
            self._set_timer()

    def stop(self) -> None:
        """Count no more until the next message."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _set_timer(self) -> None:
        self.timer = self._loop.call_later(self._pause_s + CELL_S * len(self.unsettled), self.report_now)

    def _update(self) -> None:
        marks: dict[Cell, tuple[int, int]] = {}
        for cell, count in list(self.unsettled.items()):
            outstanding = cell.outstanding
            left = min(count, outstanding)
            known, mark = self._marks.get(cell, (0, 0))
            if left and known >= count and mark <= cell.received - outstanding and _is_in_order(cell):
                left = 0  # all that it has left to do came after the messages of this peer
            self.count += count - left
            if left:
                self.unsettled[cell] = left
                marks[cell] = (left, mark if known >= count else cell.received)
            else:
                del self.unsettled[cell]
        self._marks = marks


def _is_in_order(cell: Cell) -> bool:
    """Whether an actor handles its messages in the order in which it has received them, as far as is known."""
    if cell.reentrant_invocations or any(resource.retained for resource in cell.resources or ()):
        return False
    return cell.mail is None or isinstance(cell.mail, deque)
