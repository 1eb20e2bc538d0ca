"""What an ask can end with: a reply, the handler's own exception, a time-out, or the end of the actor."""

import asyncio
import logging

import trouper
from trouper import Actor, ActorStopped, AskTimeout, Message, Node, Unhandled, handler


class Divide(Message[float]):
    """The reply is `above / below`."""

    above: float
    below: float


class Ponder(Message[str]):
    """Answered after `seconds`."""

    seconds: float


class Sing(Message):
    """Nobody here handles this."""


class Oracle(Actor):
    """Answers, slowly if it has to."""

    @handler
    def divide(self, msg: Divide) -> float:
        """An exception reaches the asker with its type."""
        return msg.above / msg.below

    @handler
    async def ponder(self, msg: Ponder) -> str:
        """A handler that waits; it is cancelled when its asker gives up."""
        try:
            await asyncio.sleep(msg.seconds)
        except asyncio.CancelledError:
            print("  (the handler was cancelled)")
            raise
        return "42"


async def main() -> None:
    """Ask for everything that can go wrong."""
    logging.disable()  # the crash is on purpose: leave its report out of the output
    async with Node() as node:
        oracle = await node.spawn(Oracle, name="oracle")
        print("divide:", await oracle.ask(Divide(1, 4)))
        try:
            await oracle.ask(Divide(1, 0))
        except ZeroDivisionError as error:
            print("the handler raised:", error)
        print("it was restarted and goes on:", await oracle.ask(Divide(1, 2)))
        try:
            await oracle.ask(Ponder(60), timeout_s=0.01)
        except AskTimeout as error:
            print("too late:", str(error).replace("; ", ";\n  "))
        await asyncio.sleep(0)
        try:
            await oracle.ask(Sing())
        except Unhandled as error:
            print("unhandled:", error)
        replies = await asyncio.gather(*[oracle.ask(Divide(number, 2)) for number in range(5)])  # five in flight
        print("many at once:", replies)
        await oracle.stop()
        try:
            await oracle.ask(Divide(1, 1))
        except ActorStopped as error:
            print("gone:", error)


trouper.run(main)

# Output:
# | divide: 0.25
# | the handler raised: division by zero
# | it was restarted and goes on: 0.5
# | too late: trouper://local/user/oracle#4 did not answer Ponder within 0.01 s (live, 0 queued, at work on Ponder);
# |   its handler may have run
# |   (the handler was cancelled)
# | unhandled: trouper://local/user/oracle#4 has no handler for Sing; it handles: Divide, Down, Ponder
# | many at once: [0.0, 0.5, 1.0, 1.5, 2.0]
# | gone: trouper://local/user/oracle#4 ended (stopped) without handling Divide
