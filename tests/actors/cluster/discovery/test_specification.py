import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.discovery.port import DiscoveryInvalid
from trouper.actors.cluster.discovery.specification import (
    Addresses,
    Auto,
    DiscoverySpec,
    MpiRanks,
    Multicast,
    Seed,
    SeedFile,
    Services,
    SlurmRanks,
    parse,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://10.0.0.5:7400", Seed("tcp://10.0.0.5:7400")),
        ("ipc://a", Seed("ipc://a")),
        ("inprocess://a", Seed("inprocess://a")),
        ("file:///etc/trouper/seeds", SeedFile("/etc/trouper/seeds")),
        ("dns://cluster.example.org:7400", Addresses("cluster.example.org", 7400)),
        ("srv://_trouper._tcp.example.org", Services("_trouper._tcp.example.org")),
        ("mdns://", Multicast()),
        ("mpi://:7400", MpiRanks(7400)),
        ("mpi://head-1:7400", MpiRanks(7400, "head-1")),
        ("slurm://:7400", SlurmRanks(7400)),
        ("auto", Auto()),
    ],
)
def test_what_join_takes_is_read(text: str, expected: DiscoverySpec) -> None:
    """Each form that the module documents."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Auto", "join='Auto' is not understood: expected 'auto', an endpoint"),
        ("consul://a", "join='consul://a' is not understood: expected 'auto', an endpoint"),
        ("file://seeds", "expected an absolute path, as in file:///etc/trouper/seeds"),
        ("file:///a\0b", "expected an absolute path, as in file:///etc/trouper/seeds"),
        ("dns://a", "expected HOST:PORT with a port from 1 to 65535"),
        ("srv://example.org", "expected a service, as in srv://_trouper._tcp.example.org"),
        ("mdns://eth0", "expected nothing after mdns://"),
        ("mpi://head", "expected HOST:PORT with a port from 1 to 65535"),
        ("slurm://head:7400", "expected slurm://:PORT, since Slurm knows the hosts"),
        ("slurm://:0", "expected HOST:PORT with a port from 1 to 65535"),
        ("x" * 5_000, "has 5000 characters; 4096 are the limit"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_with_what_is_expected(text: str, problem: str) -> None:
    """The error shows the text and the form that is expected."""
    with pytest.raises(DiscoveryInvalid) as caught:
        parse(text)
    assert problem in str(caught.value)


FORMS = ("", "file://", "dns://", "srv://", "mdns://", "mpi://", "slurm://", "tcp://", "auto")


@given(st.sampled_from(FORMS), st.text())
def test_any_text_is_read_or_refused(form: str, text: str) -> None:
    """The result is a specification or ``DiscoveryInvalid``."""
    try:
        read = parse(form + text)
    except DiscoveryInvalid:
        return
    assert isinstance(read, DiscoverySpec)
