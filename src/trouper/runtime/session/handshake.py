"""``Handshake``: this end's half of the handshake of one session: HELLOs, their pace, and which answers count (PURE).

HELLOs are numbered by ``attempt``; a WELCOME or HELLO that answers one carries its number as ``echo``.  An answer
counts only when it echoes an attempt of the present handshake, which begins anew at each break: such an answer proves
that both directions have worked since the break.  A HELLO that is repeated or late has a number that is not above the
last one received.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from .frames import PROTOCOL_MAX, PROTOCOL_MIN, Greeting, encode_body
from .settings import SessionSettings

_ATTEMPTS_AT_LONGEST_PAUSE = 60


@dataclass(frozen=True, slots=True)
class LocalNode:
    """What this node says of itself in a handshake.

    node: its name.  generation: tells this run of it from all others.  endpoint: where peers reach it.
    others: further endpoints; a peer that is reached by the scheme of one of these is told that one.
    """

    node: str
    generation: int
    endpoint: str
    others: tuple[str, ...] = ()

    def endpoint_for(self, peer_endpoint: str) -> str:
        """Return the endpoint to tell a peer: the first one with the scheme of the peer's own, else the first."""
        scheme = peer_endpoint.partition("://")[0] + "://"
        return next((each for each in (self.endpoint, *self.others) if each.startswith(scheme)), self.endpoint)


class Handshake:
    """The state of one end's half of a handshake.

    token: what this end wants to see as ``session`` in the frames to it.
    chance: returns a random number in [0, 1), for the jitter.  endpoint: of the peer.
    next_at: when the next HELLO is due, in seconds; inf when none is.
    """

    __slots__ = (
        "_attempts", "_chance", "_endpoint", "_first_attempt", "_last", "_last_at", "_local", "_peer_attempt",
        "_settings", "next_at", "token",
    )  # fmt: skip

    def __init__(
        self, local: LocalNode, settings: SessionSettings, token: int, chance: Callable[[], float], endpoint: str
    ) -> None:
        self._local, self._settings, self._chance = local, settings, chance
        self._endpoint = local.endpoint_for(endpoint)
        self.token = token
        self.next_at = inf
        self._last, self._first_attempt, self._attempts, self._peer_attempt = 0, 1, 0, 0
        self._last_at = -inf

    def hello(self, now: float, echo: int, *, tentative: bool) -> bytes:
        """Return the body of the next HELLO, and set when the one after it is due.

        echo: the attempt of the HELLO that this one answers; 0 when it answers none.
        """
        self._last += 1
        self._attempts += 1
        self._last_at = now
        self.next_at = now + self._settings.greet_pause_s(self._attempts, self._chance())
        return self._body(self._last, echo, tentative=tentative)

    def welcome(self, echo: int, *, tentative: bool) -> bytes:
        """Return the body of a WELCOME that answers the HELLO numbered ``echo``."""
        return self._body(0, echo, tentative=tentative)

    def is_quiet(self, now: float) -> bool:
        """Whether the last HELLO is so long ago that another one may be sent before it is due."""
        return now >= self._last_at + self._settings.greet_first_s / 2

    def is_answered(self, greeting: Greeting) -> bool:
        """Whether the greeting answers a HELLO of the present handshake."""
        return self._first_attempt <= greeting.echo <= self._last

    def complete(self) -> None:
        """End the present handshake: no HELLO is due, and answers to those sent so far do not count any more."""
        self._first_attempt, self._attempts, self.next_at = self._last + 1, 0, inf

    def postpone(self, now: float) -> None:
        """Send the next HELLO, and all later ones of this handshake, after the longest pause."""
        self.next_at, self._attempts = now + self._settings.greet_max_s, _ATTEMPTS_AT_LONGEST_PAUSE

    def is_repeated(self, greeting: Greeting) -> bool:
        """Whether this HELLO, or a later one, was received before; always False for a WELCOME."""
        return 0 < greeting.attempt <= self._peer_attempt

    def note_attempt(self, number: int) -> None:
        """Record the number of the peer's latest HELLO or question; the same or a lower one is stale from now on."""
        self._peer_attempt = number

    def question(self) -> int:
        """Return a number for an IDLE question, counted with the HELLOs."""
        self._last += 1
        return self._last

    def is_stale(self, question: int) -> bool:
        """Whether this question of the peer, or a later one, or a later HELLO, was received before."""
        return question <= self._peer_attempt

    def reset_peer(self) -> None:
        """Forget the peer's numbers: another peer greets, and counts from the start."""
        self._peer_attempt = 0

    def _body(self, attempt: int, echo: int, *, tentative: bool) -> bytes:
        local = self._local
        return encode_body(
            Greeting(
                local.node,
                local.generation,
                self._endpoint,
                self.token,
                self._settings.frame_bytes_max,
                protocol_min=PROTOCOL_MIN,
                protocol_max=PROTOCOL_MAX,
                attempt=attempt,
                echo=echo,
                tentative=tentative,
            )
        )
