"""Links: two actors that share their fate.  When one ends abnormally, the other fails with ``LinkedActorFailed``.

A link is two watches.  It is not supervision: nobody is restarted by it, but a linked actor that fails is restarted by
its own supervisor as after any failure, and the link is gone with the one that ended.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..kernel.cell import Cell
from ..kernel.errors import LinkedActorFailed
from ..kernel.lifecycle import SUPERVISION, crash
from ..kernel.ref import Down


@dataclass(frozen=True, slots=True)
class LinkWatcher:
    """One direction of a link: it hears of the end of ``other``, and fails ``owner`` by it."""

    owner: Cell
    other: Cell

    def on_down(self, down: Down) -> None:
        """Fail the owner, unless the other one was stopped in order."""
        self.owner.remove_watcher(LinkWatcher(self.other, self.owner))
        if down.reason != "stopped" and self.other.reason != "stopped":
            self.owner.post(SUPERVISION, _fail, down)


def link(one: Cell, two: Cell) -> None:
    """Let each fail when the other ends abnormally; one that has ended so already counts."""
    two.add_watcher(LinkWatcher(one, two))
    if not two.gone:
        one.add_watcher(LinkWatcher(two, one))


def unlink(one: Cell, two: Cell) -> None:
    """Undo ``link``."""
    two.remove_watcher(LinkWatcher(one, two))
    one.remove_watcher(LinkWatcher(two, one))


def _fail(owner: Cell, down: object) -> None:
    if owner.phase == "live":
        crash(owner, LinkedActorFailed(f"{owner.address} is linked to an actor that ended: {down!r}"), None)
