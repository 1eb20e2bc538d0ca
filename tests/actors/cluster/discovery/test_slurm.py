from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.discovery.port import DiscoveryFailed, DiscoveryInvalid
from trouper.actors.cluster.discovery.ranks import Ranks
from trouper.actors.cluster.discovery.slurm import HOSTS_MAX, expand_counts, expand_hosts, is_job, read_slurm


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node1", "node1"),
        ("node[01-04,07],gpu3", "node01 node02 node03 node04 node07 gpu3"),
        ("rack[0-1]n[1-2]", "rack0n1 rack0n2 rack1n1 rack1n2"),
        ("n[9-11]", "n9 n10 n11"),
        ("n[009-011]x", "n009x n010x n011x"),
        ("a,b,c.example.org", "a b c.example.org"),
        ("n[5]", "n5"),
    ],
)
def test_lists_of_hosts_are_written_out(text: str, expected: str) -> None:
    """As ``scontrol show hostnames`` writes them, with the zeros of the range's beginning."""
    assert expand_hosts(text) == tuple(expected.split())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "'' is not a host"),
        ("n[1-3", "its brackets do not match"),
        ("n1]", "its brackets do not match"),
        ("n[[1]]", "its brackets do not match"),
        ("n[]", "does not hold ranges such as 01-04,07"),
        ("n[a-b]", "does not hold ranges such as 01-04,07"),
        ("n[3-1]", "the range 3-1 runs backwards"),
        ("a,,b", "'' is not a host"),
        ("n[0-999999999]", f"has more than {HOSTS_MAX} hosts"),
        ("n[0-999]m[0-999]", f"has more than {HOSTS_MAX} hosts"),
        ("n" * 300_000, "262144 are the limit"),
    ],
)
def test_what_is_no_list_of_hosts_is_refused(text: str, problem: str) -> None:
    """A short text that stands for very many hosts is refused before they are written out."""
    with pytest.raises(DiscoveryInvalid) as caught:
        expand_hosts(text)
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 400


NAMES = st.from_regex(r"[a-z]{1,4}", fullmatch=True)


@given(st.lists(st.tuples(NAMES, st.lists(st.integers(0, 99), min_size=1, max_size=4)), min_size=1, max_size=5))
def test_what_was_written_short_comes_back(groups: list[tuple[str, list[int]]]) -> None:
    """The long form of a list, shortened in the simplest way, is written out again."""
    short = ",".join(f"{name}[{','.join(f'{value:03}' for value in values)}]" for name, values in groups)
    assert expand_hosts(short) == tuple(f"{name}{value:03}" for name, values in groups for value in values)


@given(st.text(alphabet="n0123456789[],-. \u0661"))
def test_any_text_is_a_list_of_hosts_or_refused(text: str) -> None:
    """Whatever the environment holds, it is read or refused by the one error."""
    with suppress(DiscoveryInvalid):
        assert len(expand_hosts(text)) >= 1
    with suppress(DiscoveryInvalid):
        assert len(expand_counts(text, 3)) == 3


def test_tasks_per_node_are_written_out() -> None:
    """As sbatch describes ``SLURM_TASKS_PER_NODE``."""
    assert expand_counts("2(x3),1", 4) == (2, 2, 2, 1)
    assert expand_counts("16", 1) == (16,)
    for text in ("2(x3)", "2(x3),1,1", "2(x9999999)", "2(x0),1", "a", ""):
        with pytest.raises(DiscoveryInvalid, match="tasks"):
            expand_counts(text, 4)


JOB = {
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NTASKS": "5",
    "SLURM_NNODES": "3",
    "SLURM_JOB_NODELIST": "n[1-3]",
    "SLURM_TASKS_PER_NODE": "2(x2),1",
}


def test_a_job_is_read() -> None:
    """Each task knows itself and all the others."""
    assert read_slurm(JOB) == Ranks(3, 5, 1, (("n1", 2), ("n2", 2), ("n3", 1)))


def test_a_step_goes_before_its_job() -> None:
    """A step may run on some of the nodes of its job."""
    step = {
        "SLURM_STEP_NODELIST": "n2",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_TASKS_PER_NODE": "4",
    }
    assert read_slurm(JOB | step) == Ranks(3, 4, 1, (("n2", 4),))


def test_tasks_are_spread_evenly_where_slurm_does_not_tell() -> None:
    """An endpoint too many is dialled in vain; one too few would be missed."""
    assert read_slurm({name: JOB[name] for name in JOB if "TASKS_PER" not in name}).hosts == (
        ("n1", 2), ("n2", 2), ("n3", 2),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"SLURM_PROCID": "5"}, "the environment says rank 5, number 1 on its host, of 5 ranks: that cannot be"),
        ({"SLURM_PROCID": "x"}, "the environment has SLURM_PROCID='x', which is not a number"),
        ({"SLURM_NNODES": "2"}, "the environment of Slurm announces 2 nodes and names 3"),
        ({"SLURM_JOB_NODELIST": "n[1-"}, "SLURM_JOB_NODELIST: 'n[1-' is not a list of hosts"),
        ({"SLURM_JOB_NODELIST": ""}, "none of SLURM_STEP_NODELIST, SLURM_JOB_NODELIST, SLURM_NODELIST is set"),
        ({"SLURM_TASKS_PER_NODE": "2"}, "SLURM_TASKS_PER_NODE: '2' has the tasks of 1 nodes, not of 3"),
    ],
)
def test_a_broken_environment_is_named(change: dict[str, str], problem: str) -> None:
    """The variable and its value are in the error."""
    with pytest.raises(DiscoveryFailed) as caught:
        read_slurm(JOB | change)
    assert problem in str(caught.value)


def test_a_process_that_slurm_did_not_start_is_told_so() -> None:
    """Nothing is guessed outside of a job."""
    assert is_job(JOB)
    with pytest.raises(DiscoveryFailed, match=r"^SLURM_PROCID is not set: this process was not started by srun"):
        read_slurm({"SLURM_JOB_NODELIST": "n1"})


@given(st.dictionaries(st.sampled_from([*JOB, "SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS"]), st.text(max_size=20)))
def test_any_environment_is_read_or_refused(change: dict[str, str]) -> None:
    """No value of a variable makes another error than the one."""
    try:
        ranks = read_slurm(JOB | change)
    except DiscoveryFailed:
        return
    assert 0 <= ranks.rank < ranks.size
