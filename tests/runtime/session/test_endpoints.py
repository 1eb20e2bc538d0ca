"""Endpoints that peers tell are checked by length and form, and are no names."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.runtime.session.endpoints import ENDPOINT_CHARS_MAX, endpoint_problem, is_address, read_port


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://10.0.0.5:7400",
        "tcp://[fe80::1]:1",
        "tcp://127.0.0.1:65535",
        "ipc:///run/app/a",
        "ipc://a",
        "inprocess://a",
        "sim://n1/elsewhere",
        "carrier-pigeon://loft 7".replace(" ", "-"),
    ],
)
def test_addresses_and_places_of_a_host_may_be_dialled(endpoint: str) -> None:
    """Of schemes that are not known here only the general form is checked."""
    assert endpoint_problem(endpoint) == ""


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ("", "an endpoint of 0 characters, 1 to 500 are allowed"),
        ("tcp://1.2.3.4:" + "1" * 5_000, "an endpoint of 5014 characters, 1 to 500 are allowed"),
        ("tcp://1.2.3.4:123456", "the endpoint 'tcp://1.2.3.4:123456' is not tcp://ADDRESS:PORT"),
        ("tcp://1.2.3.4:0", "the endpoint 'tcp://1.2.3.4:0' is not tcp://ADDRESS:PORT"),
        ("tcp://1.2.3.4:65536", "the endpoint 'tcp://1.2.3.4:65536' is not tcp://ADDRESS:PORT"),
        ("tcp://1.2.3.4", "the endpoint 'tcp://1.2.3.4' is not tcp://ADDRESS:PORT"),
        ("tcp://1.2.3.4:٣", "the endpoint 'tcp://1.2.3.4:٣' is not tcp://ADDRESS:PORT"),
        (
            "tcp://host.example:1",
            "the endpoint 'tcp://host.example:1' is not tcp://ADDRESS:PORT; peers tell",
        ),
        ("tcp://fe80::1:1", "the endpoint 'tcp://fe80::1:1' is not tcp://ADDRESS:PORT"),
        ("tcp://[fe80::1%eth0]:1", "the endpoint 'tcp://[fe80::1%eth0]:1' is not tcp://ADDRESS:PORT"),
        ("tcp://0.0.0.0:1", "the endpoint 'tcp://0.0.0.0:1' is one to listen at, not to connect to"),
        ("tcp://[::]:1", "the endpoint 'tcp://[::]:1' is one to listen at, not to connect to"),
        ("tcp://*:1", "the endpoint 'tcp://*:1' is not tcp://ADDRESS:PORT"),
        ("ipc://@abstract", "the endpoint 'ipc://@abstract' is not ipc:///PATH or ipc://NAME"),
        ("ipc://*", "the endpoint 'ipc://*' is not ipc:///PATH or ipc://NAME"),
        ("bad1", "the endpoint 'bad1' is not of the form SCHEME://PLACE"),
        ("://x", "the endpoint '://x' is not of the form SCHEME://PLACE"),
        ("sim://", "the endpoint 'sim://' is not of the form SCHEME://PLACE"),
        ("sim://a\nb", r"the endpoint 'sim://a\nb' is not of the form SCHEME://PLACE"),
        ("sim://a\x1b[31m", r"the endpoint 'sim://a\x1b[31m' is not of the form SCHEME://PLACE"),
    ],
)
def test_what_must_not_be_dialled_is_named_with_what_is_wrong(endpoint: str, problem: str) -> None:
    """The text of the peer is escaped, and cut; no number is made of a port of thousands of digits."""
    assert endpoint_problem(endpoint).startswith(problem)


@given(st.text(max_size=2 * ENDPOINT_CHARS_MAX))
def test_any_text_is_an_endpoint_or_has_a_problem(text: str) -> None:
    """Nothing is raised; what is shown of it is printable and short."""
    for endpoint in (text, f"tcp://{text}", f"tcp://[{text}]:1", f"ipc://{text}", f"tcp://1.2.3.4:{text}"):
        problem = endpoint_problem(endpoint)
        assert problem.isprintable()
        assert len(problem) < 500
        assert len(endpoint) <= ENDPOINT_CHARS_MAX or problem


def test_ports_and_addresses_are_read_as_they_are_written() -> None:
    """A port has 5 digits at most; an address of version 6 has brackets."""
    assert [read_port(text) for text in ("0", "7400", "65535", "65536", "", "-1", "+1", "1_0", "９", "9" * 10_000)] == [
        0, 7400, 65535, None, None, None, None, None, None, None,
    ]  # fmt: skip
    assert [is_address(text) for text in ("1.2.3.4", "[::1]", "::1", "[1.2.3.4]", "a", "*", "", "1.2.3", "[]")] == [
        True, True, False, False, False, False, False, False, False,
    ]  # fmt: skip


def test_a_long_text_costs_no_time() -> None:
    """A megabyte is refused by its length."""
    began = time.perf_counter()
    assert endpoint_problem("tcp://1.2.3.4:" + "9" * 1_000_000)
    assert time.perf_counter() - began < 0.05
