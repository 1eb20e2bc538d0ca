"""``NameCheck``: is a peer whose name another node claims still alive (PURE).

It is asked for a sign of life, and anything that it says is one.  The other node greets again and again, so a doubt is
settled by a later look, and forgotten if none comes.
"""

from __future__ import annotations

from math import inf
from typing import Literal

from .settings import SessionSettings

NameCheckResult = Literal["ask", "asked", "alive", "silent"]


class NameCheck:
    """See the top of the file."""

    __slots__ = ("_after", "_at", "_settings")

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._at, self._after = -inf, -1

    def look(self, received_frames: int, now: float) -> NameCheckResult:
        """Somebody claims the name; so many frames were received from the peer until now."""
        since_s = now - self._at
        if since_s > self._settings.name_check_s + 2 * self._settings.greet_max_s:
            self._at, self._after = now, received_frames
            return "ask"
        if received_frames > self._after:
            return "alive"
        return "silent" if since_s >= self._settings.name_check_s else "asked"
