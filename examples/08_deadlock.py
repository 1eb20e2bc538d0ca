"""A cycle of actors that wait for each other is an error that names the cycle, not a time-out after five seconds."""

import trouper
from trouper import Actor, ActorRef, DeadlockError, Message, Node, handler


class Introduce(Message):
    """Tell an actor which one to ask."""

    other: ActorRef


class Where(Message[str]):
    """The reply says where the key is."""


class Keeper(Actor):
    """Asks the next one, which asks the next one."""

    @handler
    def introduce(self, msg: Introduce) -> None:
        """Remember."""
        self.other = msg.other

    @handler
    async def where(self, msg: Where) -> str:
        """Ask on.  An async handler waits here, and its actor handles nothing meanwhile."""
        try:
            return await self.other.ask(msg)
        except DeadlockError as error:
            print("\n  -> ".join(error.cycle))
            return f"{self.ref.name} found a ring of {len(error.cycle) - 1}"


async def main() -> None:
    """Let three actors ask each other in a ring."""
    async with Node() as node:
        keepers = [await node.spawn(Keeper, name=name) for name in ("ann", "bob", "cid")]
        for keeper, other in zip(keepers, [*keepers[1:], keepers[0]], strict=True):
            await keeper.ask(Introduce(other))
        print(await keepers[0].ask(Where()))


trouper.run(main)

# Output:
# | trouper://local/user/cid#6
# |   -> trouper://local/user/ann#4
# |   -> trouper://local/user/bob#5
# |   -> trouper://local/user/cid#6
# | cid found a ring of 3
