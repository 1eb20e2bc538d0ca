"""Owning: an actor that was started here for somebody on another node ends when its owner ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..kernel.cell import Cell

if TYPE_CHECKING:
    from ..kernel.ref import ActorRef, Down


@dataclass(frozen=True, slots=True)
class _Owner:
    """Hears of the owner's end, and stops the owned."""

    owner: Cell
    owned: Cell

    def on_down(self, down: Down) -> None:  # noqa: ARG002  however the owner ended
        self.owned.remove_watcher(_Owned(self.owner, self.owned))
        self.owned.request_stop()


@dataclass(frozen=True, slots=True)
class _Owned:
    """Hears of the end of the owned: its owner need not be watched any more."""

    owner: Cell
    owned: Cell

    def on_down(self, down: Down) -> None:  # noqa: ARG002  however it ended
        self.owner.remove_watcher(_Owner(self.owner, self.owned))


def stop_with_owner(owned: ActorRef, owner: ActorRef) -> None:
    """Stop one actor when the other has ended; at once when it has ended already, or its node is lost."""
    one, two = owned._cell, owner._cell  # noqa: SLF001  a ref is the runtime's own
    one.add_watcher(_Owned(two, one))
    two.add_watcher(_Owner(two, one))
