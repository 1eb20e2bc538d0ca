"""Copies of all tables agree once they have been compared, and no node has entries for another node's actors."""

import random

from trouper import ActorRef, Node
from trouper.actors.cluster.replicated_tables import UP, ReplicatedTables
from trouper.actors.cluster.replication_messages import TableDeltas
from trouper.runtime.gossip.versioned_table import Delta
from trouper.testing import run_virtual

from .test_replication_actor import Parrot

NODES = ("a", "b", "c")


def _cluster() -> dict[str, ReplicatedTables]:
    replicas = {node: ReplicatedTables(node, 1) for node in NODES}
    for one in replicas.values():
        one.sync_members(dict.fromkeys(NODES, 1))
    return replicas


def _compare(one: ReplicatedTables, other: ReplicatedTables) -> None:
    """What two replicators do when their checksums differ."""
    differ = [table for table, checksum in one.checksums().items() if other.checksums()[table] != checksum]
    for deltas in one.missing_in(other.digest(differ)):
        other.merge(deltas)
    for deltas in other.missing_in(one.digest(differ)):
        one.merge(deltas)


def test_after_comparing_all_have_the_same_checksums() -> None:
    """Whatever was written, lost, duplicated or late."""
    for seed in range(100):
        chance, replicas = random.Random(seed), _cluster()
        late: list[TableDeltas] = []
        for _ in range(40):
            me = replicas[chance.choice(NODES)]
            table = chance.choice((me.devices, me.statuses))
            if table is me.devices:
                me.devices.put(chance.choice("xyz"), chance.choice((None, "broken", "lost")))
            else:
                me.statuses.put(UP, chance.choice((None, 1, 2)))
            late += me.announcements()
            for deltas in chance.sample(late, min(2, len(late))):
                replicas[chance.choice(NODES)].merge(deltas)
        for one, other in (("a", "b"), ("b", "c"), ("a", "c"), ("a", "b")):
            _compare(replicas[one], replicas[other])
        assert replicas["a"].checksums() == replicas["b"].checksums() == replicas["c"].checksums()
        for owner in NODES:
            rows = [replica.devices.table.row(owner) for replica in replicas.values()]
            assert rows[0] == rows[1] == rows[2]
            assert len({replica.up_number(owner) for replica in replicas.values()}) == 1


def test_only_new_deltas_are_announced_and_passed_on() -> None:
    """A delta that does not connect is a gap of its table."""
    replicas = _cluster()
    a, b = replicas["a"], replicas["b"]
    a.devices.put("gpu", "broken")
    (first,) = a.announcements()
    a.devices.put("disk", "lost")
    (second,) = a.announcements()
    assert a.announcements() == []
    assert b.merge(second).gaps == {"devices"}
    assert b.merge(first).fresh == first
    assert b.merge(first) == ([], None, frozenset())
    assert b.merge(second).fresh == second


def test_reports_of_unreachable_members_make_a_matrix() -> None:
    """Each node writes its own row, until enough others have reported a member."""
    replicas = _cluster()
    a, b = replicas["a"], replicas["b"]
    a.observe(["c"])
    for deltas in a.announcements():
        b.merge(deltas)
    b.observe(["c", "a"])
    assert b.reachability().observations == {("a", "c"), ("b", "c"), ("b", "a")}
    b.observe([])
    assert b.reachability().observations == {("a", "c")}
    b.sync_members({"b": 1, "c": 1})
    assert b.reachability().observations == frozenset()


def test_entries_for_actors_of_another_node_are_ignored() -> None:
    """A delta with an actor of a third node is not merged."""

    async def scene() -> None:
        async with Node("c") as node:
            ref: ActorRef = await node.spawn(Parrot)
            b = _cluster()["b"]
            forged = Delta("a", 1, 0, 1, ((("default", "band", ref), 1),), 1)
            assert b.merge(TableDeltas(groups=(forged,))).outcomes == []
            assert b.groups.members("default", "band") == ()
            honest = Delta("c", 1, 0, 1, ((("default", "band", ref), 1),), 1)
            b.merge(TableDeltas(groups=(honest,)))
            assert b.groups.members("default", "band") == (ref,)

    run_virtual(scene)
