import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import Fail, Note, Notes, Player, cell_of, play_on, staged
from trouper import Actor, ActorRef, CallerError, Down, GroupJoined, GroupLeft, GroupMembers, GroupScope, Node, handler
from trouper.testing import Probe, settle


class Onlooker(Actor):
    """Adds up what it hears of groups: the snapshot, then each change."""

    def __init__(self, seen: dict[str, Counter[ActorRef]]) -> None:
        self.seen = seen

    @handler
    def snapshot(self, msg: GroupMembers) -> None:
        self.seen[msg.group] = Counter(msg.members)

    @handler
    def joined(self, msg: GroupJoined) -> None:
        self.seen[msg.group].update(msg.members)

    @handler
    def left(self, msg: GroupLeft) -> None:
        self.seen[msg.group].subtract(msg.members)
        self.seen[msg.group] += Counter()  # removes members with a count of 0


class Mourner(Actor):
    def __init__(self, found: list[object]) -> None:
        self.found = found

    def on_terminated(self, down: Down) -> None:
        self.found.append(self.node.groups.members("crew"))


@staged
async def test_who_joins_twice_has_to_leave_twice(node: Node) -> None:
    """Each join counts, and each leave takes one back."""
    ada, bob = await node.spawn(Player), await node.spawn(Player)
    node.groups.join("crew", ada, bob, ada)
    assert node.groups.members("crew") == [ada, ada, bob]
    assert node.groups.leave("crew", ada, ada, ada) == 2
    assert node.groups.members("crew") == [bob]
    assert node.groups.leave("crew", ada) == 0
    assert node.groups.groups() == ["crew"]
    assert node.groups.leave("crew", bob) == 1
    assert node.groups.groups() == []


@staged
async def test_scopes_know_nothing_of_one_another(node: Node) -> None:
    """The same group name in two scopes is two groups; `node.groups` is the scope `default`."""
    ada, bob = await node.spawn(Player), await node.spawn(Player)
    other = node.groups.scope("other")
    node.groups.join("crew", ada)
    other.join("crew", bob)
    assert (node.groups.members("crew"), other.members("crew")) == ([ada], [bob])
    assert node.groups.scope("other") is other
    assert node.groups.scope("default") is node.groups
    assert node.groups.scopes() == ["default", "other"]


@staged
async def test_an_actor_of_another_node_joins_there(node: Node) -> None:
    """A node enters only its own actors."""
    async with Node("away") as away:
        stranger = await away.spawn(Player)
        message = f"{stranger.address} is not of node local: let it join on its own node"
        with pytest.raises(CallerError, match=f"^{re.escape(message)}$"):
            node.groups.join("crew", stranger)


@staged
async def test_a_broadcast_reaches_each_member_once(node: Node) -> None:
    """However often an actor has joined, it gets the message once; outsiders get nothing."""
    ada, bob, eve = [await node.spawn(Player) for _ in range(3)]
    node.groups.join("crew", ada, bob, ada)
    assert node.groups.broadcast("crew", Note(7)) == 2
    assert [await ref.ask(Notes()) for ref in (ada, bob, eve)] == [[7], [7], []]
    assert node.groups.broadcast("empty", Note(8)) == 0


@staged
async def test_a_monitor_gets_the_members_and_then_each_change(node: Node) -> None:
    """First the snapshot, then joins and leaves as they were made; other groups are not its business."""
    probe, ada, bob = Probe(node), await node.spawn(Player), await node.spawn(Player)
    node.groups.join("crew", ada)
    node.groups.monitor("crew", probe.ref)
    await probe.expect(GroupMembers("default", "crew", (ada,)))
    node.groups.join("crew", bob, ada)
    await probe.expect(GroupJoined("default", "crew", (bob, ada)))
    node.groups.join("others", bob)
    await ada.kill()
    await probe.expect(GroupLeft("default", "crew", (ada, ada)))
    node.groups.leave("crew", bob)
    await probe.expect(GroupLeft("default", "crew", (bob,)))
    assert node.groups.demonitor("crew", probe.ref)
    assert not node.groups.demonitor("crew", probe.ref)
    node.groups.join("crew", bob)
    await probe.expect_no()


@staged
async def test_who_monitors_all_groups_hears_of_each_change_once(node: Node) -> None:
    """Groups made later are included, and a monitor of both kinds gets each change once."""
    probe, ada = Probe(node), await node.spawn(Player)
    node.groups.join("crew", ada)
    node.groups.monitor_all(probe.ref)
    node.groups.monitor("late", probe.ref)
    await probe.expect(GroupMembers("default", "crew", (ada,)))
    await probe.expect(GroupMembers("default", "late", ()))
    node.groups.join("late", ada)
    await probe.expect(GroupJoined("default", "late", (ada,)))
    await probe.expect_no()


@staged
async def test_membership_survives_a_restart(node: Node) -> None:
    """The ref is the member, not the instance."""
    ada = await node.spawn(Player)
    node.groups.join("crew", ada)
    ada.tell(Fail())
    assert await ada.ask(Notes()) == []
    assert cell_of(ada).restarts == 1
    assert node.groups.members("crew") == node.groups.local_members("crew") == [ada]


@staged
async def test_an_actor_that_has_ended_is_no_member_when_its_down_is_handled(node: Node) -> None:
    """It has left by then; joining after its end changes nothing, and neither does monitoring."""
    found: list[object] = []
    mourner, ada = await node.spawn(Mourner, found), Probe(node).ref
    ada.watch(mourner)
    node.groups.join("crew", ada)
    node.groups.monitor("crew", ada)
    await settle()
    await ada.stop()
    await settle()
    assert found == [[]]
    node.groups.join("crew", ada)
    node.groups.monitor("crew", ada)
    assert node.groups.groups() == []
    assert node.accounting().dead == 0


@staged
async def test_who_is_in_no_group_is_not_watched(node: Node) -> None:
    """After the last membership has ended, the scope holds on to nothing."""
    ada = await node.spawn(Player)
    node.groups.join("crew", ada)
    node.groups.monitor("crew", ada)
    node.groups.leave("crew", ada)
    assert cell_of(ada).watchers
    node.groups.demonitor("crew", ada)
    assert not cell_of(ada).watchers


Step = tuple[str, str, list[int]]
STEPS = st.tuples(
    st.sampled_from(["join", "leave", "end"]), st.sampled_from("ab"), st.lists(st.integers(0, 3), max_size=4)
)


@given(st.lists(STEPS, max_size=20))
def test_groups_are_multisets(steps: list[Step]) -> None:
    """Joins, leaves and ends in any order give what a multiset would, and so does the sum of what a monitor hears."""

    async def scene(node: Node) -> None:
        refs = [await node.spawn(Player) for _ in range(4)]
        seen: dict[str, Counter[ActorRef]] = {}
        onlooker = await node.spawn(Onlooker, seen)
        for group in "ab":
            node.groups.monitor(group, onlooker)
        model: dict[str, Counter[ActorRef]] = defaultdict(Counter)
        for step in steps:
            await _take(node.groups, step, refs, model)
            for group in "ab":
                assert Counter(node.groups.members(group)) == model[group]
                assert Counter(node.groups.local_members(group)) == model[group]
            assert node.groups.groups() == sorted(group for group, members in model.items() if members)
        await settle()
        assert seen == {group: model[group] for group in "ab"}

    play_on(Node(), scene)


async def _take(scope: GroupScope, step: Step, refs: Sequence[ActorRef], model: dict[str, Counter[ActorRef]]) -> None:
    what, group, numbers = step
    named = [refs[number] for number in numbers]
    if what == "join":
        scope.join(group, *named)
        model[group].update(ref for ref in named if not cell_of(ref).gone)
    elif what == "leave":
        before = model[group].total()
        model[group] -= Counter(named)
        assert scope.leave(group, *named) == before - model[group].total()
    else:
        for ref in named[:1]:
            await ref.stop()
            for members in model.values():
                members.pop(ref, None)


@staged
async def test_monitors_that_end_leave_nothing_behind(node: Node) -> None:
    """Each is removed without a search of all groups; an actor may be a member and a monitor at once."""
    scope = node.groups.scope("many")
    players = [await node.spawn(Player) for _ in range(20)]
    for number, player in enumerate(players):
        scope.monitor(f"g{number}", player)
        scope.monitor_all(player)
        scope.join("all", player)
    assert scope.demonitor("g0", players[0])
    assert not scope.demonitor("g0", players[0])
    for player in players:
        await player.kill()
    tables: list[object] = [value for value in vars(scope).values() if isinstance(value, dict)]
    assert tables == [{}] * len(tables)
