"""``ProbeSchedule``: which member a node probes next, and which step its probe has reached (PURE).

The order of SWIM (section 4.3): round robin through a shuffled list, shuffled anew after each pass, so that every
member is probed once in a pass; a newcomer is put at a random place.  A probe has three steps: a ping; after its
time-out the indirect pings and the ping by stream; at the end of the interval, the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Literal

URGENT_MAX = 8
"""The most members that wait to be probed out of turn."""


class ProbeSchedule:
    """The list of one node, and its one probe.

    stage: ``idle`` between probes, ``direct`` after the ping, ``indirect`` after the indirect pings.
    wake_at: when the next step is due.  ends_at: when the probe's interval ends.  target, sequence: of the probe.
    nacks_due, nacks: how many helpers were asked to nack, and how many have.
    """

    __slots__ = (
        "_chance", "_listed", "_order", "_place", "_urgent", "ends_at", "nacks", "nacks_due", "sequence", "stage",
        "target", "wake_at",
    )  # fmt: skip

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._order: list[str] = []
        self._listed: set[str] = set()
        self._place = 0
        self._urgent: dict[str, None] = {}
        self.stage: Literal["idle", "direct", "indirect"] = "idle"
        self.target = ""
        self.sequence = self.nacks = self.nacks_due = 0
        self.wake_at = self.ends_at = inf

    def insert(self, name: str) -> None:
        """Put a member at a random place of the list, unless it is in the list already."""
        if name in self._listed:
            return
        self._listed.add(name)
        order = self._order
        place = int(self._chance() * (len(order) + 1))
        order.append(name)
        order[place], order[-1] = order[-1], order[place]

    def probe_soon(self, name: str) -> None:
        """Probe this member out of turn; ignored while ``URGENT_MAX`` members wait for that."""
        if len(self._urgent) < URGENT_MAX:
            self._urgent[name] = None

    def next_target(self, wanted: Callable[[str], bool | None]) -> str | None:
        """Return the member to probe next; None when there is none.

        wanted: returns True for a member to probe, False for one to skip, None for one to drop from the list.
        """
        while self._urgent:
            name = next(iter(self._urgent))
            del self._urgent[name]
            if wanted(name):
                return name
        for _ in range(len(self._order) + 1):
            if self._place >= len(self._order):
                self._begin_pass(wanted)
                if not self._order:
                    return None
            name = self._order[self._place]
            self._place += 1
            if wanted(name):
                return name
        return None

    def pick(self) -> str | None:
        """Return a random name of the list, perhaps of a member that is gone; None when the list is empty."""
        order = self._order
        return order[int(self._chance() * len(order))] if order else None

    def begin(self, target: str, sequence: int, now: float, timeout_s: float, interval_s: float) -> None:
        """Start a probe: its ping is sent now."""
        self.target, self.sequence, self.stage = target, sequence, "direct"
        self.nacks = self.nacks_due = 0
        self.wake_at, self.ends_at = now + timeout_s, now + interval_s

    def go_indirect(self, nacks_due: int) -> None:
        """Go on to the indirect step.  nacks_due: how many helpers are expected to nack."""
        self.stage, self.nacks_due, self.wake_at = "indirect", nacks_due, self.ends_at

    def acked(self, sequence: int) -> bool:
        """End the probe if the answer is for it, and return whether it was."""
        if self.stage == "idle" or sequence != self.sequence:
            return False
        self.rest()
        return True

    def nacked(self, sequence: int) -> None:
        """Count a helper's nack."""
        if self.stage == "indirect" and sequence == self.sequence:
            self.nacks += 1

    def rest(self, until: float | None = None) -> None:
        """Run no probe until the interval is over, or until the time given."""
        self.stage = "idle"
        if until is not None:
            self.ends_at = until
        self.wake_at = self.ends_at

    def _begin_pass(self, wanted: Callable[[str], bool | None]) -> None:
        order = [name for name in self._order if wanted(name) is not None]
        shuffle(order, self._chance)
        self._order, self._listed, self._place = order, set(order), 0


def shuffle(items: list[str], chance: Callable[[], float]) -> None:
    """Put a list in random order (Fisher and Yates)."""
    for last in range(len(items) - 1, 0, -1):
        other = int(chance() * (last + 1))
        items[last], items[other] = items[other], items[last]


def sample(count: int, draws: int, draw: Callable[[], str | None], fits: Callable[[str], bool]) -> Sequence[str]:
    """Return up to ``count`` different names that fit, from ``draws`` draws; perhaps fewer (memberlist: 3 N draws)."""
    found: list[str] = []
    for _ in range(draws):
        name = draw()
        if name is not None and name not in found and fits(name):
            found.append(name)
            if len(found) == count:
                break
    return found
