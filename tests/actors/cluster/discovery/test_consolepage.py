import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.discovery.consolepage import read_page, write_page
from trouper.actors.cluster.discovery.port import DiscoveryFailed


def test_a_page_is_written_and_read() -> None:
    """What a console writes, a node reads, as far as it wants."""
    page = write_page("prices", ["tcp://a:1", "tcp://b:1"])
    assert page == b'{"cluster":"prices","endpoints":["tcp://a:1","tcp://b:1"],"version":1}'
    assert read_page(page, "prices", 10) == ("tcp://a:1", "tcp://b:1")
    assert read_page(page, "prices", 1) == ("tcp://a:1",)


def test_fields_that_are_not_known_are_passed_over() -> None:
    """A later console may say more."""
    assert read_page(b'{"cluster":"a","endpoints":[],"node":"ada"}', "a", 10) == ()


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (b"<html>", "the answer is no page of endpoints: "),
        (b"{}", "the answer is no page of endpoints: Object missing required field `cluster`"),
        (b'{"cluster":"a","endpoints":[1]}', "the answer is no page of endpoints: Expected `str`, got `int`"),
        (b'{"cluster":"\xff","endpoints":[]}', "the answer is no page of endpoints: "),
        (b'{"cluster":"a","endpoints":[],"version":2}', "the page of endpoints has version 2; this node reads 1"),
        (b'{"cluster":"b","endpoints":[]}', "the console is one of the cluster 'b', not of 'a'"),
        (
            b'{"cluster":"a","endpoints":["ipc://a"]}',
            "the page of endpoints: 'ipc://a' is no endpoint: expected one of tcp",
        ),
    ],
)
def test_another_answer_is_refused(page: bytes, problem: str) -> None:
    """The error says what is wrong, and a console cannot lead a node to sockets of its own host."""
    with pytest.raises(DiscoveryFailed) as caught:
        read_page(page, "a", 10)
    assert str(caught.value).startswith(problem)


@given(st.binary() | st.text().map(str.encode) | st.lists(st.text()).map(lambda texts: write_page("a", texts)))
def test_any_answer_is_a_page_or_refused(page: bytes) -> None:
    """Whatever a server says, it is read or refused by the one error."""
    try:
        found = read_page(page, "a", 10)
    except DiscoveryFailed:
        return
    assert all(endpoint.startswith("tcp://") for endpoint in found)
