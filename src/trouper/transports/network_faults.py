"""``NetworkFaults``: what a network with faults does to frames between hosts (PURE).

It knows hosts by name and decides, for each frame, when it arrives, how often, or whether it is lost.  It moves
nothing: ``simulated`` does, and asks here.  Chance comes from outside, so a run can be replayed.

A *way* leads from one host to another; the way back is another way, with faults of its own.  The verbs are those of
turmoil and Jepsen:

* ``partition`` loses everything between two hosts, ``cut`` everything on one way, ``repair`` ends both;
* ``hold`` keeps everything on both ways, in order, until ``release``: a long pause, after which nothing is lost;
* ``set_quality`` changes delay, loss, duplication, reordering and bandwidth.

``None`` for a host means every host, those that come later too.  ``repair`` and ``release`` take back what was said of
the hosts they name: a partition of ``a`` from all is ended by ``repair("a")``, and not by ``repair("b")``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..runtime.kernel.errors import InvalidOption


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a way is.

    delay_s: seconds from end to end, of every frame.  jitter_s: up to so many seconds more, evenly spread.
    loss, duplication, reorder: the chance, in [0, 1], that a frame is lost, arrives twice, or is overtaken by others
        that are sent up to ``reorder_s`` seconds later; frames that are not reordered arrive in order.
    bandwidth_bytes_s: bytes a second that the way carries; None for no limit.
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
    """The state of one way: when it is free again, and when what was sent last arrives."""

    __slots__ = ("arrives_at", "free_at")

    def __init__(self) -> None:
        self.free_at = 0.0
        self.arrives_at = 0.0


_Pair = tuple[str | None, str | None]


class NetworkFaults:
    """See the top of the file.

    chance: returns a random number in [0, 1).  quality: of all ways that ``set_quality`` does not name.
    lost, duplicated, reordered: frames that suffered it so far; ``lost`` counts those of cut ways too.
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
        """Set the quality of both ways between two hosts; the most particular setting holds."""
        self._qualities[a, b] = self._qualities[b, a] = quality

    def partition(self, a: str | None, b: str | None = None) -> None:
        """Lose everything between two hosts, both ways."""
        self._cuts |= {(a, b), (b, a)}

    def cut(self, source: str | None, target: str | None = None) -> None:
        """Lose everything from one host to another; the way back stays as it is."""
        self._cuts.add((source, target))

    def repair(self, a: str | None = None, b: str | None = None) -> None:
        """Take back the partitions and cuts between two hosts, of one host (``b`` is None), or all of them."""
        self._cuts = {pair for pair in self._cuts if not _is_between(pair, a, b)}

    def hold(self, a: str | None, b: str | None = None) -> None:
        """Keep everything between two hosts, both ways, until it is released."""
        self._holds |= {(a, b), (b, a)}

    def release(self, a: str | None = None, b: str | None = None) -> None:
        """Let go what is held between two hosts, of one host (``b`` is None), or everything."""
        self._holds = {pair for pair in self._holds if not _is_between(pair, a, b)}

    # -- questions -----------------------------------------------------------------------------------------------------

    def is_cut(self, source: str, target: str) -> bool:
        """Whether frames on this way are lost."""
        return _matches(self._cuts, source, target)

    def is_held(self, source: str, target: str) -> bool:
        """Whether frames on this way have to wait."""
        return _matches(self._holds, source, target)

    def quality(self, source: str, target: str) -> Quality:
        """The quality of a way: as set for both hosts, for the source, for the target, or for all."""
        known = self._qualities
        for pair in ((source, target), (source, None), (None, target)):
            if pair in known:
                return known[pair]
        return known[None, None]

    def arrivals(self, source: str, target: str, frame_bytes: int, now: float) -> tuple[float, ...]:
        """Send a frame: returns when it arrives, in seconds; nothing when it is lost, and twice when it is doubled."""
        quality = self.quality(source, target)
        if self.is_cut(source, target) or self._happens(quality.loss):
            self.lost += 1
            return ()
        path = self._paths.setdefault((source, target), NetworkPath())
        if quality.bandwidth_bytes_s is not None:
            path.free_at = max(now, path.free_at) + frame_bytes / quality.bandwidth_bytes_s
        arrival = self._arrival(quality, path, max(now, path.free_at))
        if not self._happens(quality.duplication):
            return (arrival,)
        self.duplicated += 1
        return arrival, self._arrival(quality, path, max(now, path.free_at))

    def forget(self, source: str, target: str) -> None:
        """The connection broke: what is sent now does not wait for what was sent before."""
        self._paths.pop((source, target), None)

    def _arrival(self, quality: Quality, path: NetworkPath, sent_at: float) -> float:
        at = sent_at + quality.delay_s + (quality.jitter_s * self._chance() if quality.jitter_s else 0.0)
        if self._happens(quality.reorder):
            self.reordered += 1
            return at + quality.reorder_s * self._chance()
        path.arrives_at = max(at, path.arrives_at)
        return path.arrives_at

    def _happens(self, probability: float) -> bool:
        # What cannot happen draws no number: a seed keeps its meaning while faults that are off stay off.
        return probability > 0 and self._chance() < probability


def _matches(pairs: set[_Pair], source: str, target: str) -> bool:
    return bool(pairs) and not pairs.isdisjoint(((source, target), (source, None), (None, target), (None, None)))


def _is_between(pair: _Pair, a: str | None, b: str | None) -> bool:
    """Whether the pair is meant when somebody names ``a`` and ``b``, in either order."""
    if a is None and b is None:
        return True
    if b is None:
        return a in pair
    return a in pair and b in pair
