"""Asks, deadlines and timers keep no object after their end, however far away their time was."""

import gc

from tests.runtime.stage import Double, Hold, Note, Player, staged
from trouper import Actor, Message, Node, handler
from trouper.runtime.actor.timers import _Timer  # counted, since no public fact tells of it
from trouper.runtime.kernel.ask import Ask, Invocation
from trouper.runtime.kernel.clock import LINES_MAX
from trouper.testing import settle


class Remind(Message[int]):
    """Set a timer a year ahead and cancel it; the reply counts the calls."""


class Forgetful(Actor):
    """Sets timers and cancels them."""

    def __init__(self) -> None:
        self.calls = 0

    @handler
    def remind(self, msg: Remind) -> int:
        self.calls += 1
        self.timers.once(self.calls, 3.2e7, Note(self.calls))
        assert self.timers.cancel(self.calls)
        return self.calls


def _living(kind: type) -> int:
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())


@staged
async def test_asks_with_any_time_outs_keep_nothing_once_they_are_answered(node: Node) -> None:
    """Asks of as many different hours are queued and answered: no ask is left, and a bounded number of timers."""
    player = await node.spawn(Player)
    asks_before, invocations_before = _living(Ask), _living(Invocation)
    for n in range(2_000):
        player.tell(Note(n))  # so that the ask is queued
        assert await player.ask(Double(n), timeout_s=600.0 + n) == 2 * n
    cancelled = [player.ask(Hold(1), timeout_s=3_600.0 + n) for n in range(100)]
    while cancelled:
        cancelled.pop().cancel()
    await settle()
    assert (_living(Ask), _living(Invocation)) == (asks_before, invocations_before)
    deadlines = vars(node.system.deadlines)  # internals: no public fact tells of an empty line
    assert sum(len(line) for table in (deadlines["_lines"], deadlines["_buckets"]) for line in table.values()) == 0
    assert len(deadlines["_lines"]) <= LINES_MAX


@staged
async def test_cancelled_timers_keep_nothing_in_their_actor(node: Node) -> None:
    """A timer that is cancelled keeps neither its key nor its message."""
    ref = await node.spawn(Forgetful)
    before = _living(_Timer)
    for _ in range(500):
        await ref.ask(Remind())
    assert _living(_Timer) == before
