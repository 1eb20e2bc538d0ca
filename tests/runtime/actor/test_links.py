from itertools import pairwise

import pytest

from tests.runtime.stage import Fail, Note, Player, Story, cell_of, letters_of, staged
from trouper import ActorRef, LinkedActorFailed, Message, Node, handler
from trouper.testing import settle


class Bind(Message):
    """Link to this actor, or unlink from it."""

    other: ActorRef
    bound: bool = True


class Linker(Player):
    @handler
    def bind(self, msg: Bind) -> None:
        (self.link if msg.bound else self.unlink)(msg.other)


@pytest.mark.parametrize("end", ["kill", "fail"])
@pytest.mark.parametrize("index", [0, 1])
@staged
async def test_when_one_ends_abnormally_the_other_fails(node: Node, index: int, end: str) -> None:
    """A link is mutual: either actor may make it."""
    errors: list[BaseException] = []
    node.reports.on_crash.append(lambda cell, error, text: errors.append(error))
    refs = [await node.spawn(Linker, restart="temporary") for _ in range(2)]
    refs[0].tell(Bind(refs[1]))
    await settle()
    if end == "kill":
        refs[index].kill()
    else:
        refs[index].tell(Fail())
    assert await refs[1 - index].wait_stopped() == "failed"
    assert isinstance(errors[-1], LinkedActorFailed)
    assert str(errors[-1]).startswith(f"{refs[1 - index].address} is linked to an actor that ended: ")


@staged
async def test_an_orderly_end_does_not_travel_along_a_link(node: Node) -> None:
    """Stopping is no failure."""
    refs = [await node.spawn(Linker) for _ in range(2)]
    refs[0].tell(Bind(refs[1]))
    await settle()
    await refs[1].stop()
    await settle()
    assert (cell_of(refs[0]).phase, cell_of(refs[0]).restarts) == ("live", 0)


@staged
async def test_a_restart_is_no_end(node: Node) -> None:
    """An actor that fails and is restarted has not ended: the link stays, and the other actor does not fail."""
    refs = [await node.spawn(Linker) for _ in range(2)]
    refs[0].tell(Bind(refs[1]))
    await settle()
    refs[1].tell(Fail())
    await settle()
    assert [cell_of(ref).restarts for ref in refs] == [0, 1]
    refs[1].kill()
    await settle()
    assert cell_of(refs[0]).restarts == 1


@staged
async def test_a_link_that_was_taken_back_does_nothing(node: Node) -> None:
    """Also when it was made twice: there is one link or none."""
    refs = [await node.spawn(Linker) for _ in range(2)]
    for message in (Bind(refs[1]), Bind(refs[1]), Bind(refs[1], bound=False)):
        refs[0].tell(message)
    await settle()
    await refs[1].kill()
    await settle()
    assert cell_of(refs[0]).restarts == 0
    assert not cell_of(refs[0]).watchers


@staged
async def test_a_failure_travels_along_a_chain_of_links(node: Node) -> None:
    """Each one fails by the end of the one before it, and a supervisor restarts it as after any failure."""
    refs = [await node.spawn(Linker, restart="temporary") for _ in range(4)]
    for one, two in pairwise(refs):
        one.tell(Bind(two))
    await settle()
    refs[-1].tell(Fail())
    await settle()
    assert all(cell_of(ref).gone for ref in refs)


@staged
async def test_a_link_fails_an_actor_between_two_messages(node: Node) -> None:
    """It uses the system queue, ahead of messages, which wait for the next instance."""
    story, letters = Story(), letters_of(node)
    one, two = await node.spawn(Linker, story), await node.spawn(Linker)
    one.tell(Bind(two))
    await settle()
    two.kill()
    one.tell(Note(1))
    await settle()
    assert story == ["start", "stop", "start", 1]
    assert letters == []
