import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.discovery.addresses import (
    ENDPOINT_CHARS_MAX,
    check_host,
    gather,
    read_endpoint,
    shown,
    tcp_endpoint,
)
from trouper.actors.cluster.discovery.port import DiscoveryInvalid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://10.0.0.5:7400", "tcp://10.0.0.5:7400"),
        ("tcp://node-1.example.org:07400", "tcp://node-1.example.org:7400"),
        ("tcp://[FE80:0::1]:1", "tcp://[fe80::1]:1"),
        ("ipc://a", "ipc://a"),
        ("ipc:///run/app/a b", "ipc:///run/app/a b"),
        ("inprocess://a", "inprocess://a"),
        ("sim://a", "sim://a"),
    ],
)
def test_endpoints_are_read_into_one_spelling(text: str, expected: str) -> None:
    """What leads to one place is one text, so that it is dialled once."""
    assert read_endpoint(text) == expected == read_endpoint(expected)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "'' is not an endpoint: expected one of tcp, ipc, inprocess, sim, then '://'"),
        ("http://a:1", "'http://a:1' is not an endpoint: expected one of tcp, ipc, inprocess, sim, then '://'"),
        ("tcp:a:1", "'tcp:a:1' is not an endpoint: expected one of tcp, ipc, inprocess, sim, then '://'"),
        ("tcp://a", "'tcp://a': expected HOST:PORT with a port from 1 to 65535"),
        ("tcp://a:0", "'tcp://a:0': expected HOST:PORT with a port from 1 to 65535"),
        ("tcp://a:65536", "'tcp://a:65536': expected HOST:PORT with a port from 1 to 65535"),
        ("tcp://a:\u0661", "'tcp://a:\u0661': expected HOST:PORT with a port from 1 to 65535"),
        ("tcp://*:1", "'tcp://*:1' is an endpoint to listen on, not one to connect to: name a host"),
        ("tcp://0.0.0.0:1", "'tcp://0.0.0.0:1' is an endpoint to listen on, not one to connect to: name a host"),
        ("tcp://[::g]:1", "'tcp://[::g]:1': '[::g]' is not an IPv6 address"),
        (
            "tcp://a b:1",
            "'tcp://a b:1': 'a b' is not a host: expected a name, an address, or an IPv6 address in brackets",
        ),
        (
            "tcp://eth0;a:1",
            "'tcp://eth0;a:1': 'eth0;a' is not a host: expected a name, an address, or an IPv6 address in brackets",
        ),
        ("ipc://@a", "'ipc://@a' is not an endpoint: expected ipc:// and a name"),
        ("ipc://a\0", "'ipc://a\\x00' is not an endpoint: expected ipc:// and a name"),
        ("inprocess://", "'inprocess://' is not an endpoint: expected inprocess:// and a name"),
    ],
)
def test_what_cannot_be_dialled_is_refused_with_what_could_be(text: str, problem: str) -> None:
    """The error shows what was given, escaped, and what is expected."""
    with pytest.raises(DiscoveryInvalid) as caught:
        read_endpoint(text)
    assert str(caught.value) == problem


def test_a_long_text_is_refused_and_shown_in_part() -> None:
    """What is too long does not fill the log either."""
    with pytest.raises(DiscoveryInvalid) as caught:
        read_endpoint("tcp://" + "a" * 10_000)
    assert len(str(caught.value)) < 200
    assert str(caught.value).endswith(f"has 10006 characters; {ENDPOINT_CHARS_MAX} are the limit")


def test_a_stranger_may_name_tcp_only() -> None:
    """Sources on the network cannot lead a node to sockets of its own host."""
    with pytest.raises(DiscoveryInvalid, match=r"^'ipc://a' is not an endpoint: expected one of tcp, then '://'$"):
        read_endpoint("ipc://a", ("tcp",))


@given(st.text())
def test_any_text_is_an_endpoint_or_refused(text: str) -> None:
    """Whatever comes in, it is read or refused by the one error, and what was read is read again as itself."""
    for candidate in (text, f"tcp://{text}", f"tcp://{text}:1", f"ipc://{text}"):
        try:
            read = read_endpoint(candidate)
        except DiscoveryInvalid:
            return
        assert read_endpoint(read) == read
        assert read.isprintable()


def test_an_endpoint_is_written_from_host_and_port() -> None:
    """Bare IPv6 addresses get the brackets that an endpoint needs."""
    assert tcp_endpoint("10.0.0.5", 1) == "tcp://10.0.0.5:1"
    assert tcp_endpoint("::1", 1) == tcp_endpoint("[::1]", 1) == "tcp://[::1]:1"


def test_a_host_has_a_length() -> None:
    """No host, and one longer than DNS allows, are refused."""
    assert check_host("a" * 253, "x") == "a" * 253
    for host in ("", "a" * 254):
        with pytest.raises(DiscoveryInvalid, match="is not a host"):
            check_host(host, "x")


@given(st.lists(st.sampled_from("abcdef")), st.integers(1, 5))
def test_gathering_keeps_the_first_of_each(endpoints: list[str], endpoints_max: int) -> None:
    """Each endpoint comes once, in the order of its first place, and no more than allowed."""
    assert gather(iter(endpoints), endpoints_max) == tuple(dict.fromkeys(endpoints))[:endpoints_max]


def test_gathering_reads_no_further_than_it_needs() -> None:
    """A source without end is left at the limit."""
    assert gather((str(number) for number in iter(int, 1)), 1) == ("0",)


def test_text_is_shown_escaped() -> None:
    """Control characters from outside do not reach a terminal."""
    assert shown("\x1b[2J") == r"'\x1b[2J'"
