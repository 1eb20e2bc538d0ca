import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.discovery.mpi import HOST_FILES, host_file, is_rank, needs_host_file, read_mpi
from trouper.actors.cluster.discovery.port import DiscoveryFailed
from trouper.actors.cluster.discovery.ranks import Ranks

OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}
HYDRA = {"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}


@pytest.mark.parametrize("launcher", [OPEN_MPI, HYDRA])
def test_ranks_of_one_host_find_each_other_on_the_loopback(launcher: dict[str, str]) -> None:
    """Nobody has to name a host when all ranks are here."""
    local = {
        name: "4" if "LOCAL" in name and ("SIZE" in name or "NRANKS" in name) else launcher[name] for name in launcher
    }
    assert read_mpi(local) == Ranks(3, 4, 1, (("127.0.0.1", 4),))
    assert not needs_host_file(local, "")


@pytest.mark.parametrize("launcher", [OPEN_MPI, HYDRA])
def test_ranks_of_many_hosts_need_to_be_told_the_hosts(launcher: dict[str, str]) -> None:
    """The error says how: the head is enough."""
    with pytest.raises(DiscoveryFailed) as caught:
        read_mpi(launcher)
    assert str(caught.value) == (
        "mpiexec started 4 ranks, 2 of them on this host, and its environment names no other host:"
        " name the host of rank 0, as in mpi://HEAD:7400"
    )
    assert read_mpi(launcher, "head").hosts == (("head", 2), ("127.0.0.1", 2))
    assert needs_host_file(launcher, "")
    assert not needs_host_file(launcher, "head")


def test_the_hosts_of_slurm_and_lsf_are_taken() -> None:
    """An mpiexec within a job of a scheduler runs on the job's hosts."""
    slurm = HYDRA | {"SLURM_JOB_NODELIST": "n[1-2]", "LSB_HOSTS": "no no"}
    assert read_mpi(slurm).hosts == (("n1", 2), ("n2", 2))
    lsf = HYDRA | {"LSB_HOSTS": "n1 n1 n1 n2"}
    assert read_mpi(lsf).hosts == (("n1", 3), ("n2", 1))
    assert not needs_host_file(slurm, "")
    assert not needs_host_file(lsf, "")


@pytest.mark.parametrize("name", HOST_FILES)
def test_a_host_file_is_taken(name: str) -> None:
    """Hosts without a number of ranks have as many as this one."""
    assert host_file(HYDRA | {name: "/hosts"}) == "/hosts"
    assert read_mpi(HYDRA, host_lines="n1:3\nn2\n").hosts == (("n1", 3), ("n2", 2))
    with pytest.raises(DiscoveryFailed, match=r"^the hosts of mpiexec: line 1: "):
        read_mpi(HYDRA, host_lines="a;b\n")


def test_a_process_that_mpiexec_did_not_start_is_told_so() -> None:
    """Nothing is guessed outside of mpiexec."""
    assert is_rank(HYDRA)
    assert host_file(HYDRA) is None
    with pytest.raises(DiscoveryFailed, match=r"this process was not started by mpiexec$"):
        read_mpi({"PMI_SIZE": "4"})


KNOWN = [*OPEN_MPI, *HYDRA, "SLURM_JOB_NODELIST", "LSB_HOSTS", "PMIX_RANK"]


@given(st.dictionaries(st.sampled_from(KNOWN), st.text(max_size=20)), st.none() | st.text(max_size=40))
def test_any_environment_is_read_or_refused(change: dict[str, str], lines: str | None) -> None:
    """No value of a variable, and no host file, makes another error than the one."""
    try:
        ranks = read_mpi(HYDRA | change, host_lines=lines)
        needs_host_file(HYDRA | change, "")
    except DiscoveryFailed:
        return
    assert ranks.hosts
    assert 0 <= ranks.rank < ranks.size
