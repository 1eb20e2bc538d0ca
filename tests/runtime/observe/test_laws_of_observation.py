"""Law 14 of the runtime (docs/laws.md): an actor is observed from outside, whatever it does at the moment."""

from __future__ import annotations

import asyncio

from trouper import Actor, Message, Node, handler
from trouper.testing import run_virtual


class Wait(Message[int]):
    """Wait for the event; the reply is the number of messages handled."""


class Count(Message):
    """Count one more."""


class Waiter(Actor):
    def __init__(self, event: asyncio.Event) -> None:
        self.event, self.count = event, 0

    @handler
    async def wait(self, msg: Wait) -> int:
        await self.event.wait()
        return self.count

    @handler
    def count_one(self, msg: Count) -> None:
        self.count += 1


def test_law_14_an_actor_is_observed_in_the_middle_of_a_handler_and_before_its_mailbox() -> None:
    """State, statistics and mailbox are read while a handler waits, and reading them queues and handles nothing."""

    async def main() -> None:
        event = asyncio.Event()
        async with Node() as node:
            waiter = await node.spawn(Waiter, event)
            asked = waiter.ask(Wait())
            await asyncio.sleep(0)
            for _ in range(3):
                waiter.tell(Count())
            before = node.introspection.stats(waiter)
            assert (before.queued, before.handled, before.current_message) == (3, 0, "Wait()")
            assert node.introspection.get_state(waiter).fields["count"] == "0"
            assert len(node.introspection.peek(waiter).first) == 3
            assert node.introspection.stats(waiter) == before
            event.set()
            assert await asked == 0

    run_virtual(main)
