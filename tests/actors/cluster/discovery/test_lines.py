import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.discovery.lines import PROBLEMS_SHOWN_MAX, read_hosts, read_seeds
from trouper.actors.cluster.discovery.port import DiscoveryInvalid

SEEDS = """\
# the three in the cellar
tcp://10.0.0.5:7400
  tcp://10.0.0.6:7400\t # the slow one
\r
tcp://10.0.0.7
tcp://10.0.0.5:07400
ftp://a
ipc://a#b
"""


def test_seeds_are_read_and_bad_lines_named() -> None:
    """Blank lines and comments count as lines and as nothing else; one endpoint comes once."""
    read = read_seeds(SEEDS, 10)
    assert read.endpoints == ("tcp://10.0.0.5:7400", "tcp://10.0.0.6:7400", "ipc://a#b")
    assert read.explain() == (
        "line 5: 'tcp://10.0.0.7': expected HOST:PORT with a port from 1 to 65535; "
        "line 7: 'ftp://a' is not an endpoint: expected one of tcp, ipc, inprocess, sim, then '://'"
    )


def test_seeds_beyond_the_limit_are_left_out() -> None:
    """The first ones lead to the others."""
    assert read_seeds("tcp://a:1\ntcp://b:1\ntcp://c:1\n", 2).endpoints == ("tcp://a:1", "tcp://b:1")


def test_many_bad_lines_are_counted() -> None:
    """A file of another kind does not fill the log."""
    explained = read_seeds("x\n" * 1_000, 10).explain()
    assert explained.count("line ") == PROBLEMS_SHOWN_MAX
    assert explained.endswith("; and 995 more bad lines")


@given(st.text())
def test_any_text_has_seeds_or_bad_lines(text: str) -> None:
    """Nothing raises, and nothing but blank lines and comments is passed over in silence."""
    read = read_seeds(text, 1_000)
    if not read.endpoints and not read.problems:
        assert all(not line.strip() or line.strip().startswith("#") for line in text.split("\n"))


def test_hosts_are_read_in_all_forms_of_mpiexec() -> None:
    """Hydra writes a colon, Open MPI ``slots``, PBS repeats the line."""
    text = "# mine\nn1:4\nn2 slots=2 max_slots=4\nn3\nn3\nn4:1 binding=user\n"
    assert read_hosts(text, 10) == (("n1", 4), ("n2", 2), ("n3", 0), ("n3", 0), ("n4", 1))
    assert read_hosts(text, 2) == (("n1", 4), ("n2", 2))


@pytest.mark.parametrize("line", ["n1:x", ":4", "a;b", "n1:999999"])
def test_a_bad_line_of_a_host_file_is_named(line: str) -> None:
    """The ranks cannot be counted when one line is unclear, so none are."""
    with pytest.raises(DiscoveryInvalid, match=r"^line 2: "):
        read_hosts(f"n1\n{line}\n", 10)


@given(st.text())
def test_any_text_is_a_host_file_or_refused(text: str) -> None:
    """Whatever is in the file, it is read or refused by the one error."""
    try:
        hosts = read_hosts(text, 100)
    except DiscoveryInvalid:
        return
    assert all(host and count >= 0 for host, count in hosts)
