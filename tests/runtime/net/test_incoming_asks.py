"""What becomes of the asks that came from another node; see also test_peer.py, where they are asked."""

import asyncio

import pytest

from tests.runtime.net.stage import Add, Clerk, Numbers, Ruin, paired
from trouper import ActorStopped, Node
from trouper.runtime.net.incoming_asks import END_FIRST_S
from trouper.testing import settle


class LongFarewell(Clerk):
    """Takes its time to end.  farewell_s: so long."""

    def __init__(self, farewell_s: float) -> None:
        super().__init__()
        self.farewell_s = farewell_s

    async def on_stop(self) -> None:
        await asyncio.sleep(self.farewell_s)


@paired
async def test_an_error_reply_comes_after_the_end_of_its_actor(a: Node, b: Node) -> None:
    """A message that is sent because of the error then reaches the actor's successor."""
    ada = await a.spawn(LongFarewell, 0.9, place="b")
    with pytest.raises(ValueError, match="no such value"):
        await ada.ask(Ruin("value"))
    ada.tell(Add(1))
    assert await ada.ask(Numbers()) == [1]


@paired
async def test_an_error_does_not_wait_for_an_end_that_takes_long(a: Node, b: Node) -> None:
    """It would come too late for its asker."""
    ada = await a.spawn(LongFarewell, 3.0, place="b")
    began = b.system.loop.time()
    with pytest.raises(ValueError, match="no such value"):
        await ada.ask(Ruin("value"))
    assert b.system.loop.time() == pytest.approx(began + END_FIRST_S)


@paired
async def test_who_is_lost_before_the_end_is_not_answered(a: Node, b: Node) -> None:
    """And the error that waited for the end of its actor is kept no longer."""
    ada = await a.spawn(LongFarewell, 0.9, place="b")
    ask = ada.ask(Ruin("value"))
    await settle()
    incoming_asks = b.network.peers["a"].incoming_asks
    assert len(incoming_asks.waiting) == 1
    a.network.end_session("b", "for the test")
    b.network.end_session("a", "for the test")
    assert incoming_asks.waiting == {}
    with pytest.raises(ActorStopped, match="node b is lost: for the test"):
        await ask
