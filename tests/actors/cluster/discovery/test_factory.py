from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper import InvalidOption
from trouper.actors.cluster.discovery import factory
from trouper.actors.cluster.discovery.factory import is_endpoint, open_auto, open_discoveries
from trouper.cluster import Discovery, DiscoveryInvalid, DiscoveryLimits, DiscoveryRequest, register_discovery
from trouper.testing import virtual_time


def _is_absent(name: str) -> None:
    """Replaces ``importlib.util.find_spec`` where a package is missing."""


def _is_present(name: str) -> str:
    """Replaces it where the package is installed."""
    return name


def test_each_text_becomes_its_discovery(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Endpoints become one discovery, a repeated text is one, and no file is touched."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(factory, "find_spec", _is_absent)
    texts = [
        "file:///seeds", "tcp://a:1", "dns://a:1", "srv://_trouper._tcp.a", "mdns://", "mpi://:1", "slurm://:1",
        "auto", "tcp://b:1", "file:///seeds",
    ]  # fmt: skip
    assert [discovery.describe() for discovery in open_discoveries(texts, "prices", environment={})] == [
        "the seeds tcp://a:1, tcp://b:1",
        "the file /seeds",
        "the addresses of a (port 1)",
        "the SRV records of _trouper._tcp.a",
        "nodes of the cluster prices on the local network (multicast DNS)",
        "the ranks of this mpiexec (from port 1)",
        "the tasks of this Slurm job (from port 1)",
        f"this user's nodes on this host ({tmp_path}/trouper/prices)",
    ]
    assert list(tmp_path.iterdir()) == []
    assert open_discoveries([], "prices") == []


@virtual_time
async def test_the_environment_is_that_of_the_process_unless_it_is_given() -> None:
    """A launcher sets the variables of the process that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_JOB_NODELIST": "n1"}.items():
            patch.setenv(name, value)
        (slurm,) = open_discoveries(["slurm://:7400"], "prices")
        assert await slurm.find() == ("tcp://n1:7400",)


def test_a_text_that_cannot_be_read_opens_nothing() -> None:
    """A typing error is reported before anything is dialled."""
    with pytest.raises(DiscoveryInvalid, match="join='nonsense' is not understood"):
        open_discoveries(["tcp://a:1", "nonsense"], "prices")


def test_auto_searches_this_host_and_the_network_where_it_can(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The package for multicast DNS may be missing; that is no failure of auto."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(factory, "find_spec", _is_absent)
    assert "multicast" not in open_auto("prices").describe()
    monkeypatch.setattr(factory, "find_spec", _is_present)
    assert open_auto("prices").describe() == (
        f"this user's nodes on this host ({tmp_path}/trouper/prices);"
        " nodes of the cluster prices on the local network (multicast DNS)"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Auto", "join='Auto' is not understood: expected 'auto', an endpoint (tcp, ipc, inprocess"),
        ("auto://", "join='auto://' is not understood"),
        ("file", "join='file' is not understood"),
        ("carrier://a", "join='carrier://a' is not understood: expected 'auto', an endpoint"),
        ("tcp://*:7400", "is an endpoint to listen on"),
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
        open_discoveries([text], "prices", environment={})
    assert problem in str(caught.value)


FORMS = ("", "file://", "dns://", "srv://", "mdns://", "mpi://", "slurm://", "tcp://", "auto")


@given(st.sampled_from(FORMS), st.text())
def test_any_text_is_read_or_refused(form: str, text: str) -> None:
    """The result is a discovery or ``DiscoveryInvalid``."""
    try:
        assert len(open_discoveries([form + text], "prices", environment={})) == 1
    except DiscoveryInvalid:
        return


def test_endpoints_are_told_from_discoveries() -> None:
    """An endpoint is of a registered transport; a text that is neither is refused."""
    assert [is_endpoint(text) for text in ("tcp://a:1", "ipc://a", "inprocess://a", "sim://a")] == [True] * 4
    assert [is_endpoint(text) for text in ("auto", "dns://a:1", "file:///a")] == [False] * 3
    for text in ("nonsense", "tcp://a", "tpc://a:1"):
        with pytest.raises(DiscoveryInvalid):
            is_endpoint(text)


class Directory:
    """A discovery of a user."""

    def __init__(self, request: DiscoveryRequest) -> None:
        self.request = request
        if not request.rest:
            raise DiscoveryInvalid(f"join={request.text!r}: expected the name of a directory")

    async def find(self) -> Sequence[str]:
        return [f"tcp://{self.request.rest}-{self.request.cluster}:{self.request.environment['PORT']}"]

    def describe(self) -> str:
        return f"the directory {self.request.rest}"


def broken(request: DiscoveryRequest) -> Discovery:
    """A factory that fails."""
    raise KeyError(request.text)


def textual(request: DiscoveryRequest) -> Discovery:
    """A factory that returns the text of its request."""
    return request.text  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  wrong on purpose


@virtual_time
async def test_a_registered_scheme_makes_the_discovery_of_its_factory() -> None:
    """It is given the text, the cluster and the environment; a repeated text is one."""
    register_discovery("directory", Directory)
    register_discovery("directory", Directory)
    texts = ["directory://a", "directory://a"]
    (discovery,) = open_discoveries(texts, "prices", environment={"PORT": "7400"})
    assert discovery.describe() == "the directory a"
    assert await discovery.find() == ("tcp://a-prices:7400",)
    assert not is_endpoint("directory://a")
    with pytest.raises(DiscoveryInvalid, match="expected the name of a directory"):
        open_discoveries(["directory://"], "prices")
    with pytest.raises(InvalidOption, match=r"directory:// belongs to .*Directory already: register .*broken"):
        register_discovery("directory", broken)
    with pytest.raises(InvalidOption, match=r"^tcp:// is a scheme of endpoints"):
        register_discovery("tcp", Directory)


def test_a_factory_that_fails_is_an_invalid_text() -> None:
    """The error names the text and what the factory raised."""
    register_discovery("broken", broken)
    register_discovery("textual", textual)
    with pytest.raises(DiscoveryInvalid, match=r"^join='broken://a': KeyError: 'broken://a'$"):
        open_discoveries(["broken://a"], "prices")
    with pytest.raises(DiscoveryInvalid, match=r"^join='textual://a': its factory returned text, and no Discovery$"):
        open_discoveries(["textual://a"], "prices")


@virtual_time
async def test_join_takes_a_discovery_as_an_object() -> None:
    """Beside texts, in its place; an object that is none is refused."""
    request = DiscoveryRequest("", "b", "prices", {"PORT": "1"}, DiscoveryLimits())
    seeds, object_, file = open_discoveries(["tcp://a:1", Directory(request), "file:///seeds"], "prices")
    assert [each.describe() for each in (seeds, object_, file)] == [
        "the seeds tcp://a:1", "the directory b", "the file /seeds",
    ]  # fmt: skip
    assert await object_.find() == ("tcp://b-prices:1",)
    with pytest.raises(DiscoveryInvalid, match=r"^join='5': expected text, or a Discovery: an object with"):
        open_discoveries([5], "prices")  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]  wrong on purpose
