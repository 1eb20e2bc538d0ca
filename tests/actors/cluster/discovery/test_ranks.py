import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.discovery.addresses import PORT_MAX
from trouper.actors.cluster.discovery.port import DiscoveryFailed
from trouper.actors.cluster.discovery.ranks import Ranks, checked, endpoints, number, own_port

THREE = Ranks(4, 5, 1, (("a", 3), ("b", 2)))


def test_the_first_rank_of_each_host_comes_first() -> None:
    """The first endpoints are on as many hosts as possible."""
    assert endpoints(THREE, 7400, 100) == (
        "tcp://a:7400", "tcp://b:7400", "tcp://a:7401", "tcp://b:7401", "tcp://a:7402",
    )  # fmt: skip
    assert endpoints(THREE, 7400, 2) == ("tcp://a:7400", "tcp://b:7400")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(1, PORT_MAX))
def test_every_rank_is_found_where_it_listens(counts: list[int], port: int) -> None:
    """What one rank computes as its own port, every other computes as its endpoint, unless there is no such port."""
    hosts = tuple((f"n{index}", count) for index, count in enumerate(counts))
    found = endpoints(Ranks(0, 30, 0, hosts), port, 1_000)
    expected = set[str]()
    for host, count in hosts:
        for local_rank in range(count):
            ranks = Ranks(0, 30, local_rank, hosts)
            if port + local_rank <= PORT_MAX:
                expected.add(f"tcp://{host}:{own_port(ranks, port)}")
            else:
                with pytest.raises(DiscoveryFailed, match="begin with a lower port"):
                    own_port(ranks, port)
    assert expected <= set(found)
    assert len(found) == len(set(found))


def test_numbers_are_read_from_the_first_variable_that_is_set() -> None:
    """A launcher may set the variables of another one too, in the same sense."""
    assert number({"B": "2", "C": "3"}, ("A", "B", "C")) == 2
    assert number({}, ("A",), 7) == 7
    with pytest.raises(DiscoveryFailed, match=r"^the environment has none of A, B$"):
        number({}, ("A", "B"))


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "\u0663", "9" * 50, "1000001"])
def test_what_is_no_number_is_named_with_its_variable(text: str) -> None:
    """A broken environment is said, and no long number is turned into one."""
    with pytest.raises(DiscoveryFailed, match=r"^the environment has A=.*, which is not a number up to 1000000$"):
        number({"A": text}, ("A",), 7)


@pytest.mark.parametrize("ranks", [Ranks(5, 5, 0, ()), Ranks(0, 5, 5, ()), Ranks(0, 0, 0, ())])
def test_numbers_that_contradict_each_other_are_refused(ranks: Ranks) -> None:
    """A rank is below the size."""
    with pytest.raises(DiscoveryFailed, match=r"that cannot be$"):
        checked(ranks)
    assert checked(THREE) is THREE
