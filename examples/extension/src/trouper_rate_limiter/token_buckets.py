"""Token buckets: how many requests of a key are let through (PURE).

A bucket holds ``burst`` tokens at most, and gets ``rate_per_s`` of them each second.  A bucket that is full again is
forgotten, so that only keys in use take memory.
"""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """The limits of each key.

    rate_per_s: tokens a second.  burst: tokens that can be taken at once.  keys_max: keys in use on one node; those
    beyond it are refused.
    Raises ``ValueError`` for a limit that is not above 0.
    """

    rate_per_s: float = 10.0
    burst: float = 10.0
    keys_max: int = 100_000

    def __post_init__(self) -> None:
        if not (self.rate_per_s > 0 and self.burst > 0 and self.keys_max > 0):
            raise ValueError(f"{self.rate_per_s=}, {self.burst=} and {self.keys_max=} must be above 0")


class TokenBuckets:
    """The buckets of all keys in use."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._full_at: dict[str, float] = {}

    def take(self, key: str, tokens: float, now: float) -> bool:
        """Take tokens of a key at ``now``, in seconds; False, and nothing is taken, when there are not enough."""
        limits = self._limits
        full_at = max(self._full_at.get(key, now), now) + tokens / limits.rate_per_s
        if (full_at - now) * limits.rate_per_s > limits.burst + 1e-9:
            return False
        if key not in self._full_at and len(self._full_at) >= limits.keys_max:
            self._forget_full(now)
            if len(self._full_at) >= limits.keys_max:
                return False
        self._full_at[key] = full_at
        return True

    @property
    def keys(self) -> int:
        """How many keys have a bucket."""
        return len(self._full_at)

    def _forget_full(self, now: float) -> None:
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
