"""Topics of the whole cluster, on whole nodes."""

import asyncio

import pytest

from tests.actors.cluster.stage import play
from trouper import Actor, ActorRef, CallerError, Message, Node, handler
from trouper.testing import Simulation


class Headline(Message):
    """What is published."""

    text: str
    by: ActorRef


class Private(Message, local=True):
    """Stays here."""


class Read(Message[list[str]]):
    """The reply is what was heard."""


class Reader(Actor):
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @handler
    def headline(self, msg: Headline) -> None:
        self.heard.append(f"{msg.text} by {msg.by.address.node}")

    @handler
    def read(self, msg: Read) -> list[str]:
        return self.heard


async def _reader(node: Node) -> ActorRef:
    reader = await node.spawn(Reader)
    node.cluster.topics.subscribe("news", reader)
    return reader


async def _publish(sim: Simulation) -> None:
    n1, n2, n3 = sim.nodes
    ada, ben, cyd = await _reader(n1), await _reader(n2), await _reader(n2)
    n2.cluster.topics.subscribe("news", cyd)
    writer = await n3.spawn(Reader)
    await asyncio.sleep(1.0)
    assert [n3.cluster.topics.publish("news", Headline(str(number), writer)) for number in range(3)] == [2, 2, 2]
    assert n1.cluster.topics.publish("news", Headline("own", ada)) == 2
    assert n1.cluster.topics.publish("nothing", Headline("unheard", ada)) == 0
    await asyncio.sleep(1.0)
    for reader in (ada, ben, cyd):
        assert sorted(await reader.ask(Read())) == ["0 by n3", "1 by n3", "2 by n3", "own by n1"]
    assert [text for text in await ben.ask(Read()) if "own" not in text] == ["0 by n3", "1 by n3", "2 by n3"]
    assert n2.cluster.topics.subscribers("news") == [ben, cyd]
    with pytest.raises(CallerError, match="cannot be sent to other nodes"):
        n1.cluster.topics.publish("news", Private())
    with pytest.raises(CallerError, match="is not an actor of node n1"):
        n1.cluster.topics.subscribe("news", ben)


def test_each_subscriber_gets_each_message_once_and_in_order() -> None:
    """On whatever node it is; refs in messages work there."""
    play(_publish)


async def _leave(sim: Simulation) -> None:
    n1, n2, n3 = sim.nodes
    await asyncio.sleep(5.0)
    ada, ben = await _reader(n1), await _reader(n2)
    writer = await _reader(n3)
    await asyncio.sleep(1.0)
    n1.cluster.topics.unsubscribe("news", ada)
    n1.cluster.topics.unsubscribe("news", ada)
    assert n3.cluster.topics.publish("news", Headline("too late", writer)) == 3
    await asyncio.sleep(1.0)
    assert await ada.ask(Read()) == []
    await ben.stop()
    await asyncio.sleep(1.0)
    assert n1.cluster.topics.publish("news", Headline("one", ada)) == 1
    sim.crash("n3")
    await asyncio.sleep(30.0)
    assert n1.cluster.topics.publish("news", Headline("nobody", ada)) == 0


def test_subscribers_that_leave_end_or_are_lost_are_sent_nothing() -> None:
    """What was on its way to a node without subscribers is let fall."""
    play(_leave)
