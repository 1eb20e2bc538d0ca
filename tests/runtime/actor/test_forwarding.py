import asyncio

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Notes, Player, Story, cell_of, letters_of, staged, told
from trouper import Actor, ActorRef, AskTimeout, DeadlockError, Message, Node, handler
from trouper.testing import settle


class PassOn(Message[int]):
    """Have `to` answer, with this message or with another one."""

    to: ActorRef
    other: Message[int] | None = None
    slowly: bool = False
    then_fail: bool = False


class Passer(Player):
    """Forwards from a plain handler, or from an async one if that is wanted."""

    @handler
    def pass_on(self, msg: PassOn) -> int:
        self.forward(msg.to, msg.other)
        if msg.then_fail:
            raise ValueError("after the forward")
        return -1


class SlowPasser(Player):
    @handler
    async def pass_on(self, msg: PassOn) -> int:
        await asyncio.sleep(1.0)
        self.forward(msg.to, msg.other)
        if msg.then_fail:
            raise ValueError("after the forward")
        return -1


class Answering(Player):
    @handler
    def pass_on(self, msg: PassOn) -> int:
        return 7


passers = pytest.mark.parametrize("passer", [Passer, SlowPasser])
queued = pytest.mark.parametrize("queued", [False, True])


def ask(ref: ActorRef, message: Message[int], queued: bool, timeout_s: float | None = None) -> asyncio.Future[int]:
    """Ask an idle actor, or one that has something to do before."""
    if queued:
        ref.tell(Note(0))
    return ref.ask(message, timeout_s=timeout_s)


@passers
@queued
@staged
async def test_the_receiver_of_a_forward_owes_the_reply(node: Node, passer: type[Player], queued: bool) -> None:
    """The asker gets the target's reply, with the same message or with another; the forwarder's return is ignored."""
    ref, target = await node.spawn(passer), await node.spawn(Answering)
    assert await ask(ref, PassOn(target), queued) == 7
    assert await ask(ref, PassOn(target, Double(21)), queued) == 42


@passers
@staged
async def test_a_forward_goes_on_and_on(node: Node, passer: type[Player]) -> None:
    """Through a chain of forwarders the last one answers the first asker."""
    target = await node.spawn(Player)
    message: Message[int] = Double(4)
    for _ in range(3):
        message = PassOn(target, message)
        target = await node.spawn(passer)
    assert await target.ask(message) == 8


@passers
@queued
@staged
async def test_an_error_of_the_target_reaches_the_asker(node: Node, passer: type[Player], queued: bool) -> None:
    """The target fails by it and the forwarder does not."""
    ref, target = await node.spawn(passer), await node.spawn(Player)
    with pytest.raises(ValueError, match=r"^boom$"):
        await ask(ref, PassOn(target, Fail()), queued)
    assert (cell_of(ref).restarts, cell_of(target).restarts) == (0, 1)


@passers
@queued
@staged
async def test_a_forward_keeps_the_deadline(node: Node, passer: type[Player], queued: bool) -> None:
    """The time began when the asker asked; at its end the handler of the actor that has the message is cancelled."""
    story = Story()
    ref, target = await node.spawn(passer), await node.spawn(Player, story)
    began = asyncio.get_running_loop().time()
    with pytest.raises(AskTimeout):
        await ask(ref, PassOn(target, Hold(1)), queued, timeout_s=2.5)
    assert asyncio.get_running_loop().time() == began + 2.5
    await settle()
    assert story == ["start", ("hold", 1), ("cancelled", 1)]


@passers
@staged
async def test_a_told_message_is_forwarded_as_told(node: Node, passer: type[Player]) -> None:
    """There is no reply to give; the message must be passed, since the runtime does not keep it."""
    ref, target = await node.spawn(passer), await node.spawn(Player)

    class Telling(Player):
        @handler
        def note(self, msg: Note) -> None:
            self.forward(target, msg)

    (await node.spawn(Telling)).tell(Note(5))
    ref.tell(PassOn(target, Double(1)))
    await asyncio.sleep(5.0)
    assert await target.ask(Notes()) == [5]


@passers
@queued
@staged
async def test_a_forwarder_that_fails_afterwards_fails_alone(node: Node, passer: type[Player], queued: bool) -> None:
    """The ask is the target's by then; the dead letter is of the message that the forwarder was given."""
    letters = letters_of(node)
    ref, target = await node.spawn(passer), await node.spawn(Player)
    message = PassOn(target, Double(21), then_fail=True)
    assert await ask(ref, message, queued) == 42
    assert told(letters) == [(message, "failed")]
    assert cell_of(ref).restarts == 1


@queued
@staged
async def test_a_forward_back_to_the_asker_is_a_deadlock(node: Node, queued: bool) -> None:
    """The asker gets `DeadlockError` at once, and the forwarder does not fail."""
    passer = await node.spawn(Passer)

    class Asking(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            return await ask(passer, PassOn(self.ref, Double(msg.n)), queued)

    asking = await node.spawn(Asking)
    with pytest.raises(DeadlockError):
        await asking.ask(Hold(1))
    assert cell_of(passer).restarts == 0


@staged
async def test_both_a_forward_and_a_copy(node: Node) -> None:
    """Forwarding twice sends two messages, and the first one owes the reply."""

    class Twice(Actor):
        @handler
        def pass_on(self, msg: PassOn) -> int:
            self.forward(msg.to, Double(1))
            self.forward(msg.to, Double(100))
            return 0

    ref, target = await node.spawn(Twice), await node.spawn(Player)
    assert await ref.ask(PassOn(target)) == 2
    ref.tell(Note(0))
    await settle()
    assert cell_of(target).handled == 2
