"""The testing kit: virtual time, probes, and the simulation of nodes from a seed.

It may import everything, and nothing imports it.  The guide is ``docs/guides/testing.md``.
"""

from .checks import SimulationFailed as SimulationFailed
from .extensions import check_extension as check_extension
from .extensions import simulate_extension as simulate_extension
from .faults import Fault as Fault
from .faults import Plan as Plan
from .faults import Risks as Risks
from .node_loop import NodeCrashed as NodeCrashed
from .probe import Probe as Probe
from .probe import ProbeFailed as ProbeFailed
from .seeds import seeds as seeds
from .simulation import Flood as Flood
from .simulation import Outcome as Outcome
from .simulation import SimulatedCrash as SimulatedCrash
from .simulation import Simulation as Simulation
from .simulation import simulate as simulate
from .virtual_time import NotVirtual as NotVirtual
from .virtual_time import Stalled as Stalled
from .virtual_time import StepsExceeded as StepsExceeded
from .virtual_time import VirtualLoop as VirtualLoop
from .virtual_time import run_virtual as run_virtual
from .virtual_time import settle as settle
from .virtual_time import virtual_time as virtual_time

__all__ = [
    "Fault", "Flood", "NodeCrashed", "NotVirtual", "Outcome", "Plan", "Probe", "ProbeFailed", "Risks", "SimulatedCrash",
    "Simulation", "SimulationFailed", "Stalled", "StepsExceeded", "VirtualLoop", "check_extension", "run_virtual",
    "seeds", "settle", "simulate", "simulate_extension", "virtual_time",
]  # fmt: skip
