"""``Generations``: which generation of each node has its name here, and which have lost it (PURE).

A generation has the name of its node from its first session on, until a session with another generation begins, which
the rules of ``sessions`` allow only when the earlier one was silent.  The earlier one is over then, and stays over for
``tombstone_s``, although its process may still run: its actors are taken for dead, and it is refused.  Numbers of
generations are compared for equality only.
"""

from __future__ import annotations

TOMBSTONE_S = 86_400.0
"""Seconds that the end of a generation is remembered."""
TOMBSTONES_MAX = 10_000
"""The most ends, and the most names with their generation, that are remembered; the oldest are forgotten."""


class Generations:
    """The generations of other nodes, as this node knows them.

    tombstone_s, tombstones_max: as the constants of this file, which are the defaults.
    """

    __slots__ = ("_ended_at", "_holders", "_tombstone_s", "_tombstones_max")

    def __init__(self, tombstone_s: float = TOMBSTONE_S, tombstones_max: int = TOMBSTONES_MAX) -> None:
        self._tombstone_s, self._tombstones_max = tombstone_s, tombstones_max
        self._holders: dict[str, int] = {}
        self._ended_at: dict[tuple[str, int], float] = {}

    def begin(self, name: str, generation: int, now: float) -> None:
        """A session with this generation has begun: it has the name, and the one that had it before is over.

        One that is over itself does not get the name back.
        """
        before = self._holders.get(name)
        if before == generation or self.is_over(name, generation, now):
            return
        if before is not None:
            self._ended_at.pop((name, before), None)
            self._ended_at[name, before] = now
        self._holders.pop(name, None)
        self._holders[name] = generation
        self._forget(now)

    def is_over(self, name: str, generation: int, now: float) -> bool:
        """Whether this generation has lost the name to another one, within the last ``tombstone_s``."""
        ended_at = self._ended_at.get((name, generation))
        return ended_at is not None and now < ended_at + self._tombstone_s

    def _forget(self, now: float) -> None:
        """Drop what is too old or too much; both tables are in the order of time."""
        while self._ended_at:
            key, ended_at = next(iter(self._ended_at.items()))
            if now < ended_at + self._tombstone_s and len(self._ended_at) <= self._tombstones_max:
                break
            del self._ended_at[key]
        while len(self._holders) > self._tombstones_max:
            del self._holders[next(iter(self._holders))]
