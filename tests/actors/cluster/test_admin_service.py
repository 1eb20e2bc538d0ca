"""Requests to a member from a node with a session, such as the command line."""

import asyncio
from functools import partial

import pytest

from tests.actors.cluster.stage import play, view
from trouper import CallerError, Message, Node
from trouper.actors.cluster import admin_service
from trouper.actors.cluster.admin_service import DownMember, LeaveCluster, ListMembers, MemberPage
from trouper.testing import Simulation


async def _ask(question: Message[object], node: Node) -> object:
    return await node.network.peer("n2").control_ref.ask(question)


async def _pages(sim: Simulation) -> None:
    first = await sim.run_on("n1", partial(_ask, ListMembers()))
    assert isinstance(first, MemberPage)
    assert (first.cluster, first.node, first.more) == ("tests", "n2", True)
    assert [(each.member.name, each.member.status, each.suspicion) for each in first.listed] == [
        ("n1", "alive", 0.0),
        ("n2", "alive", 0.0),
    ]
    rest = await sim.run_on("n1", partial(_ask, ListMembers(after="n2")))
    assert isinstance(rest, MemberPage)
    assert ([each.member.name for each in rest.listed], rest.more) == (["n3"], False)


def test_members_are_listed_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page says whether another follows."""
    monkeypatch.setattr(admin_service, "PAGE", 2)
    play(_pages)


async def _down_and_leave(sim: Simulation) -> None:
    assert await sim.run_on("n1", partial(_ask, DownMember("n9", "why not"))) is False
    assert await sim.run_on("n1", partial(_ask, DownMember("n3", "it is broken"))) is True
    await asyncio.sleep(2)
    page = await sim.run_on("n1", partial(_ask, ListMembers()))
    assert isinstance(page, MemberPage)
    assert [(each.name, each.status, each.reason) for each in page.ended] == [
        ("n3", "down", "it is broken (asked by n1)")
    ]
    assert await sim.run_on("n1", partial(_ask, LeaveCluster("the day is over"))) == "n2"
    await sim.run_on("n1", lambda node: node.cluster.wait_for(1))
    await asyncio.sleep(20)
    assert view(sim["n1"]) == "n1"
    assert sim["n2"].shutdown.reason == "the day is over (asked by n1)"
    assert str(sim["n3"].shutdown.reason).startswith("node n3 was taken down by the cluster 'tests'")


def test_members_are_taken_down_and_leave_when_asked() -> None:
    """The status says why a member is down; one that is asked to leave ends in order."""
    play(_down_and_leave)


async def _dial(node: Node) -> None:
    node.network.connect("sim://n2")
    await node.network.wait_for_peer("n2")


async def _gone(sim: Simulation) -> None:
    await sim.run_on("n2", lambda node: node.cluster.leave())
    await sim.run_on("n1", _dial)
    with pytest.raises(CallerError, match="no member of the cluster 'tests' any more"):
        await sim.run_on("n1", partial(_ask, LeaveCluster("again")))


def test_a_node_that_has_left_cannot_leave_again() -> None:
    """It goes on alone, and says that it is no member."""
    play(_gone)
