"""Looking into the actors of another node."""

import pytest

from tests.runtime.net.stage import Add, Clerk, Sum, Wait, paired, spawn_remote
from trouper import ActorStopped, AskTimeout, CallerError, InvalidOption, Node, Traced, handler
from trouper.runtime.node.services.introspection import RemoteIntrospection
from trouper.testing import settle


class Tracer(Clerk):
    """Remembers the messages that it is told of."""

    def __init__(self) -> None:
        super().__init__()
        self.traced: list[str] = []

    @handler
    def take(self, msg: Traced) -> None:
        self.traced.append(msg.message_type)


@paired
async def test_the_questions_are_answered_there_without_a_mailbox(a: Node, b: Node) -> None:
    """Also for an actor that is busy or suspended, and by the ref of one that was placed there."""
    look = a.network.introspection
    assert isinstance(look, RemoteIntrospection)
    ada, placed = await spawn_remote(a, "b", Clerk, 3, name="ada"), await a.spawn(Clerk, 4, name="ben", place="b")
    busy = ada.ask(Wait(1.0))
    ada.tell(Add(1))
    await settle()
    stats = await look.stats(ada)
    assert (stats.actor, stats.queued, stats.address) == ("Clerk", 1, str(ada.address))
    assert (await look.get_state(placed)).fields["numbers"] == "[4]"
    assert [queued.message_type for queued in (await look.peek(ada)).first] == ["Add"]
    assert sorted(child.name for child in (await look.tree("b", "user")).children) == ["ada", "ben"]
    await busy
    await look.suspend(ada)
    with pytest.raises(AskTimeout):
        await ada.ask(Sum(), timeout_s=0.5)
    await look.resume(ada)
    assert await ada.ask(Sum()) == 4


@paired
async def test_a_trace_comes_home(a: Node, b: Node) -> None:
    """Each message that is handled on the other node is reported to an actor here."""
    ada, tracer = await spawn_remote(a, "b", Clerk), await a.spawn(Tracer)
    await a.network.introspection.trace(ada, 2, tracer)
    for number in range(3):
        ada.tell(Add(number))
    await ada.ask(Sum())
    await settle()
    assert (await a.introspection.replace_state(tracer, {})).fields["traced"] == "['Add', 'Add']"


@paired
async def test_introspection_that_is_not_possible_raises_and_says_why(a: Node, b: Node) -> None:
    """An actor of this node, one that has ended, a path that is none."""
    look = a.network.introspection
    here, ada = await a.spawn(Clerk), await spawn_remote(a, "b", Clerk)
    with pytest.raises(CallerError, match="is of this node"):
        await look.stats(here)
    with pytest.raises(InvalidOption, match="there is no actor 'user/nobody'"):
        await look.tree("b", "user/nobody")
    await look.crash(ada)
    await ada.wait_stopped()
    with pytest.raises(ActorStopped, match=r"trouper://b has no actor #\d+ any more"):
        await look.get_state(ada)
