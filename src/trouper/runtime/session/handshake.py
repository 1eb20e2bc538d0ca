"""``Handshake``: this end's side of the handshake of one link: what it says, how often, and which answers count (PURE).

HELLOs are numbered by ``attempt``; a WELCOME or HELLO that answers one carries its number as ``echo``.  An answer
counts when it echoes an attempt of the present row, which begins anew at each break: so it proves that both directions
have worked since.  A repeated or late HELLO is known by its number, which is not above the last one seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

from .frames import PROTOCOL_MAX, PROTOCOL_MIN, Greeting, encode_body
from .settings import SessionSettings

_TRIES_AT_LONGEST = 60


@dataclass(frozen=True, slots=True)
class LocalNode:
    """What this node says of itself: ``generation`` differs for each life of a node of this name.

    endpoint: where peers reach it.  schemas: the fingerprint, 8 bytes, of each message type by its tag.  extra: opaque.
    """

    node: str
    generation: int
    endpoint: str
    schemas: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    extra: bytes = b""


class Handshake:
    """See the top of the file.

    token: what this end wants to see in the frames to it.  chance: gives random numbers in [0, 1) for the jitter.
    next_at: when the next HELLO is due, in seconds; inf when none is.
    """

    __slots__ = (
        "_chance",
        "_first_attempt",
        "_last",
        "_last_at",
        "_local",
        "_peer_attempt",
        "_settings",
        "_tries",
        "next_at",
        "token",
    )  # fmt: skip

    def __init__(self, local: LocalNode, settings: SessionSettings, token: int, chance: Callable[[], float]) -> None:
        self._local, self._settings, self._chance = local, settings, chance
        self.token = token
        self.next_at = inf
        self._last, self._first_attempt, self._tries, self._peer_attempt = 0, 1, 0, 0
        self._last_at = -inf

    def hello(self, now: float, echo: int, *, tentative: bool) -> bytes:
        """The body of the next HELLO."""
        self._last += 1
        self._tries += 1
        self._last_at = now
        self.next_at = now + self._settings.greet_pause_s(self._tries, self._chance())
        return self._body(self._last, echo, tentative=tentative)

    def welcome(self, echo: int, *, tentative: bool) -> bytes:
        """The body of a WELCOME, which answers the HELLO numbered ``echo``."""
        return self._body(0, echo, tentative=tentative)

    def is_quiet(self, now: float) -> bool:
        """Whether the last HELLO is so long ago that another one may be sent without waiting for its turn."""
        return now >= self._last_at + self._settings.greet_first_s / 2

    def is_answered(self, greeting: Greeting) -> bool:
        """Whether the greeting answers a HELLO of the present row."""
        return self._first_attempt <= greeting.echo <= self._last

    def round_trip_s(self, greeting: Greeting, now: float) -> float | None:
        """How long the answer took, in seconds; None when it is not to the last HELLO."""
        return now - self._last_at if greeting.echo == self._last else None

    def complete(self) -> None:
        """The peer has answered: no HELLO is due, and the answers to those sent so far will not count again."""
        self._first_attempt, self._tries, self.next_at = self._last + 1, 0, inf

    def postpone(self, now: float) -> None:
        """The next HELLO, and all after it in this row, come after the longest pause."""
        self.next_at, self._tries = now + self._settings.greet_max_s, _TRIES_AT_LONGEST

    def is_repeated(self, greeting: Greeting) -> bool:
        """Whether this HELLO, or a later one, came in before; a WELCOME never is."""
        return 0 < greeting.attempt <= self._peer_attempt

    def note_attempt(self, greeting: Greeting) -> None:
        """Take note of the number of a HELLO."""
        self._peer_attempt = greeting.attempt

    def question(self) -> int:
        """A number for a question other than a HELLO, counted with the HELLOs."""
        self._last += 1
        return self._last

    def is_stale(self, question: int) -> bool:
        """Whether this question of the peer, or a later one, or a later HELLO, was heard before."""
        return question <= self._peer_attempt

    def note_question(self, question: int) -> None:
        """Take note of the number of a question: it was answered, and means nothing when it comes again."""
        self._peer_attempt = question

    def reset_peer(self) -> None:
        """Somebody else greets than before: their HELLOs are numbered anew."""
        self._peer_attempt = 0

    def _body(self, attempt: int, echo: int, *, tentative: bool) -> bytes:
        local = self._local
        return encode_body(
            Greeting(
                local.node,
                local.generation,
                local.endpoint,
                self.token,
                self._settings.frame_bytes_max,
                protocol_min=PROTOCOL_MIN,
                protocol_max=PROTOCOL_MAX,
                attempt=attempt,
                echo=echo,
                tentative=tentative,
                schemas=local.schemas,
                extra=local.extra,
            )
        )
