"""``BroadcastQueue``: the updates that a node still has to gossip (PURE).

The queue holds one update for each member, the newest; an older one is dropped.  Updates that were sent least often go
first, and of those the ones that reached that count last, so that the newest goes first of all.  After ``limit``
transmissions an update is removed.  After memberlist's ``TransmitLimitedQueue``, kept as one stack for each number of
transmissions, so that filling a packet costs only what the packet holds.
"""

from __future__ import annotations

from .packets import update_bytes
from .records import Accusation, MemberId, Update

MISFITS_MAX = 4
"""Updates that do not fit into the rest of a packet, after which the search for a smaller one ends."""


class BroadcastQueue:
    """The queue of one node.

    limit: how often each update is sent; it changes with the size of the cluster.
    sent: updates that were put into packets so far.
    urgent: whether an accusation was queued that no round of gossip has taken yet.
    """

    __slots__ = ("_entries", "_level", "_level_of", "limit", "sent", "urgent")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sent = 0
        self.urgent = False
        self._entries: list[dict[MemberId, tuple[Update, int]]] = []  # by transmissions: updates with their sizes
        self._level_of: dict[MemberId, int] = {}
        self._level = 0  # no level below this one has entries

    def __len__(self) -> int:
        return len(self._level_of)

    def holds(self, member: MemberId) -> bool:
        """Return whether an update about this member is still to be sent."""
        return member in self._level_of

    def put(self, update: Update) -> None:
        """Queue an update in place of an earlier one about the same member."""
        key = update.id
        before = self._level_of.get(key)
        if before is not None:
            del self._entries[before][key]
        if not self._entries:
            self._entries.append({})
        self._entries[0][key] = (update, update_bytes(update))
        self._level_of[key] = 0
        self._level = 0
        self.urgent = self.urgent or type(update) is Accusation

    def drop(self, member: MemberId) -> None:
        """Remove what is queued about a member."""
        level = self._level_of.pop(member, None)
        if level is not None:
            del self._entries[level][member]

    def take(self, bytes_max: int) -> tuple[Update, ...]:
        """Return the updates for one packet, at most so many bytes; each counts as sent once more."""
        taken: list[tuple[Update, int]] = []
        levels: list[int] = []
        misfits = 0
        entries = self._entries
        level = self._level
        while level < len(entries) and not entries[level]:
            level += 1
        self._level = level
        while level < len(entries):
            stack = entries[level]
            kept: list[tuple[Update, int]] = []
            while stack and bytes_max > 0 and misfits < MISFITS_MAX:
                _, entry = stack.popitem()
                if entry[1] <= bytes_max:
                    bytes_max -= entry[1]
                    taken.append(entry)
                    levels.append(level)
                else:
                    misfits += 1
                    kept.append(entry)
            for entry in reversed(kept):
                stack[entry[0].id] = entry
            if bytes_max <= 0 or misfits >= MISFITS_MAX:
                break
            level += 1
        # Oldest first, so that the newest of each level stays on its top.
        for entry, level in zip(reversed(taken), reversed(levels), strict=True):
            self._move(entry, level + 1)
        self.sent += len(taken)
        return tuple([entry[0] for entry in taken])

    def _move(self, entry: tuple[Update, int], level: int) -> None:
        key = entry[0].id
        if level >= self.limit:
            del self._level_of[key]
            return
        if level == len(self._entries):
            self._entries.append({})
        self._entries[level][key] = entry
        self._level_of[key] = level
