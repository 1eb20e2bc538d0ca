"""Copies of all tables agree once they have been compared, and nobody speaks for another node's actors."""

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
    """What two replicators do when their sums differ."""
    differ = [table for table, sum_ in one.checksums().items() if other.checksums()[table] != sum_]
    for news in one.answer(other.digest(differ)):
        other.take(news)
    for news in other.answer(one.digest(differ)):
        one.take(news)


def test_after_comparing_all_have_the_same_sums() -> None:
    """Whatever was said, lost, doubled or late."""
    for seed in range(100):
        chance, replicas = random.Random(seed), _cluster()
        late: list[TableDeltas] = []
        for _ in range(40):
            me = replicas[chance.choice(NODES)]
            table = chance.choice((me.devices, me.statuses))
            if table is me.devices:
                me.devices.put(chance.choice("xyz"), chance.choice((None, "broken", "lost")))
            else:
                me.statuses.put(UP, chance.choice((None, True)))
            late += me.announcements()
            for news in chance.sample(late, min(2, len(late))):
                replicas[chance.choice(NODES)].take(news)
        for one, other in (("a", "b"), ("b", "c"), ("a", "c"), ("a", "b")):
            _compare(replicas[one], replicas[other])
        assert replicas["a"].checksums() == replicas["b"].checksums() == replicas["c"].checksums()
        for owner in NODES:
            rows = [replica.devices.table.row(owner) for replica in replicas.values()]
            assert rows[0] == rows[1] == rows[2]
            assert len({replica.is_up(owner) for replica in replicas.values()}) == 1


def test_only_what_is_new_is_told_and_passed_on() -> None:
    """And what does not join on is a gap, by its table."""
    replicas = _cluster()
    a, b = replicas["a"], replicas["b"]
    a.devices.put("gpu", "broken")
    (first,) = a.announcements()
    a.devices.put("disk", "lost")
    (second,) = a.announcements()
    assert a.announcements() == []
    assert b.take(second).gaps == {"devices"}
    assert b.take(first).fresh == first
    assert b.take(first) == ([], None, frozenset())
    assert b.take(second).fresh == second


def test_who_cannot_reach_whom_is_a_matrix() -> None:
    """Each node writes its own row, until enough others have said so of somebody."""
    replicas = _cluster()
    a, b = replicas["a"], replicas["b"]
    a.observe(["c"])
    for news in a.announcements():
        b.take(news)
    b.observe(["c", "a"])
    assert b.reachability().observations == {("a", "c"), ("b", "c"), ("b", "a")}
    b.observe([])
    assert b.reachability().observations == {("a", "c")}
    b.sync_members({"b": 1, "c": 1})
    assert b.reachability().observations == frozenset()


def test_nobody_speaks_for_another_nodes_actors() -> None:
    """A name for an actor of a third node is passed over."""

    async def scene() -> None:
        async with Node("c") as node:
            ref: ActorRef = await node.spawn(Parrot)
            b = _cluster()["b"]
            forged = Delta("a", 1, 0, 1, ((("default", "band", ref), 1),), 1)
            assert b.take(TableDeltas(groups=(forged,))).told == []
            assert b.groups.members("default", "band") == ()
            honest = Delta("c", 1, 0, 1, ((("default", "band", ref), 1),), 1)
            b.take(TableDeltas(groups=(honest,)))
            assert b.groups.members("default", "band") == (ref,)

    run_virtual(scene)
