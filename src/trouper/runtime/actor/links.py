"""Links (as in OTP): when one of two linked actors ends abnormally, the other fails with ``LinkedActorFailed``.

A link is two watches.  It does not supervise: an actor that fails by a link is restarted by its own supervisor, as
after any failure.  A link ends with either actor.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..kernel.cell import Cell
from ..kernel.errors import LinkedActorFailed
from ..kernel.lifecycle import SUPERVISION, crash
from ..kernel.ref import Down


@dataclass(frozen=True, slots=True)
class LinkWatcher:
    """One direction of a link: watches ``other`` and fails ``owner`` when ``other`` ends abnormally."""

    owner: Cell
    other: Cell

    def on_down(self, down: Down) -> None:
        """Fail the owner, unless the other actor was stopped."""
        self.owner.remove_watcher(LinkWatcher(self.other, self.owner))
        if down.reason != "stopped" and self.other.reason != "stopped":
            self.owner.post(SUPERVISION, _fail, down)


def link(one: Cell, two: Cell) -> None:
    """Link two actors; one that has ended abnormally already fails the other."""
    two.add_watcher(LinkWatcher(one, two))
    if not two.gone:
        one.add_watcher(LinkWatcher(two, one))


def unlink(one: Cell, two: Cell) -> None:
    """Remove the link of two actors, if there is one."""
    two.remove_watcher(LinkWatcher(one, two))
    one.remove_watcher(LinkWatcher(two, one))


def _fail(owner: Cell, down: object) -> None:
    if owner.phase == "live":
        crash(owner, LinkedActorFailed(f"{owner.address} is linked to an actor that ended: {down!r}"), None)
