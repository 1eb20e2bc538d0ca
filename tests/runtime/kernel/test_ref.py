import asyncio
import copy
import pickle

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Notes, Player, Story, cell_of, letters_of, staged, told
from trouper import Actor, ActorRef, ActorStopped, Down, Message, Node, Unhandled, handler
from trouper.runtime.kernel.address import NodeId
from trouper.runtime.kernel.cell import Cell
from trouper.runtime.net.remote_cell import RemoteCell
from trouper.testing import settle


@staged
async def test_tell_has_sent_when_it_returns(node: Node) -> None:
    """Nobody has to await it, and what is told in a row arrives in a row."""
    ref = await node.spawn(Player)
    for n in range(3):
        ref.tell(Note(n))
    assert node.accounting().sent == 3
    assert await ref.ask(Notes()) == [0, 1, 2]


@staged
async def test_tell_never_runs_a_handler_on_the_senders_stack(node: Node) -> None:
    """A sender that is in the middle of something is never entered again by what it sends."""
    story = Story()
    ref = await node.spawn(Player, story)
    ref.tell(Note(1))
    assert story == ["start"]
    await ref.ask(Notes())
    assert story == ["start", 1]


@staged
async def test_asks_and_tells_of_one_sender_stay_in_order(node: Node) -> None:
    """An ask does not overtake what was told before it, although an idle actor is answered at once."""
    ref = await node.spawn(Player)
    replies: list[list[int]] = []
    for n in range(20):
        ref.tell(Note(n))
        replies.append(await ref.ask(Notes()))
    assert replies == [list(range(n + 1)) for n in range(20)]


@staged
async def test_a_ref_is_a_value(node: Node) -> None:
    """Refs to one actor are equal and hash alike; a later actor of the same name is another one."""
    first = await node.spawn(Player, name="ada")
    same = ActorRef(cell_of(first))
    assert first == same
    assert len({first, same}) == 1
    await first.stop()
    second = await node.spawn(Player, name="ada")
    assert first != second
    assert first != "ada"
    assert (first.name, first.address.path) == (second.name, second.address.path) == ("ada", "user/ada")
    assert repr(second) == f"<trouper://local/user/ada#{second.address.uid}>"


class _Elsewhere:
    """Finds no peer: what refs of other nodes need to exist."""

    def __init__(self, node: Node) -> None:
        self.system = node.system

    def find_generation(self, node_id: NodeId) -> None:
        """Return no peer."""


def _ref_of(node: Node, node_id: NodeId, uid: int) -> ActorRef:
    return RemoteCell(_Elsewhere(node), node_id, "user/ada", uid).ref


@staged
async def test_refs_of_two_generations_of_a_node_are_never_equal(node: Node) -> None:
    """A ref of an earlier generation differs from one of the same path and uid, also on its own node."""
    ada = await node.spawn(Player, name="ada")
    name, generation = node.system.node_id
    same = _ref_of(node, NodeId(name, generation), ada.address.uid)
    stale, alike = (_ref_of(node, NodeId(name, generation - 1), ada.address.uid) for _ in range(2))
    assert ada == same
    assert hash(ada) == hash(same)
    assert stale == alike
    assert hash(stale) == hash(alike)
    assert stale not in (ada, same)
    assert stale.address.path == ada.address.path
    assert {ada: 1, stale: 2}[alike] == 2


@staged
async def test_two_nodes_of_one_name_have_different_refs(node: Node) -> None:
    """The generation tells the actors of two nodes apart, though names, paths and uids are the same."""
    first = await node.spawn(Player, name="ada")
    async with Node(node.name) as other:
        second = await other.spawn(Player, name="ada")
        assert first.address == second.address
        assert first != second


@staged
async def test_refs_of_many_nodes_rarely_collide(node: Node) -> None:
    """Each node numbers its actors from 1; the hash mixes the node in, and comparing makes no address."""
    refs = [_ref_of(node, NodeId(f"n{number}", 7), uid) for number in range(100) for uid in range(1, 101)]
    assert len({hash(ref) for ref in refs}) > 9_900
    assert len({hash(ref) % 2**14 for ref in refs}) > 7_000


@staged
async def test_comparing_refs_makes_no_addresses(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address is made by a walk through all parents, which no look-up in a dict should pay for."""
    deep = await node.spawn(Player)
    refs = [_ref_of(node, NodeId(f"n{number}", 7), deep.address.uid) for number in range(3)]
    monkeypatch.setattr(Cell, "address", None)
    monkeypatch.setattr(RemoteCell, "address", None)
    assert len({deep, *refs, *refs}) == 4
    monkeypatch.undo()


def test_the_hash_of_a_ref_is_the_same_in_every_process() -> None:
    """Sets of refs have one order in all runs of a simulation, which the hash of a text would change."""
    assert NodeId("n1", 7).stable_hash() == 0x75B54DE9


@staged
async def test_a_ref_is_not_pickled(node: Node) -> None:
    """Neither pickle nor copy may make a ref that belongs to nobody; the error says what to do."""
    ref = await node.spawn(Player)
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            act(ref)
        assert str(caught.value) == f"{ref!r} cannot be pickled: send it in a field of a Message instead"


@staged
async def test_a_ref_survives_a_restart(node: Node) -> None:
    """After a failure the same ref reaches the new instance."""
    story = Story()
    ref = await node.spawn(Player, story)
    ref.tell(Fail())
    ref.tell(Note(1))
    assert await ref.ask(Notes()) == [1]
    assert story == ["start", "stop", "start", 1]


@pytest.mark.parametrize(("end", "reason"), [("stop", "stopped"), ("drain", "stopped"), ("kill", "killed")])
@staged
async def test_what_is_sent_to_an_actor_that_has_ended(node: Node, end: str, reason: str) -> None:
    """What is told becomes a dead letter, what is asked fails at once, and both say how the actor ended."""
    letters = letters_of(node)
    ref = await node.spawn(Player)
    await getattr(ref, end)()
    await ref.tell(Note(1))
    began = asyncio.get_running_loop().time()
    with pytest.raises(ActorStopped) as caught:
        await ref.ask(Double(1))
    assert str(caught.value) == f"{ref.address} ended ({reason}) without handling Double"
    assert asyncio.get_running_loop().time() == began
    assert told(letters) == [(Note(1), reason), (Double(1), reason)]
    assert await ref.wait_stopped() == reason


@pytest.mark.parametrize("end", ["stop", "drain", "kill"])
@staged
async def test_ending_twice_is_fine(node: Node, end: str) -> None:
    """Every call may be repeated, and mixed with the others; each wait ends."""
    ref = await node.spawn(Player)
    await asyncio.gather(getattr(ref, end)(), ref.stop(), ref.drain(), ref.kill(), ref.wait_stopped())
    await getattr(ref, end)()
    assert cell_of(ref).gone


@staged
async def test_cancelling_a_wait_for_an_end_disturbs_nobody_else(node: Node) -> None:
    """Others that wait for the same end go on waiting, and the actor goes on ending."""
    gate = asyncio.Event()
    ref = await node.spawn(Player, Story(), gate)
    ref.tell(Hold(1))
    await settle()
    waits = [asyncio.ensure_future(ref.stop()), asyncio.ensure_future(ref.wait_stopped())]
    await settle()
    waits[0].cancel()
    await settle()
    assert waits[0].cancelled()
    assert not waits[1].done()
    gate.set()
    assert await waits[1] == "stopped"


@staged
async def test_killing_a_parent_does_not_disturb_who_waits_for_its_child(node: Node) -> None:
    """The parent's own wait for its child is cancelled, and no one else's."""
    gate, kids = asyncio.Event(), list[ActorRef]()

    class Stubborn(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            while not gate.is_set():
                try:
                    await gate.wait()
                except asyncio.CancelledError:
                    continue
            return msg.n

    class Parent(Actor):
        def on_start(self) -> None:
            kids.append(self.spawn_nowait(Stubborn))

    parent = await node.spawn(Parent)
    kids[0].tell(Hold(1))
    await settle()
    parent.stop()
    waiting = asyncio.ensure_future(kids[0].wait_stopped())
    await settle()
    parent.kill()
    assert await waiting == "killed"
    gate.set()


@staged
async def test_a_down_comes_once_with_the_reason(node: Node) -> None:
    """A watcher, however often it watches, gets one `Down`, with the failure as text when there was one."""
    story = Story()
    watcher = await node.spawn(Player, story)
    stopped, killed = await node.spawn(Player), await node.spawn(Player)
    failed = await node.spawn(Player, restart="temporary")
    for ref in (stopped, killed, failed, stopped):
        ref.watch(watcher)
    await stopped.stop()
    await killed.kill()
    failed.tell(Fail("no luck"))
    await failed.wait_stopped()
    await settle()
    assert story == [
        "start",
        Down(stopped, "stopped"),
        Down(killed, "killed"),
        Down(failed, "failed", "ValueError: no luck"),
    ]


@staged
async def test_watching_an_actor_that_has_ended_answers_at_once(node: Node) -> None:
    """The reason is `no_such_actor`, as Erlang says `noproc`: why it ended may long be forgotten."""
    story = Story()
    watcher, gone = await node.spawn(Player, story), await node.spawn(Player)
    await gone.stop()
    gone.watch(watcher)
    await settle()
    assert story == ["start", Down(gone, "no_such_actor")]


@staged
async def test_unwatching_takes_back_a_down_that_is_under_way(node: Node) -> None:
    """After `unwatch` no `Down` is handled, even if it was queued already, and others are not touched."""
    story, gate = Story(), asyncio.Event()
    watcher = await node.spawn(Player, story, gate)
    one, two = await node.spawn(Player), await node.spawn(Player)
    one.watch(watcher)
    two.watch(watcher)
    watcher.tell(Hold(0))
    await settle()
    await one.stop()
    await two.stop()
    one.unwatch(watcher)
    gate.set()
    await settle()
    assert story == ["start", ("hold", 0), Down(two, "stopped")]


@staged
async def test_unwatching_what_was_never_watched_is_fine(node: Node) -> None:
    """Also when one of the two has ended."""
    one, two = await node.spawn(Player), await node.spawn(Player)
    one.unwatch(two)
    await one.stop()
    one.unwatch(two)
    two.unwatch(one)
    one.watch(one)


@staged
async def test_an_ask_of_a_type_without_a_handler_names_the_handlers(node: Node) -> None:
    """The asker learns what the actor does handle, and the actor is not harmed."""

    class Strange(Message[int]):
        pass

    class Small(Actor):
        @handler
        def note(self, msg: Note) -> None:
            pass

    ref = await node.spawn(Small)
    with pytest.raises(Unhandled) as caught:
        await ref.ask(Strange())
    assert str(caught.value) == f"{ref.address} has no handler for {Strange.__qualname__}; it handles: Down, Note"


@staged
async def test_the_future_of_an_ask_can_be_awaited_again(node: Node) -> None:
    """It is a future like others: gather it, wait for it, look at it twice."""
    ref = await node.spawn(Player)
    ask = ref.ask(Double(4))
    assert [await ask, await ask] == [8, 8]
    done, _ = await asyncio.wait([ref.ask(Double(1)), ref.ask(Hold(1), timeout_s=0.0)])
    assert len(done) == 2
    assert sorted(type(future.exception()).__name__ for future in done) == ["AskTimeout", "NoneType"]
