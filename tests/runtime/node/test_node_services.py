"""The services of a node are created once, on first use."""

import pytest

from tests.runtime.stage import play
from trouper import MemoryJournal, Node, NodeClosed


def test_each_service_is_created_once() -> None:
    """A second access gives the same object; a given journal is the journal."""
    journal = MemoryJournal()

    async def main() -> None:
        async with Node(journal=journal) as node:
            for name in ("registry", "groups", "events", "introspection", "recorder", "dead_letters"):
                assert getattr(node, name) is getattr(node, name)
            assert node.journal is journal

    play(main)


def test_before_the_start_there_is_no_system() -> None:
    """The error says how a node is started."""
    with pytest.raises(NodeClosed, match=r"node local has not started: use `async with Node\(\) as node`"):
        _ = Node().system
