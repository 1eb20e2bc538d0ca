"""What a node says to a node itself, and what comes too late."""

from tests.runtime.net.stage import Add, Clerk, cell_of, paired, remote_of, spawn_remote
from trouper import Node
from trouper.runtime.net.control import CancelAsk, EndActor, SetBackpressure, WatchActor, WatchedActorEnded
from trouper.testing import settle


@paired
async def test_what_comes_too_late_for_an_actor_is_passed_over(a: Node, b: Node) -> None:
    """Ends, cancellations and pressure of what is gone; a watch is answered."""
    ada = await spawn_remote(a, "b", Clerk, name="ada")
    uid = remote_of(ada).uid
    await ada.stop()
    peer = a.network.peer("b")
    for message in (
        EndActor(uid, "kill"),
        CancelAsk(99),
        SetBackpressure(uid, True),
        WatchedActorEnded(uid, "stopped"),
        WatchActor(uid),
    ):
        peer.control(message)
    await settle()
    ben = await spawn_remote(a, "b", Clerk, name="ben")
    assert await ben.ask(Add(2)) == 2


@paired
async def test_a_node_that_goes_down_tells_of_no_single_end(a: Node, b: Node) -> None:
    """Its peers get one Down for each actor that they watch."""
    ada = await spawn_remote(a, "b", Clerk)
    ended = cell_of(ada).end_future()
    await b.stop()
    await ended
    assert cell_of(ada).reason == "node_lost"
