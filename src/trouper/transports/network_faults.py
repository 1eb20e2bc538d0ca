"""``NetworkFaults``: what a faulty network does to frames between hosts (PURE).

It knows hosts by name and decides, for each frame, when it arrives, how often, or whether it is lost.  It moves
nothing: ``simulated`` does, and asks here.  Chance comes from outside, so a run can be replayed.

A *path* leads from one host to another; the path back is another one, with faults of its own.  The verbs are those of
turmoil and Jepsen:

* ``partition`` loses everything between two hosts, ``cut`` everything on one path, ``repair`` ends both;
* ``hold`` keeps everything on both paths, in order, until ``release``: a long pause, after which nothing is lost;
* ``set_quality`` changes delay, loss, duplication, reordering and bandwidth.

Frames go over connections like those of TCP, so a lost packet shows as a delay: it is sent again, later each time, and
what was sent behind it waits; after ``RETRANSMISSIONS_MAX`` the connection breaks.  Duplicates never show, and packets
out of order are a delay too.  Only a frame that is sent as not reliable is itself lost, doubled or overtaken.

``None`` for a host means every host, those that come later too.  ``repair`` and ``release`` undo what was set for the
hosts that they name: a partition of ``a`` from all is ended by ``repair("a")``, and not by ``repair("b")``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from ..runtime.kernel.errors import InvalidOption

RETRANSMIT_FIRST_S = 0.2
"""A lost packet is sent again after so long, or after two delays if that is more; doubled each time."""
RETRANSMISSIONS_MAX = 5


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a path is.

    delay_s: seconds from end to end, of every frame.  jitter_s: up to so many seconds more, evenly spread.
    loss, duplication, reorder: the chance, in [0, 1], that a packet is lost, arrives twice, or is overtaken by others
        that are sent up to ``reorder_s`` seconds later.  A connection hides all three: it shows delays, and it breaks.
    bandwidth_bytes_s: bytes a second that the path carries; None for no limit.
    """

    delay_s: float = 0.000_5
    jitter_s: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    reorder: float = 0.0
    reorder_s: float = 0.01
    bandwidth_bytes_s: float | None = None

    def __post_init__(self) -> None:
        if min(self.delay_s, self.jitter_s, self.reorder_s) < 0:
            raise InvalidOption(f"{self}: times must be 0 or more")
        if not all(0 <= chance <= 1 for chance in (self.loss, self.duplication, self.reorder)):
            raise InvalidOption(f"{self}: chances must be from 0 to 1")
        if self.bandwidth_bytes_s is not None and self.bandwidth_bytes_s <= 0:
            raise InvalidOption(f"{self}: bandwidth_bytes_s must be above 0, or None for no limit")


class NetworkPath:
    """The state of one path: when it is free again, and when the last frame in order arrives."""

    __slots__ = ("arrives_at", "free_at")

    def __init__(self) -> None:
        self.free_at = 0.0
        self.arrives_at = 0.0


_Pair = tuple[str | None, str | None]


class NetworkFaults:
    """The faults between the hosts of one simulated network.

    chance: returns a random number in [0, 1).  quality: of all paths that ``set_quality`` does not name.
    lost, duplicated, reordered: packets that suffered it so far; ``lost`` counts the frames on cut paths too.
    """

    def __init__(self, chance: Callable[[], float], quality: Quality | None = None) -> None:
        self._chance = chance
        self._qualities: dict[_Pair, Quality] = {(None, None): quality or Quality()}
        self._cuts: set[_Pair] = set()
        self._holds: set[_Pair] = set()
        self._paths: dict[tuple[str, str], NetworkPath] = {}
        self.lost = self.duplicated = self.reordered = 0

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def set_quality(self, quality: Quality, a: str | None = None, b: str | None = None) -> None:
        """Set the quality of both paths between two hosts; the most particular setting applies."""
        self._qualities[a, b] = self._qualities[b, a] = quality

    def partition(self, a: str | None, b: str | None = None) -> None:
        """Lose everything between two hosts, in both directions."""
        self._cuts |= {(a, b), (b, a)}

    def cut(self, source: str | None, target: str | None = None) -> None:
        """Lose everything from one host to another; the path back stays as it is."""
        self._cuts.add((source, target))

    def repair(self, a: str | None = None, b: str | None = None) -> None:
        """Undo the partitions and cuts between two hosts, of one host (``b`` is None), or all of them."""
        self._cuts = {pair for pair in self._cuts if not _is_between(pair, a, b)}

    def hold(self, a: str | None, b: str | None = None) -> None:
        """Keep everything between two hosts, in both directions, until it is released."""
        self._holds |= {(a, b), (b, a)}

    def release(self, a: str | None = None, b: str | None = None) -> None:
        """Undo the holds between two hosts, of one host (``b`` is None), or all of them."""
        self._holds = {pair for pair in self._holds if not _is_between(pair, a, b)}

    # -- questions -----------------------------------------------------------------------------------------------------

    def is_cut(self, source: str, target: str) -> bool:
        """Whether frames on this path are lost."""
        return _matches(self._cuts, source, target)

    def is_held(self, source: str, target: str) -> bool:
        """Whether frames on this path have to wait."""
        return _matches(self._holds, source, target)

    def quality(self, source: str, target: str) -> Quality:
        """Return the quality of a path: as set for both hosts, for the source, for the target, or for all."""
        known = self._qualities
        for pair in ((source, target), (source, None), (None, target)):
            if pair in known:
                return known[pair]
        return known[None, None]

    def arrivals(
        self, source: str, target: str, frame_bytes: int, now: float, *, reliable: bool = True
    ) -> tuple[float, ...] | None:
        """Send a frame over the connection between two hosts.

        reliable: False sends it as a datagram beside the connection.
        Returns when it arrives, in seconds; nothing when it is lost, twice when it is doubled, and None when the
        connection breaks.
        """
        if self.is_cut(source, target):
            self.lost += 1
            return ()
        quality = self.quality(source, target)
        path = self._paths.setdefault((source, target), NetworkPath())
        if not reliable:
            return self._datagram_arrivals(quality, path, frame_bytes, now)
        delay_s = self._retransmission_s(quality)
        if delay_s is None:
            return None
        sent_at = self._sent_at(quality, path, frame_bytes, now)
        if self._happens(quality.reorder):
            self.reordered += 1
            delay_s += quality.reorder_s * self._chance()
        path.arrives_at = max(sent_at + delay_s + self._delay_s(quality), path.arrives_at)
        return (path.arrives_at,)

    def _retransmission_s(self, quality: Quality) -> float | None:
        """How much later a frame arrives because packets of it are lost; None when the connection breaks."""
        delay_s, pause_s = 0.0, max(RETRANSMIT_FIRST_S, 2 * quality.delay_s)
        for _ in range(RETRANSMISSIONS_MAX + 1):
            if not self._happens(quality.loss):
                return delay_s
            self.lost += 1
            delay_s += pause_s
            pause_s *= 2
        return None

    def _datagram_arrivals(
        self, quality: Quality, path: NetworkPath, frame_bytes: int, now: float
    ) -> tuple[float, ...]:
        if self._happens(quality.loss):
            self.lost += 1
            return ()
        # It does not wait for what the sender has queued on the connection; what it takes of the path, that waits for.
        self._sent_at(quality, path, frame_bytes, now)
        sent_at = now + frame_bytes / (quality.bandwidth_bytes_s or inf)
        if not self._happens(quality.duplication):
            return (self._datagram_arrival(quality, sent_at),)
        self.duplicated += 1
        return self._datagram_arrival(quality, sent_at), self._datagram_arrival(quality, sent_at)

    def _datagram_arrival(self, quality: Quality, sent_at: float) -> float:
        at = sent_at + self._delay_s(quality)
        if self._happens(quality.reorder):
            self.reordered += 1
            at += quality.reorder_s * self._chance()
        return at

    def _sent_at(self, quality: Quality, path: NetworkPath, frame_bytes: int, now: float) -> float:
        """When the last byte of a frame is on the path, which carries one frame after the other."""
        if quality.bandwidth_bytes_s is not None:
            path.free_at = max(now, path.free_at) + frame_bytes / quality.bandwidth_bytes_s
        return max(now, path.free_at)

    def _delay_s(self, quality: Quality) -> float:
        return quality.delay_s + (quality.jitter_s * self._chance() if quality.jitter_s else 0.0)

    def forget(self, source: str, target: str) -> None:
        """The connection broke: frames sent from now on do not wait for those sent before."""
        self._paths.pop((source, target), None)

    def _happens(self, probability: float) -> bool:
        # A fault that is off draws no number: a seed gives the same run whichever faults exist.
        return probability > 0 and self._chance() < probability


def _matches(pairs: set[_Pair], source: str, target: str) -> bool:
    return bool(pairs) and not pairs.isdisjoint(((source, target), (source, None), (None, target), (None, None)))


def _is_between(pair: _Pair, a: str | None, b: str | None) -> bool:
    """Whether ``repair`` or ``release`` of ``a`` and ``b`` means this pair, in either order."""
    if a is None and b is None:
        return True
    if b is None:
        return a in pair
    return a in pair and b in pair
