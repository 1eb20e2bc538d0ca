"""The testing kit: virtual time, probes, and the simulation of a node from a seed.

It may import everything, and nothing imports it.  The guide is ``docs/guides/testing.md``.
"""

from .probe import Probe as Probe
from .probe import ProbeFailed as ProbeFailed
from .virtual_time import NotVirtual as NotVirtual
from .virtual_time import Stalled as Stalled
from .virtual_time import StepsExceeded as StepsExceeded
from .virtual_time import VirtualLoop as VirtualLoop
from .virtual_time import run_virtual as run_virtual
from .virtual_time import settle as settle
from .virtual_time import virtual_time as virtual_time

__all__ = [
    "NotVirtual", "Probe", "ProbeFailed", "Stalled", "StepsExceeded", "VirtualLoop", "run_virtual", "settle",
    "virtual_time",
]  # fmt: skip
