"""The discovery actor finds other nodes as `join` says, reports the outcome of dials, and announces its node."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from tests.actors.cluster.stage import PLAIN, view
from trouper import InvalidOption, Node
from trouper.actors.cluster.config import ClusterConfig
from trouper.actors.cluster.discovery.discovery_actor import DiscoveryActor, announcements
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


def test_a_file_of_seeds_is_read_until_a_node_answers(runtime: Path) -> None:
    """The node becomes a member, although the file is written after it began to search."""
    seeds = runtime / "seeds"

    async def main() -> None:
        async with node("a", PLAIN, runtime), node("b", PLAIN, runtime, f"file://{seeds}") as b:
            seeds.write_text(f"# the first one\nipc://{runtime}/a\n")
            async with asyncio.timeout(30.0):
                await b.cluster.wait_for(2)
            assert view(b) == "a b"

    asyncio.run(main())


class Listed:
    """A discovery of a user."""

    def __init__(self, *endpoints: str) -> None:
        self.endpoints, self.queries = endpoints, 0

    async def find(self) -> Sequence[str]:
        self.queries += 1
        if not self.endpoints:
            raise ZeroDivisionError
        return self.endpoints

    def describe(self) -> str:
        return "my list"


def test_a_discovery_of_the_user_is_queried(runtime: Path) -> None:
    """As an object in `join`; one that fails is reported, and one of the same description is queried too."""
    failing, listed = Listed(), Listed(f"ipc://{runtime}/a")

    async def main() -> None:
        b = Node("b", listen=f"ipc://{runtime}/b", join=[failing, listed], cluster=PLAIN)
        async with node("a", PLAIN, runtime), b:
            async with asyncio.timeout(30.0):
                await b.cluster.wait_for(2)
            assert view(b) == "a b"

    asyncio.run(main())
    assert failing.queries
    assert listed.queries


def test_a_discovery_is_for_a_node_in_a_cluster() -> None:
    """Without one the node stays connected to the nodes that it was given, and searches for none."""
    with pytest.raises(InvalidOption, match=r"is no endpoint: a discovery is for a node with cluster=\.\.\.$"):
        asyncio.run(Node("b", listen="inprocess://b", join=[Listed()]).start())
    with pytest.raises(InvalidOption, match=r"^join='inprocess://a' is text: write join=\['inprocess://a'\]$"):
        Node("b", listen="inprocess://b", join="inprocess://a")


def test_auto_finds_the_nodes_of_this_user_on_this_host(runtime: Path) -> None:
    """By their announcements, which end with the nodes."""
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


def test_a_node_that_cannot_be_announced_reports_it_and_goes_on(runtime: Path) -> None:
    """Such as a second node of one name: a notice says why others do not find it."""

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
                assert "is locked by a living node of this name" in said[0]
                assert view(double) == "a"

    asyncio.run(main())


async def _first_round(node: Node) -> str:
    """Return what the node reports of the first round that reaches no other node."""
    with node.events.stream(ClusterNotice) as notices:
        async with asyncio.timeout(30.0):
            async for notice in notices:
                if notice.kind == "discovery":
                    return notice.text
    raise AssertionError("the stream has ended")


def test_a_dial_that_is_refused_is_reported_with_the_reason_of_the_peer(runtime: Path) -> None:
    """Such as a node whose name another node has: it is told so, and not that nobody answers."""
    seeds = runtime / "seeds"
    seeds.write_text(f"ipc://{runtime}/a\n")
    quiet = replace(PLAIN, announce=frozenset())

    async def main() -> None:
        async with node("a", quiet, runtime):
            double = Node("a", listen=f"ipc://{runtime}/double", join=[f"file://{seeds}"], cluster=quiet)
            async with double:
                text = await _first_round(double)
                assert f"ipc://{runtime}/a (" in text
                assert "no answer" not in text
                assert "name" in text

    asyncio.run(main())


def test_a_node_that_is_connected_and_no_member_is_reported_as_such(runtime: Path) -> None:
    """The nodes can be connected, but they are of two clusters."""
    seeds = runtime / "seeds"
    seeds.write_text(f"ipc://{runtime}/a\n")
    quiet = replace(PLAIN, announce=frozenset())

    async def main() -> None:
        async with node("a", replace(quiet, name="other"), runtime), node("b", quiet, runtime, f"file://{seeds}") as b:
            text = await _first_round(b)
            assert f"ipc://{runtime}/a (" in text
            assert "(a did not take this node in within 5 s)" in text

    asyncio.run(main())


def test_an_endpoint_of_the_node_itself_is_no_failure(runtime: Path) -> None:
    """A list of seeds may name this node too, by another path or another name of its host."""
    (runtime / "alias").symlink_to(runtime)
    seeds = runtime / "seeds"
    seeds.write_text(f"ipc://{runtime}/alias/b\n")

    async def main() -> None:
        async with node("b", replace(PLAIN, announce=frozenset()), runtime, f"file://{seeds}") as b:
            assert (await _first_round(b)).startswith(f"the file {seeds} found no other node; this node is alone")

    asyncio.run(main())


def test_a_member_that_is_dialled_by_another_name_is_reached(runtime: Path) -> None:
    """Its dial ends at once: the member is known under the endpoint that it announces, not under this one."""
    (runtime / "alias").symlink_to(runtime)
    seeds = runtime / "seeds"
    seeds.write_text(f"ipc://{runtime}/alias/a\n")
    quiet = replace(PLAIN, announce=frozenset())

    async def main() -> None:
        async with node("a", quiet, runtime), node("b", quiet, runtime, f"file://{seeds}") as b:
            async with asyncio.timeout(30.0):
                await b.cluster.wait_for(2)
            assert b.cluster.discovery is not None
            actor = cast("DiscoveryActor", b.cluster.discovery._cell.actor)  # noqa: SLF001  no message asks for its dials
            async with asyncio.timeout(2.0):  # the dial itself would take 5 s to be given up
                while actor.machine.dialled:  # noqa: ASYNC110  no event tells the end of a dial
                    await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_text_of_join_that_cannot_be_read_is_refused_at_the_start(runtime: Path) -> None:
    """The error says what is expected, and nothing is left behind."""

    async def main() -> None:
        with pytest.raises(DiscoveryInvalid, match="is not understood: expected 'auto', an endpoint"):
            await node("a", PLAIN, runtime, "carrier-pigeon://x").__aenter__()

    asyncio.run(main())
