from pathlib import Path

import pytest

from trouper.actors.cluster.discovery import factory
from trouper.actors.cluster.discovery.factory import open_auto, open_discoveries
from trouper.actors.cluster.discovery.port import DiscoveryInvalid
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
