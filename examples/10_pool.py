"""A pool: one ref in front of several supervised actors, with different routing strategies."""

import logging

import trouper
from trouper import Actor, Broadcast, ConsistentHash, Message, Node, Pool, Resize, RoundRobin, Routees, handler


class Parse(Message[str]):
    """The reply names the parser."""

    document: str


class Parser(Actor):
    """One of several; it fails on what is no document."""

    @handler
    def parse(self, msg: Parse) -> str:
        """Parse, and return the own name."""
        if not msg.document:
            raise ValueError("an empty document")
        return f"{msg.document} by {self.ref.name}"


def by_document(message: Parse) -> str:
    """Give the same document to the same parser each time, so that it may keep what it knows of it."""
    return message.document


async def main() -> None:
    """Route in three ways."""
    logging.disable()  # the crash is on purpose: leave its report out of the output
    async with Node() as node:
        turns = await node.spawn(Pool(Parser, size=3, routing=RoundRobin()), name="turns")
        print("in turn:", [await turns.ask(Parse(letter)) for letter in "abcd"])
        try:
            await turns.ask(Parse(""))
        except ValueError as error:
            print("one failed:", error, "- it is restarted, the others did not notice")
        print("in turn:", [await turns.ask(Parse(letter)) for letter in "efg"])

        keyed = await node.spawn(Pool(Parser, size=3, routing=ConsistentHash(by_document)), name="keyed")
        repeated = [await keyed.ask(Parse(letter)) for letter in "xyxyx"]
        print("by key:", len(set(repeated)), "different of", len(repeated))

        print("resized to", await turns.ask(Resize(1)), "leaves", await turns.ask(Routees()))

        everybody = await node.spawn(Pool(Parser, size=2, routing=Broadcast()))
        print("the first of all:", await everybody.ask(Parse("news")))


trouper.run(main)

# Output:
# | in turn: ['a by 1', 'b by 2', 'c by 3', 'd by 1']
# | one failed: an empty document - it is restarted, the others did not notice
# | in turn: ['e by 3', 'f by 1', 'g by 2']
# | by key: 2 different of 5
# | resized to 1 leaves [<trouper://local/user/turns/1#5>]
# | the first of all: news by 1
