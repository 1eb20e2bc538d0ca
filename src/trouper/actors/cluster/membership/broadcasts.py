"""``BroadcastQueue``: the news that a node still has to spread (PURE).

Of each member there is one piece, the newest; an older one is forgotten.  What was sent least often goes first, and of
those what came to that count last, so that the newest goes first of all; after the retransmit limit a piece is done.
After memberlist's ``TransmitLimitedQueue``, kept as one pile for each number of transmissions, so that taking a packet
costs only what the packet holds.
"""

from __future__ import annotations

from .packets import update_bytes
from .records import Accusation, Update

MISFITS_MAX = 4
"""Pieces that do not fit in what is left of a packet, after which no smaller one is looked for."""


class BroadcastQueue:
    """The queue of one node.

    limit: how often each piece is sent; it is set anew as the cluster grows.  urgent: whether an accusation has come in
    that no round of gossip has taken yet.
    """

    __slots__ = ("_level", "_piles", "_where", "limit", "sent", "urgent")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sent = 0
        self.urgent = False
        self._piles: list[dict[str, tuple[Update, int]]] = []
        self._where: dict[str, int] = {}
        self._level = 0

    def __len__(self) -> int:
        return len(self._where)

    def holds(self, name: str) -> bool:
        """Whether there is news of this member still to be sent."""
        return name in self._where

    def put(self, update: Update) -> None:
        """Queue news of a member in place of what is queued of it."""
        name = update.name
        before = self._where.get(name)
        if before is not None:
            del self._piles[before][name]
        if not self._piles:
            self._piles.append({})
        self._piles[0][name] = (update, update_bytes(update))
        self._where[name] = 0
        self._level = 0
        self.urgent = self.urgent or type(update) is Accusation

    def drop(self, name: str) -> None:
        """Forget what is queued of a member."""
        at = self._where.pop(name, None)
        if at is not None:
            del self._piles[at][name]

    def take(self, room_bytes: int) -> tuple[Update, ...]:
        """Take what fits into so many bytes, for one packet; each piece counts as sent once more."""
        taken: list[tuple[Update, int]] = []
        places: list[int] = []
        misfits = 0
        piles = self._piles
        level = self._level
        while level < len(piles) and not piles[level]:
            level += 1
        self._level = level
        while level < len(piles):
            pile = piles[level]
            kept: list[tuple[Update, int]] = []
            while pile and room_bytes > 0 and misfits < MISFITS_MAX:
                _, entry = pile.popitem()
                if entry[1] <= room_bytes:
                    room_bytes -= entry[1]
                    taken.append(entry)
                    places.append(level)
                else:
                    misfits += 1
                    kept.append(entry)
            for entry in reversed(kept):
                pile[entry[0].name] = entry
            if room_bytes <= 0 or misfits >= MISFITS_MAX:
                break
            level += 1
        # Oldest first, so that the newest of each pile stays on its top.
        for entry, place in zip(reversed(taken), reversed(places), strict=True):
            self._move(entry, place + 1)
        self.sent += len(taken)
        return tuple([entry[0] for entry in taken])

    def _move(self, entry: tuple[Update, int], level: int) -> None:
        name = entry[0].name
        if level >= self.limit:
            del self._where[name]
            return
        if level == len(self._piles):
            self._piles.append({})
        self._piles[level][name] = entry
        self._where[name] = level
