"""Discovery of the other processes of a job that mpiexec or Slurm started; the environment tells where they listen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import mpi, slurm
from .addresses import check_port
from .file import read_text
from .port import DiscoveryLimits
from .ranks import Ranks, endpoints, own_port


class _RankDiscovery(ABC):
    """The ranks of a job.  Implements ``Discovery``.

    port: rank i of a host listens on port + i.  environment: such as ``os.environ``.  limits: None for the defaults.
    """

    def __init__(self, port: int, environment: Mapping[str, str], *, limits: DiscoveryLimits | None = None) -> None:
        self._port, self._environment = check_port(port), environment
        self._limits = limits or DiscoveryLimits()

    async def find(self) -> Sequence[str]:
        """Return the endpoints of all ranks; raises ``DiscoveryFailed`` if the environment does not tell the hosts."""
        return endpoints(await self._ranks(), self._port, self._limits.endpoints_max)

    async def own_port(self) -> int:
        """Return the port on which this rank must listen; raises ``DiscoveryFailed``."""
        return own_port(await self._ranks(), self._port)

    @abstractmethod
    async def _ranks(self) -> Ranks: ...


class SlurmDiscovery(_RankDiscovery):
    """The tasks of this Slurm job, or of this step of it.  Implements ``Discovery``.

    port: task i of a host listens on port + i.  environment: such as ``os.environ``.  limits: None for the defaults.
    """

    def describe(self) -> str:
        """Return the launcher and the first port."""
        return f"the tasks of this Slurm job (from port {self._port})"

    async def _ranks(self) -> Ranks:
        return slurm.read_slurm(self._environment)


class MpiDiscovery(_RankDiscovery):
    """The ranks of this mpiexec job.  Implements ``Discovery``.

    port: rank i of a host listens on port + i.  environment: such as ``os.environ``.  limits: None for the defaults.
    head: the host of rank 0, for launchers that do not tell the other hosts; empty to read them from the environment or
        from the host file that it names.
    """

    def __init__(
        self, port: int, environment: Mapping[str, str], *, head: str = "", limits: DiscoveryLimits | None = None
    ) -> None:
        super().__init__(port, environment, limits=limits)
        self._head = head

    def describe(self) -> str:
        """Return the launcher and the first port."""
        return f"the ranks of this mpiexec (from port {self._port})"

    async def _ranks(self) -> Ranks:
        path, lines = mpi.host_file(self._environment), None
        if path is not None and mpi.is_rank(self._environment) and mpi.needs_host_file(self._environment, self._head):
            lines = await read_text(Path(path), self._limits)
        return mpi.read_mpi(self._environment, self._head, lines)
