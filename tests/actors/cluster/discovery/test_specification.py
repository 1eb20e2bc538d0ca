import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.discovery.port import DiscoveryInvalid
from trouper.actors.cluster.discovery.specification import (
    Addresses,
    Auto,
    Console,
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
        ("console+http://10.0.0.5:8080", Console("http://10.0.0.5:8080")),
        ("console+http://10.0.0.5", Console("http://10.0.0.5:80")),
        ("console+https://[::1]", Console("https://[::1]:443")),
        ("console+https://[::1]:8443", Console("https://[::1]:8443")),
        ("auto", Auto()),
    ],
)
def test_what_join_takes_is_read(text: str, expected: DiscoverySpec) -> None:
    """Each form of the list in the file names what to look for."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Auto", "join='Auto' is not understood: expected 'auto', an endpoint"),
        ("consul://a", "join='consul://a' is not understood: expected 'auto', an endpoint"),
        ("file://seeds", "expected the whole path, as in file:///etc/trouper/seeds"),
        ("file:///a\0b", "expected the whole path, as in file:///etc/trouper/seeds"),
        ("dns://a", "expected HOST:PORT with a port from 1 to 65535"),
        ("srv://example.org", "expected a service, as in srv://_trouper._tcp.example.org"),
        ("mdns://eth0", "nothing stands behind mdns://"),
        ("mpi://head", "expected HOST:PORT with a port from 1 to 65535"),
        ("slurm://head:7400", "expected slurm://:PORT, since Slurm knows the hosts"),
        ("slurm://:0", "expected HOST:PORT with a port from 1 to 65535"),
        ("x" * 5_000, "has 5000 characters; 4096 are the limit"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_would_be(text: str, problem: str) -> None:
    """The error shows the text and the form that is expected."""
    with pytest.raises(DiscoveryInvalid) as caught:
        parse(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize("rest", ["ada:secret@host", "host/secret", "host?token=secret"])
def test_a_secret_in_the_address_of_a_console_is_not_shown(rest: str) -> None:
    """Whoever writes a token into an address is told so without it being written to the log."""
    with pytest.raises(DiscoveryInvalid, match=r"expected HOST or HOST:PORT alone; the token is given apart") as caught:
        parse(f"console+https://{rest}")
    assert "secret" not in str(caught.value)


FORMS = ("", "file://", "dns://", "srv://", "mdns://", "mpi://", "slurm://", "console+http://", "tcp://", "auto")


@given(st.sampled_from(FORMS), st.text())
def test_any_text_is_understood_or_refused(form: str, text: str) -> None:
    """Whatever is given, the answer is a specification or the one error."""
    try:
        read = parse(form + text)
    except DiscoveryInvalid:
        return
    assert isinstance(read, DiscoverySpec)
