import asyncio
from pathlib import Path

import pytest

from trouper.actors.cluster.discovery.launchers import MpiDiscovery, SlurmDiscovery
from trouper.actors.cluster.discovery.port import DiscoveryFailed, DiscoveryInvalid, DiscoveryLimits
from trouper.testing import virtual_time

HYDRA = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "0", "MPI_LOCALNRANKS": "1"}


@virtual_time
async def test_tasks_of_slurm_find_each_other() -> None:
    """The environment is enough; a limit keeps the hosts and leaves out their further ranks."""
    job = {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "n[1-2]"}
    slurm = SlurmDiscovery(7400, job)
    assert await slurm.find() == ("tcp://n1:7400", "tcp://n2:7400", "tcp://n1:7401", "tcp://n2:7401")
    assert await slurm.own_port() == 7401
    assert slurm.describe() == "the tasks of this Slurm job (from port 7400)"
    few = SlurmDiscovery(7400, job, limits=DiscoveryLimits(endpoints_max=2))
    assert await few.find() == ("tcp://n1:7400", "tcp://n2:7400")


def test_ranks_of_mpiexec_find_each_other_by_the_host_file(tmp_path: Path) -> None:
    """The launcher's host file is read where the environment names no host."""
    path = tmp_path / "hosts"
    path.write_text("n1:1\nn2:1\n")
    mpi = MpiDiscovery(7400, HYDRA | {"HYDRA_HOST_FILE": str(path)})
    assert asyncio.run(mpi.find()) == ("tcp://n1:7400", "tcp://n2:7400")
    assert asyncio.run(mpi.own_port()) == 7400
    path.unlink()
    with pytest.raises(DiscoveryFailed, match="No such file or directory"):
        asyncio.run(mpi.find())


@virtual_time
async def test_a_head_makes_the_host_file_needless() -> None:
    """With the head of the job no file is needed."""
    mpi = MpiDiscovery(7400, HYDRA | {"HYDRA_HOST_FILE": "/none"}, head="n1")
    assert await mpi.find() == ("tcp://n1:7400", "tcp://127.0.0.1:7400")


@virtual_time
async def test_outside_of_a_launcher_there_is_a_failure() -> None:
    """A node that was started by hand says so instead of finding nobody for ever."""
    for discovery in (MpiDiscovery(7400, {}), SlurmDiscovery(7400, {})):
        with pytest.raises(DiscoveryFailed, match="this process was not started by"):
            await discovery.find()
    assert MpiDiscovery(7400, {}).describe() == "the ranks of this mpiexec (from port 7400)"


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_port_that_is_none_is_refused_at_once(port: int) -> None:
    """Nobody could be dialled there."""
    for make in (MpiDiscovery, SlurmDiscovery):
        with pytest.raises(DiscoveryInvalid, match=rf"^the port {port} cannot be connected to: expected 1 to 65535$"):
            make(port, {})
