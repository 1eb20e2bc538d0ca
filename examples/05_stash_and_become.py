"""A connection that is not open yet: early messages are stashed, and handled in order once it is open."""

import logging
import sys

import trouper
from trouper import Actor, Message, Node, handler


class Open(Message):
    """The other side has answered."""


class Close(Message):
    """The other side has gone."""


class Send(Message[str]):
    """The reply says what became of the text."""

    text: str


class Connection(Actor):
    """Closed at first.  `become` changes the handlers, `unbecome` goes back to the ones before."""

    @handler
    def queue(self, msg: Send) -> str | None:
        """Closed: put it aside.  An ask may be stashed too: what this returns is then no reply, which comes later."""
        print("closed, stashing", msg.text)
        self.stash(msg)
        return None

    @handler
    def on_open(self, _msg: Open) -> None:
        """Handle messages otherwise from the next one on, the stashed ones first."""
        self.become(self.transmit, self.on_close)
        self.unstash_all()

    def transmit(self, msg: Send) -> str:
        """Open: send it."""
        print("open, sending", msg.text)
        return f"{msg.text} was sent"

    def on_close(self, _msg: Close) -> None:
        """Back to where we were."""
        self.unbecome()


async def main() -> None:
    """Ask too early, then open."""
    logging.basicConfig(format="LOG %(levelname)s %(message)s", stream=sys.stdout)
    async with Node() as node:
        connection = await node.spawn(Connection)
        early = [connection.ask(Send(text)) for text in ("one", "two")]
        connection.tell(Open())
        late = connection.ask(Send("three"))
        for reply in (*early, late):
            print(await reply)
        connection.tell(Close())
        connection.tell(Send("four"))
        await connection.drain()  # handles what is queued, then ends: what is still stashed becomes a dead letter
        print(node.accounting())


trouper.run(main)

# Output:
# | closed, stashing one
# | closed, stashing two
# | open, sending one
# | open, sending two
# | open, sending three
# | one was sent
# | two was sent
# | three was sent
# | closed, stashing four
# | LOG WARNING dead letter (stopped): trouper://local/user/$4#4 ended (stopped) without handling Send
# | Accounting(sent=6, handled=5, stashed=0, dead=1, in_flight=0)
