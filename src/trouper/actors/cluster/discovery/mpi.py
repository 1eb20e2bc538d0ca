"""The environment of mpiexec: rank, size and hosts, by the variables of each launcher (PURE).

Open MPI sets ``OMPI_COMM_WORLD_...``; MPICH's Hydra and Intel MPI set ``PMI_...`` and ``MPI_LOCAL...``; MVAPICH sets
``MV2_COMM_WORLD_...``; PALS and PMIx ``PALS_...``, ``PMIX_RANK``.  None of them tells a rank where the others are,
so the hosts come from the first of these that is available:

1. all ranks are on this host, by the local size;  2. the host of rank 0, which ``mpi://HEAD:PORT`` names;
3. Slurm, LSF (``LSB_HOSTS``);  4. a host file that a variable names (PBS, Hydra, Intel MPI, Open MPI).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from .addresses import check_host
from .lines import read_hosts
from .port import DiscoveryFailed, DiscoveryInvalid
from .ranks import LOOPBACK, Ranks, checked, number
from .slurm import HOSTS_MAX, hosts_of

RANK: Final = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "PALS_RANKID", "PMIX_RANK")
SIZE: Final = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "PALS_SIZE")
LOCAL_RANK: Final = (
    "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK", "PALS_LOCAL_RANKID",
)  # fmt: skip
LOCAL_SIZE: Final = (
    "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_SIZE", "PALS_LOCAL_SIZE",
)  # fmt: skip
HOST_FILES: Final = (
    "HYDRA_HOST_FILE", "I_MPI_HYDRA_HOST_FILE", "OMPI_MCA_orte_default_hostfile",
    "PRTE_MCA_prte_default_hostfile", "PBS_NODEFILE",
)  # fmt: skip


def is_rank(environment: Mapping[str, str]) -> bool:
    """Return whether this environment is that of a rank of mpiexec."""
    return any(name in environment for name in RANK)


def host_file(environment: Mapping[str, str]) -> str | None:
    """Return the path of the host file that the environment names; None when it names none."""
    return next((environment[name] for name in HOST_FILES if environment.get(name)), None)


def needs_host_file(environment: Mapping[str, str], head: str) -> bool:
    """Return whether ``read_mpi`` needs the text of the host file."""
    here = number(environment, LOCAL_SIZE, 0)
    if head or here == number(environment, SIZE, 1):
        return False
    return not environment.get("LSB_HOSTS") and hosts_of(environment) is None


def read_mpi(environment: Mapping[str, str], head: str = "", host_lines: str | None = None) -> Ranks:
    """Return where the ranks run; raises ``DiscoveryFailed`` when the environment does not tell.

    head: the host of rank 0; empty when it is not known.  host_lines: the text of ``host_file``, if needed, else None.
    """
    if not is_rank(environment):
        raise DiscoveryFailed(f"none of {', '.join(RANK)} is set: this process was not started by mpiexec")
    rank, size = number(environment, RANK), number(environment, SIZE, 1)
    local_rank = number(environment, LOCAL_RANK, 0)
    here = number(environment, LOCAL_SIZE, 0)
    hosts = _hosts(environment, size, here, head, host_lines)
    return checked(Ranks(rank, size, local_rank, hosts))


def _hosts(
    environment: Mapping[str, str], size: int, here: int, head: str, host_lines: str | None
) -> tuple[tuple[str, int], ...]:
    if here == size:
        return ((LOOPBACK, size),)
    if head:
        # The head is enough to find all others; the ranks on this host find each other without a network.
        return ((head, max(here, 1)), *(((LOOPBACK, here),) if here else ()))
    try:
        named = Counter[str]()
        lsf = environment.get("LSB_HOSTS", "").split()[:HOSTS_MAX]
        slurm = hosts_of(environment)
        if slurm is not None:
            named.update(dict.fromkeys(slurm, 0))
        elif lsf:
            named.update(check_host(host, "LSB_HOSTS") for host in lsf)
        elif host_lines is not None:
            for host, count in read_hosts(host_lines, HOSTS_MAX):
                named[host] += count
    except DiscoveryInvalid as error:
        raise DiscoveryFailed(f"the hosts of mpiexec: {error}") from error
    if not named:
        raise DiscoveryFailed(
            f"mpiexec started {size} ranks, {here} of them on this host, and its environment names no other host:"
            " name the host of rank 0, as in mpi://HEAD:7400"
        )
    return tuple((host, count or max(here, 1)) for host, count in named.items())
