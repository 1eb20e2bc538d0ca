"""``SessionSettings``: every limit and every time of a session between two nodes, by name (PURE)."""

from __future__ import annotations

from dataclasses import dataclass

from ..kernel.errors import InvalidOption
from .frames import FRAME_BYTES_LEAST


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a session allows and how long it waits; the two ends may differ.  Seconds are the loop's.

    frame_bytes_max: of one frame, header included, that this node takes; a HELLO tells the peer.
    window_bytes: of DATA bodies outside the control stream that the peer may send ahead of what this node has received,
        and that this node keeps for a peer that has not acknowledged them.
    window_frames: DATA frames that this node keeps unacknowledged at most; the control stream may go beyond.
    ack_frames, ack_bytes: received since the last acknowledgement, that make the next one due at once.
    ack_delay_s: how long an acknowledgement waits for a frame that goes to the peer anyway.
    probe_after_s: a DATA frame that is unacknowledged for so long makes a PING, which shows the peer what was lost;
        doubled each time, up to ``ping_after_s``.
    ping_after_s: a peer that sent nothing for so long is sent a PING.
    peer_timeout_s: a peer that sent nothing for so long is out of reach, and is greeted again.
    greet_first_s, greet_max_s, jitter: the pause after the first HELLO of a handshake, doubled up to the largest,
        times 1 +- jitter.
    give_up_s: a peer that is out of reach for so long is lost, with all that it had not acknowledged.
    name_check_s: a connected peer whose name another node claims has so long to show that it is alive.
    linger_s: how long a goodbye waits for the peer to acknowledge the rest.
    peers_max: nodes that have a session with this one, and endpoints dialled; a HELLO from one more is refused.
    sessions_max: sessions that are up; above it those that are not in use are closed, the least recently used first.
        None for as many as ``peers_max``.
    idle_after_s: a session that is not in use, and has carried no body for so long, is closed; None for never.
    """

    frame_bytes_max: int = 1_048_576
    window_bytes: int = 8_388_608
    window_frames: int = 10_000
    ack_frames: int = 32
    ack_bytes: int = 1_048_576
    ack_delay_s: float = 0.02
    probe_after_s: float = 0.5
    ping_after_s: float = 2.5
    peer_timeout_s: float = 10.0
    greet_first_s: float = 0.1
    greet_max_s: float = 5.0
    jitter: float = 0.2
    give_up_s: float = 20.0
    name_check_s: float = 1.0
    linger_s: float = 1.0
    peers_max: int = 1_000
    sessions_max: int | None = None
    idle_after_s: float | None = None

    def __post_init__(self) -> None:
        if not FRAME_BYTES_LEAST <= self.frame_bytes_max < 2**31:
            limits = f"{FRAME_BYTES_LEAST} or more and below 2**31"
            raise InvalidOption(f"frame_bytes_max={self.frame_bytes_max} must be {limits}")
        if self.window_bytes < self.frame_bytes_max:
            window = f"window_bytes={self.window_bytes}"
            raise InvalidOption(f"{window} must hold a frame: frame_bytes_max={self.frame_bytes_max} or more")
        if min(self.window_frames, self.ack_frames, self.ack_bytes, self.peers_max) < 1:
            raise InvalidOption(f"{self}: window_frames, ack_frames, ack_bytes and peers_max must be 1 or more")
        if self.ack_bytes > self.window_bytes // 2 or self.ack_frames > self.window_frames:
            # Otherwise the peer's window would be full, and the peer idle, until the timer of the acknowledgement.
            raise InvalidOption(f"{self}: ack_bytes must be half of window_bytes or less, ack_frames <= window_frames")
        if not (0 < self.greet_first_s <= self.greet_max_s and 0 <= self.jitter < 1):
            raise InvalidOption(f"{self}: wants 0 < greet_first_s <= greet_max_s and 0 <= jitter < 1")
        if self.sessions_max is not None and self.sessions_max < 0:
            raise InvalidOption(f"links_max={self.sessions_max} must be 0 or more, or None")
        times = (self.ack_delay_s, self.probe_after_s, self.give_up_s)
        if min(*times, self.name_check_s, self.linger_s) <= 0:
            raise InvalidOption(f"{self}: every time must be above 0")
        if not 0 < self.ping_after_s < self.peer_timeout_s:
            raise InvalidOption(f"ping_after_s={self.ping_after_s} must be below peer_timeout_s={self.peer_timeout_s}")

    @classmethod
    def for_monitored_peers(cls, sessions_max: int) -> SessionSettings:
        """Return the settings of a node whose peers are monitored by other means, as members of a cluster are.

        Its sessions ping seldom: a cluster of 50 nodes has 1,225 sessions, and with the default times nine in ten of
        all frames were PINGs while it was idle.
        """
        return cls(sessions_max=sessions_max, ping_after_s=15.0, peer_timeout_s=30.0)

    @property
    def handshake_s(self) -> float:
        """After so many seconds a handshake that a peer began and did not complete is forgotten.

        This is how long a peer that has got its answer, and then nothing more, keeps the session on its side.
        """
        return self.peer_timeout_s + self.give_up_s

    def greet_pause_s(self, greetings: int, chance: float) -> float:
        """Return the pause in seconds after a HELLO.

        greetings: HELLOs sent in this handshake, from 1.  chance: a random number in [0, 1).
        """
        doubled = self.greet_first_s * 2.0 ** min(greetings - 1, 60)
        return min(self.greet_max_s, doubled) * (1.0 + self.jitter * (2.0 * chance - 1.0))
