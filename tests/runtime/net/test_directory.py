"""One cell for each remote actor, over all sessions with its node."""

import gc

from tests.runtime.net.stage import Add, Clerk, Downs, Sum, cell_of, paired, peer_of, remote_of, spawn_remote
from trouper import Node, ServiceKey
from trouper.runtime.kernel.address import NodeId


@paired
async def test_a_ref_reaches_its_actor_again_when_the_same_generation_is_connected_again(a: Node, b: Node) -> None:
    """The watchers got one Down; a new watch and a new ask find the actor as it was."""
    ada, ben = await spawn_remote(a, "b", Clerk, 7, name="ada"), await a.spawn(Clerk)
    ada.watch(ben)
    peer = peer_of(ada)
    peer.lose("the cable was cut", [])
    assert await ben.ask(Downs()) == ["node_lost"]
    a.network._peers["b"] = again = type(peer)(a.network, peer.node_id, peer._send_buffer._sender)  # noqa: SLF001  as a new link does
    a.network._peer_of_session[next(iter(a.network._peer_of_session))] = again  # noqa: SLF001  see above
    back = b.network.peer("a")
    b.network._peers["a"] = fresh = type(back)(b.network, back.node_id, back._send_buffer._sender)  # noqa: SLF001  see above
    b.network._peer_of_session[next(iter(b.network._peer_of_session))] = fresh  # noqa: SLF001  see above
    fresh.authenticate(back.identity)
    assert await ada.ask(Sum()) == 7
    ada.watch(ben)
    ada.tell(Add(1))
    await ada.drain()
    assert await ben.ask(Downs()) == ["node_lost", "stopped"]
    assert cell_of(ada).gone


@paired
async def test_an_actor_has_one_cell_here_and_none_without_a_ref(a: Node, b: Node) -> None:
    """However it was found, its cell is the same object, so that a signal about it reaches all refs."""
    ada = await spawn_remote(a, "b", Clerk, name="ada")
    cell, directory = remote_of(ada), a.network.directory
    assert await a.network.whereis("b", "user/ada") is ada
    assert directory.cell(cell.node_id, cell.uid, "user/ada") is cell
    uid, path = cell.uid + 1, "user/unheard"
    assert directory.cell(cell.node_id, uid, path).uid == uid
    gc.collect()
    assert directory.get(cell.node_id, uid) is None


@paired
async def test_a_new_generation_of_a_node_ends_the_actors_of_the_old_one(a: Node, b: Node) -> None:
    """Also those whose refs come only afterwards; which number is larger makes no difference."""
    directory = a.network.directory
    old, new = NodeId("z", 6), NodeId("z", 5)
    directory.begin_generation(old)
    before = directory.cell(old, 1, "user/x")
    assert not before.gone
    directory.begin_generation(new)
    assert (before.gone, before.reason) == (True, "node_lost")
    assert directory.cell(old, 2, "user/y").gone
    assert not directory.cell(new, 1, "user/x").gone
    directory.begin_generation(old)
    assert not directory.cell(new, 1, "user/x").gone, "what is over does not get the name back"


@paired
async def test_a_ref_that_comes_after_its_node_was_held_for_lost_works_though_an_old_one_is_held(
    a: Node, b: Node
) -> None:
    """Whether a program still holds the old ref, which has ended, must make no difference to the new one."""
    ada = await a.spawn(Clerk, name="ada")
    old = b.network.directory.cell(a.network.node_id, cell_of(ada).uid, "user/ada")
    b.network.directory.end_generation(a.network.node_id, "its node says so")
    assert (old.gone, old.reason) == (True, "node_lost")
    new = b.network.directory.cell(a.network.node_id, cell_of(ada).uid, "user/ada")
    assert not new.gone
    assert new.ref == old.ref
    assert await old.ref.wait_stopped() == "node_lost", "what has ended stays so for its watchers"


@paired
async def test_an_actor_of_this_node_that_is_not_found_here_has_ended(a: Node, b: Node) -> None:
    """Its refs are dead, and say so."""
    ghost = a.network.directory.cell(a.network.node_id, 999, "user/ghost")
    assert (ghost.gone, await ghost.ref.wait_stopped()) == (True, "no_such_actor")


@paired
async def test_a_ref_of_an_earlier_generation_of_this_node_is_not_the_ref_of_its_actor(a: Node, b: Node) -> None:
    """It came back from a peer after this node was restarted: path and uid are the same, the actor is another one."""
    ada = await a.spawn(Clerk, name="ada")
    cell, directory = cell_of(ada), a.network.directory
    earlier, now = NodeId("a", a.network.node_id.generation - 1), a.network.node_id
    stale, stale_there = (node.network.directory.cell(earlier, cell.uid, "user/ada").ref for node in (a, b))
    assert (stale == ada, ada == stale, len({stale, ada})) == (False, False, 2)
    assert stale == stale_there
    assert directory.cell(now, cell.uid, "user/ada").ref == ada, "however it came, it is the actor of this generation"
    refs = [ada, stale, stale_there, directory.cell(now, cell.uid, "user/ada").ref]
    assert all(one == three for one in refs for two in refs for three in refs if one == two and two == three)
    key = ServiceKey("clerks")
    a.registry.register(key, ada)
    assert a.registry.unregister(key, stale) is False
    assert list(a.registry.find(key)) == [ada]
    assert await stale.wait_stopped() == "node_lost"
