"""Law 16 for the requests of a cluster: each is tried with every role, against a node that is a member."""

import asyncio

import pytest

from trouper import Message, Node
from trouper.actors.cluster.admin_service import DownMember, LeaveCluster, ListMembers
from trouper.actors.cluster.membership.packets import Gossip
from trouper.actors.cluster.messages import ClusterPacket, FollowMembership, GetKnownMembers, KnownMembers
from trouper.actors.cluster.node_metrics import NodeMetrics
from trouper.actors.cluster.replication_messages import (
    GetNodeMetrics,
    NodeMetricsReply,
    TopicMessage,
)
from trouper.cluster import ClusterConfig
from trouper.runtime.session.identity import ROLES, Identity, Role
from trouper.testing import settle, virtual_time

ACTING = frozenset({"member", "worker", "developer"})
READING = frozenset({"observer", "operator", "developer"})
CHANGING = frozenset({"operator", "developer"})
SAMPLES: list[tuple[Message[object], frozenset[str]]] = [
    (ClusterPacket(Gossip("tests", "a", ())), ACTING),
    (FollowMembership(), frozenset({"worker", "developer"})),
    (GetKnownMembers(), ACTING),
    (KnownMembers({}), ACTING),
    (TopicMessage("topic", GetNodeMetrics()), ACTING),
    (GetNodeMetrics(), ACTING),
    (NodeMetricsReply(NodeMetrics()), ACTING),
    (ListMembers(""), READING),
    (DownMember("nobody", "test"), CHANGING),
    (LeaveCluster("test"), CHANGING),
]


@pytest.mark.parametrize("role", ROLES)
@virtual_time
async def test_a_request_of_the_cluster_is_handled_or_refused_by_the_role_of_its_sender(role: Role) -> None:
    """Each is refused and counted for a role that may not send it, and handled for the others."""
    async with (
        Node("b", listen="inprocess://b", cluster=ClusterConfig(name="tests")) as b,
        Node("a", listen="inprocess://a", join=["inprocess://b"]) as a,
    ):
        await a.network.wait_for_peer("b")
        await b.network.wait_for_peer("a")
        b.network.peer("a").authenticate(Identity("k" * 40, "a", frozenset({role})))
        for message, allowed in SAMPLES:
            name = type(message).__qualname__
            if isinstance(message, LeaveCluster) and role in allowed:
                continue  # it ends the node; `test_admin_service` shows that
            a.network.peer("b").control(message)
            await settle()
            assert b.network.security.counts.get("a", {}).get(name, 0) == (0 if role in allowed else 1), name
        await asyncio.sleep(1.0)
        assert b.cluster.members()[0].status == "alive"


@virtual_time
async def test_the_samples_are_all_requests_that_a_cluster_serves() -> None:
    """A request that is added to the cluster has to be added to the samples, and so to this test."""
    async with Node("b", listen="inprocess://b", cluster=ClusterConfig(name="tests")) as b:
        handlers = b.network.request_handlers
        owners = {type_: served.owner for type_ in handlers if (served := handlers.get(type_)) is not None}
    of_cluster = {type_ for type_, owner in owners.items() if owner.startswith("cluster")}
    assert of_cluster == {type(message) for message, _ in SAMPLES}
