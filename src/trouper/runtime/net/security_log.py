"""``SecurityLog``: what peers were refused, counted by identity, published as events, logged at a limited rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..kernel.message import Message

if TYPE_CHECKING:
    from ..session.identity import Identity

PAUSE_S: Final = 10.0
"""One line is logged in this time for an identity; it says how many were omitted."""
IDENTITIES_MAX: Final = 1_000
"""Identities that are counted one by one; all further ones are counted together as ``OTHERS``."""
KINDS_MAX: Final = 100
"""Kinds of refusals that are counted one by one for an identity."""
OTHERS: Final = "others"


class PeerRefused(Message[None]):
    """A peer was refused what it asked for; published by ``node.events``.

    node: the name that the peer gave itself.  identity: the name of its key, the beginning of its key, or how it came.
    what: the message or the act that was refused.  reason: a sentence.
    """

    node: str
    identity: str
    what: str
    reason: str


class SecurityLog:
    """Takes note of refusals.

    problem: logs a sentence.  now: the time of the loop, in seconds.
    on_refused: called with each refusal.
    """

    def __init__(self, problem: Callable[[str], None], now: Callable[[], float]) -> None:
        self._problem, self._now = problem, now
        self._counts: dict[str, Counter[str]] = {}
        self._silent_until: dict[str, float] = {}
        self._omitted: Counter[str] = Counter()
        self.on_refused: list[Callable[[PeerRefused], None]] = []

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """How often each identity was refused since the node started, by what it was refused."""
        return {who: dict(kinds) for who, kinds in self._counts.items()}

    def note(self, identity: Identity, node: str, what: str, reason: str) -> None:
        """Count a refusal, tell the listeners of it, and log it unless one of this identity was logged just before.

        node: the name that the peer gave itself.  what: a message class or an act.  reason: a sentence.
        """
        who = str(identity)
        if who not in self._counts and len(self._counts) >= IDENTITIES_MAX:
            who = OTHERS
        kinds = self._counts.setdefault(who, Counter())
        kinds[what if what in kinds or len(kinds) < KINDS_MAX else OTHERS] += 1
        if self.on_refused:
            refused = PeerRefused(node, str(identity), what, reason)
            for listener in list(self.on_refused):
                listener(refused)
        now = self._now()
        if now < self._silent_until.get(who, now):
            self._omitted[who] += 1
            return
        self._silent_until[who] = now + PAUSE_S
        omitted = self._omitted.pop(who, 0)
        more = f" ({omitted} more refusals of this identity were not logged)" if omitted else ""
        self._problem(f"node {node} was refused: {reason}{more}")
