import asyncio
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import Double, play_on, staged
from trouper import Actor, ActorStopped, AskTimeout, Node, handler
from trouper.runtime.actor.forwarding import detach_reply
from trouper.runtime.actor.routers.gather import Gather
from trouper.runtime.kernel.ask import Ask, is_ask
from trouper.testing import settle

Outcome = int | str
"""A number is a reply, a text is the failure with this text."""


class Keeper(Actor):
    """Takes asks away from its handler, so that a test can answer them."""

    def __init__(self, kept: list[Ask[object]]) -> None:
        self.kept = kept

    @handler
    def keep(self, msg: Double) -> int:
        item = detach_reply(self.__cell__, msg, self.__cell__)
        assert is_ask(item)
        self.kept.append(item)
        return 0


async def _owed(node: Node, timeout_s: float = 5.0) -> tuple[asyncio.Future[int], Ask[object]]:
    """An ask, as its asker and as its answerer sees it."""
    kept: list[Ask[object]] = []
    keeper = await node.spawn(Keeper, kept)
    asked = keeper.ask(Double(1), timeout_s=timeout_s)
    await settle()
    return asked, kept[0]


def _futures(count: int) -> list[asyncio.Future[object]]:
    loop = asyncio.get_running_loop()
    return [loop.create_future() for _ in range(count)]


async def _gathered(node: Node, outcomes: Sequence[Outcome], order: Sequence[int], *, first: bool) -> Outcome:
    asked, owed = await _owed(node)
    asks = _futures(len(outcomes))
    Gather(owed, asks, first=first)
    for place in order:
        outcome = outcomes[place]
        if asks[place].done():
            continue
        if isinstance(outcome, str):
            asks[place].set_exception(ValueError(outcome))
        else:
            asks[place].set_result(outcome)
        await settle()
    assert all(ask.done() for ask in asks)
    try:
        return await asked
    except ValueError as error:
        return str(error)


OUTCOMES = st.lists(st.integers() | st.text(max_size=3), min_size=1, max_size=5)


@given(OUTCOMES.flatmap(lambda outcomes: st.tuples(st.just(outcomes), st.permutations(range(len(outcomes))))))
def test_the_first_reply_wins(drawn: tuple[list[Outcome], list[int]]) -> None:
    """The first reply is the answer; when all have failed, the first failure is."""
    outcomes, order = drawn
    in_time = [outcomes[place] for place in order]
    expected = next((outcome for outcome in in_time if isinstance(outcome, int)), in_time[0])
    assert play_on(Node(), lambda node: _gathered(node, outcomes, order, first=True)) == expected


@given(OUTCOMES.flatmap(lambda outcomes: st.tuples(st.just(outcomes), st.permutations(range(len(outcomes))))))
def test_all_are_waited_for(drawn: tuple[list[Outcome], list[int]]) -> None:
    """The reply of the first in order is the answer once all have replied; the first failure in time fails it."""
    outcomes, order = drawn
    in_time = [outcomes[place] for place in order]
    expected = next((outcome for outcome in in_time if isinstance(outcome, str)), outcomes[0])
    assert play_on(Node(), lambda node: _gathered(node, outcomes, order, first=False)) == expected


@staged
async def test_the_others_are_cancelled_when_one_has_won(node: Node) -> None:
    """The remaining asks are cancelled, and so are the handlers that work on them."""
    asked, owed = await _owed(node)
    asks = _futures(3)
    Gather(owed, asks, first=True)
    asks[1].set_result(7)
    await settle()
    assert await asked == 7
    assert [ask.cancelled() for ask in asks] == [True, False, True]


@staged
async def test_an_asker_hears_when_the_asks_were_cut_off(node: Node) -> None:
    """Asks that are cancelled by the end of the router end the original ask with `ActorStopped`, not as cancelled."""
    asked, owed = await _owed(node)
    asks = _futures(2)
    Gather(owed, asks, first=True)
    for ask in asks:
        ask.cancel()
    await settle()
    message = f"{owed.target.address} ended before all replies to Double had come"
    with pytest.raises(ActorStopped, match=f"^{re.escape(message)}$"):
        await asked


@pytest.mark.parametrize("first", [True, False])
def test_all_are_cancelled_when_the_asker_gives_up(*, first: bool) -> None:
    """A deadline and a cancellation reach every routee."""

    async def scene(node: Node) -> None:
        asked, owed = await _owed(node)
        asks = _futures(2)
        Gather(owed, asks, first=first)
        asked.cancel()
        await settle()
        assert all(ask.cancelled() for ask in asks)

        asked, owed = await _owed(node, timeout_s=1.0)
        asks = _futures(2)
        Gather(owed, asks, first=first)
        with pytest.raises(AskTimeout):
            await asked
        await settle()
        assert all(ask.cancelled() for ask in asks)

    play_on(Node(), scene)
