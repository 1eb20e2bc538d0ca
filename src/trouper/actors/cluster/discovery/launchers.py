"""The other copies of a program that mpiexec or Slurm started; the environment tells where they listen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from . import mpi, slurm
from .addresses import check_port
from .file import read_text
from .port import DiscoveryLimits
from .ranks import Ranks, endpoints, own_port


class SlurmDiscovery:
    """The tasks of this Slurm job, or of this step of it.  Implements ``Discovery``.

    port: task i of a host listens on port + i.  environment: such as ``os.environ``.
    """

    def __init__(self, port: int, environment: Mapping[str, str], *, limits: DiscoveryLimits | None = None) -> None:
        self._port, self._environment = check_port(port), environment
        self._limits = limits or DiscoveryLimits()

    async def find(self) -> Sequence[str]:
        """Compute the endpoints; raises ``DiscoveryFailed`` when the environment does not tell."""
        return endpoints(slurm.read_slurm(self._environment), self._port, self._limits.endpoints_max)

    async def own_port(self) -> int:
        """The port on which this task has to listen; raises ``DiscoveryFailed``."""
        return own_port(slurm.read_slurm(self._environment), self._port)

    def describe(self) -> str:
        """Return what is asked."""
        return f"the tasks of this Slurm job (from port {self._port})"


class MpiDiscovery:
    """The ranks of this mpiexec.  Implements ``Discovery``.

    port: rank i of a host listens on port + i.  environment: such as ``os.environ``.
    head: the host of rank 0, for launchers that tell nothing of the other hosts; empty when it need not be told.
    """

    def __init__(
        self, port: int, environment: Mapping[str, str], *, head: str = "", limits: DiscoveryLimits | None = None
    ) -> None:
        self._port, self._environment, self._head = check_port(port), environment, head
        self._limits = limits or DiscoveryLimits()

    async def find(self) -> Sequence[str]:
        """Compute the endpoints; reads the launcher's host file where there is no other way.

        Raises ``DiscoveryFailed`` when the environment does not tell the hosts.
        """
        return endpoints(await self._ranks(), self._port, self._limits.endpoints_max)

    async def own_port(self) -> int:
        """The port on which this rank has to listen; raises ``DiscoveryFailed``."""
        return own_port(await self._ranks(), self._port)

    def describe(self) -> str:
        """Return what is asked."""
        return f"the ranks of this mpiexec (from port {self._port})"

    async def _ranks(self) -> Ranks:
        path, lines = mpi.host_file(self._environment), None
        if path is not None and mpi.is_rank(self._environment) and mpi.needs_host_file(self._environment, self._head):
            lines = await read_text(Path(path), self._limits)
        return mpi.read_mpi(self._environment, self._head, lines)
