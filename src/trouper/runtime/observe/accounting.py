"""Accounting: sums up the outcome of every message sent on a node (law 11).

Cells count received and handled messages, the system counts dead letters; this file adds them up.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..kernel.system import System


@dataclass(frozen=True, slots=True)
class Accounting:
    """The outcome of all messages sent so far (law 11); ``sent`` is the sum of the other fields.

    handled, stashed, dead (dead letters), in_flight (queued or being handled): messages.  What another thread has told
    is counted once the loop has taken it.
    """

    sent: int
    handled: int
    stashed: int
    dead: int
    in_flight: int

    @property
    def missing(self) -> int:
        """Messages unaccounted for; anything but 0 is a bug."""
        return self.sent - self.handled - self.stashed - self.dead - self.in_flight


def account(system: System) -> Accounting:
    """Return the sums of a node; they are exact when no plain handler is running."""
    sent, handled, stashed, in_flight = system.received_by_gone, system.handled_by_gone, 0, 0
    for cell in system.cells():
        sent += cell.received
        handled += cell.handled
        retained = sum(resource.retained for resource in cell.resources or ())
        stashed += retained
        in_flight += cell.outstanding - retained
    return Accounting(sent, handled, stashed, system.dead_letters.total(), in_flight)
