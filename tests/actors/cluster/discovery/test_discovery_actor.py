"""The discovery finds other nodes by what `join` says, and announces this one."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.actors.cluster.stage import PLAIN, view
from trouper import Node
from trouper.actors.cluster.config import ClusterConfig
from trouper.actors.cluster.discovery.discovery_actor import announcements
from trouper.actors.cluster.discovery.local import runtime_folder
from trouper.actors.cluster.discovery.port import DiscoveryInvalid
from trouper.actors.cluster.events import ClusterNotice


def node(name: str, config: ClusterConfig, tmp_path: Path, *join: str) -> Node:
    """A node with a socket in a folder of the test."""
    return Node(name, listen=f"ipc://{tmp_path}/{name}", join=join, cluster=config)


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private folder where nodes of this host announce themselves."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_a_file_of_seeds_is_read_until_somebody_answers(runtime: Path) -> None:
    """The node is a member before long, though the file is written after it began to look."""
    seeds = runtime / "seeds"

    async def main() -> None:
        async with node("a", PLAIN, runtime), node("b", PLAIN, runtime, f"file://{seeds}") as b:
            seeds.write_text(f"# the first one\nipc://{runtime}/a\n")
            async with asyncio.timeout(30.0):
                await b.cluster.wait_for(2)
            assert view(b) == "a b"

    asyncio.run(main())


def test_auto_finds_the_nodes_of_this_user_on_this_host(runtime: Path) -> None:
    """By their announcements, which go with the nodes."""
    quiet = replace(PLAIN, announce=frozenset())

    async def main() -> None:
        async with node("a", PLAIN, runtime), node("b", PLAIN, runtime, "auto") as b:
            async with asyncio.timeout(30.0):
                await b.cluster.wait_for(2)
            found = sorted(path.name for path in runtime_folder("tests").iterdir())
            assert found == ["a.node", "b.node"]
        assert list(runtime_folder("tests").iterdir()) == []
        assert announcements(quiet, "a", "ipc:///x") == []
        assert announcements(PLAIN, "a", "inprocess://x") == []

    asyncio.run(main())


def test_who_cannot_be_announced_says_so_and_goes_on(runtime: Path) -> None:
    """Such as a second node of the name: it is told why others do not find it."""

    async def main() -> None:
        async with node("a", PLAIN, runtime):
            double = Node("a", listen=f"ipc://{runtime}/double", cluster=PLAIN)
            said: list[str] = []
            async with double:
                discovery = double.cluster.discovery
                assert discovery is not None
                with double.events.stream(ClusterNotice) as notices:
                    double.introspection.crash(discovery)
                    async with asyncio.timeout(30.0):
                        async for notice in notices:
                            said.append(notice.text)
                            break
                assert "is held by a living node of this name" in said[0]
                assert view(double) == "a"

    asyncio.run(main())


def test_what_join_does_not_understand_is_refused_at_the_start(runtime: Path) -> None:
    """The error says what is expected, and nothing is left behind."""

    async def main() -> None:
        with pytest.raises(DiscoveryInvalid, match="is not understood: expected 'auto', an endpoint"):
            await node("a", PLAIN, runtime, "carrier-pigeon://x").__aenter__()

    asyncio.run(main())
