"""What a sample is (PURE): the figures of one process, and the pair that it makes with its neighbour."""

from __future__ import annotations

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """What one process measured.

    calibration_before_s, calibration_after_s: the fixed loop, so how fast the machine was at that moment.
    cpu_share: how much of the wall time the work had a core for; what is missing went to others (or to sleeping).
    """

    work: str
    peer: str
    size: int
    core: int | None
    figures: dict[str, float]
    calibration_before_s: float
    calibration_after_s: float
    cpu_share: float


class Pair(msgspec.Struct, frozen=True):
    """A sample of a peer and the adjacent one of ours; None for the side that the work does not have."""

    peer: Sample | None
    ours: Sample | None
