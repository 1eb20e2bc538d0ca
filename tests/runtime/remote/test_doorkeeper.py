"""What a node says to a node itself, and what comes too late."""

from tests.runtime.remote.stage import Add, Clerk, cell_of, far, paired, remote_of
from trouper import Node
from trouper.runtime.remote.control import Cancel, End, Ended, Pressure, Watch
from trouper.testing import settle


@paired
async def test_what_comes_too_late_for_an_actor_is_passed_over(a: Node, b: Node) -> None:
    """Ends, cancellations and pressure of what is gone; a watch is answered."""
    ada = await far(a, "b", Clerk, name="ada")
    uid = remote_of(ada).uid
    await ada.stop()
    peer = a.network.peer("b")
    for message in (End(uid, "kill"), Cancel(99), Pressure(uid, True), Ended(uid, "stopped"), Watch(uid)):
        peer.control(message)
    await settle()
    ben = await far(a, "b", Clerk, name="ben")
    assert await ben.ask(Add(2)) == 2


@paired
async def test_a_node_that_goes_down_tells_of_no_single_end(a: Node, b: Node) -> None:
    """Its peers hear that the node is lost, once for each actor that they watch."""
    ada = await far(a, "b", Clerk)
    ended = cell_of(ada).end_future()
    await b.shut_down()
    await ended
    assert cell_of(ada).reason == "node_lost"
