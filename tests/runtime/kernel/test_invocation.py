import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Notes, Player, Story, cell_of, letters_of, staged, told
from trouper import Actor, ActorFailed, ActorRef, Message, Node, Reject, WrongReply, handler
from trouper.testing import settle


class Either(Message[int | None]):
    value: object


class Anything(Message[object]):
    value: object


class Oracle(Actor):
    """Replies with whatever it is handed, from a plain and from an async handler."""

    @handler
    def either(self, msg: Either) -> int | None:
        return cast("int | None", msg.value)

    @handler
    def anything(self, msg: Anything) -> object:
        return msg.value

    @handler
    async def hold(self, msg: Hold) -> int:
        return cast("int", "wrong" if msg.n < 0 else msg.n)

    @handler
    def double(self, msg: Double) -> int:
        raise Reject(f"no doubles of {msg.n}")


class Odd(BaseException):
    """Neither an error nor a request to exit."""


def queued(ref: ActorRef, message: Message[int]) -> asyncio.Future[int]:
    """An ask that is not answered on the spot, since something stands before it."""
    ref.tell(Note(0))
    return ref.ask(message)


def at_once(ref: ActorRef, message: Message[int]) -> asyncio.Future[int]:
    """An ask of an idle actor."""
    return ref.ask(message)


both = pytest.mark.parametrize("ask", [at_once, queued])
Asking = Callable[[ActorRef, Message[int]], Awaitable[int]]


@pytest.mark.parametrize("value", [None, 0, 7, True])
@staged
async def test_a_reply_of_the_promised_type_passes(node: Node, value: object) -> None:
    """A subclass of what is promised is fine, and so is None where it is promised."""
    oracle = await node.spawn(Oracle)
    assert await oracle.ask(Either(value)) == value
    oracle.tell(Either(value))
    assert await oracle.ask(Either(value)) == value


@pytest.mark.parametrize("value", ["7", 7.0, [7]])
@staged
async def test_a_wrong_reply_fails_the_actor_and_names_the_handler(node: Node, value: object) -> None:
    """The asker gets the same error; the actor is restarted, since its code is wrong."""
    oracle = await node.spawn(Oracle)
    with pytest.raises(WrongReply) as caught:
        await oracle.ask(Either(value))
    assert str(caught.value) == (
        f"Oracle.either of {oracle.address} returned a {type(value).__name__}, "
        "but the reply to Either is int | None: change one of the two"
    )
    await settle()
    assert cell_of(oracle).restarts == 1


@staged
async def test_a_wrong_reply_of_an_async_handler_is_noticed_too(node: Node) -> None:
    """Law and message are the same."""
    oracle = await node.spawn(Oracle)
    with pytest.raises(WrongReply, match=r"^Oracle\.hold of .* returned a str, but the reply to Hold is int: "):
        await oracle.ask(Hold(-1))
    assert await oracle.ask(Hold(1)) == 1


@pytest.mark.parametrize("tell", [True, False])
@staged
async def test_a_forgotten_async_is_said(node: Node, tell: bool) -> None:
    """A plain handler that returns a coroutine fails, told or asked, and the coroutine is closed without a warning."""
    began: list[int] = []

    async def work() -> int:
        began.append(1)
        return 1

    letters, oracle = letters_of(node), await node.spawn(Oracle)
    if tell:
        oracle.tell(Anything(work()))
        await settle()
    else:
        with pytest.raises(WrongReply):
            await oracle.ask(Anything(work()))
    assert letters[0].error == (
        f"WrongReply: Oracle.anything of {oracle.address} returned a coroutine: make it `async def`, and await it"
    )
    assert began == []


@both
@staged
async def test_a_rejection_is_no_failure(node: Node, ask: Asking) -> None:
    """The asker gets the very error, the message counts as handled, and the actor goes on."""
    letters, oracle = letters_of(node), await node.spawn(Oracle)
    with pytest.raises(Reject, match=r"^no doubles of 3$"):
        await ask(oracle, Double(3))
    await settle()
    assert cell_of(oracle).restarts == 0
    assert [letter for letter in letters if letter.reason != "unhandled"] == []


@staged
async def test_a_rejected_tell_is_a_dead_letter(node: Node) -> None:
    """Nobody is there to hear the no, so it is kept; the actor is not harmed."""
    letters, oracle = letters_of(node), await node.spawn(Oracle)
    oracle.tell(Double(3))
    await settle()
    assert told(letters) == [(Double(3), "rejected")]
    assert letters[0].error == "Reject: no doubles of 3"
    assert cell_of(oracle).restarts == 0


@both
@staged
async def test_a_failing_message_is_a_dead_letter_with_its_error(node: Node, ask: Asking) -> None:
    """It is not handled again by the new instance."""
    letters, player = letters_of(node), await node.spawn(Player)
    with pytest.raises(ValueError, match=r"^boom$"):
        await ask(player, Fail())
    assert await player.ask(Notes()) == []
    assert [(letter.message, letter.reason, letter.error) for letter in letters] == [
        (Fail(), "failed", "ValueError: boom")
    ]


@pytest.mark.parametrize(
    "error",
    [StopIteration("x"), StopAsyncIteration("x"), Odd("x"), GeneratorExit(), asyncio.CancelledError()],
    ids=repr,
)
@pytest.mark.parametrize("is_async", [False, True])
@staged
async def test_whatever_a_handler_raises_is_its_actors_failure(
    node: Node,
    is_async: bool,
    error: BaseException,
) -> None:
    """The asker hears of it at once and is not itself ended by it; the actor is restarted and goes on."""

    class Raiser(Actor):
        @handler
        def double(self, msg: Double) -> int:
            raise error

        @handler
        async def hold(self, msg: Hold) -> int:
            raise error

    letters, raiser = letters_of(node), await node.spawn(Raiser)
    with pytest.raises((ActorFailed, StopAsyncIteration, RuntimeError)):
        await raiser.ask(Hold(1) if is_async else Double(1))
    await settle()
    assert [letter.reason for letter in letters] == ["failed"]
    assert cell_of(raiser).restarts == 1
    assert cell_of(raiser).phase == "live"


@staged
async def test_an_async_handler_is_at_work_until_it_returns(node: Node) -> None:
    """Nothing else is handled during its awaits, and then everything in order."""
    gate, story = asyncio.Event(), Story()
    player = await node.spawn(Player, story, gate)
    for message in (Hold(1), Note(2), Hold(3), Note(4)):
        player.tell(message)
    await asyncio.sleep(10.0)
    assert story == ["start", ("hold", 1)]
    gate.set()
    await settle()
    assert story == ["start", ("hold", 1), 2, ("hold", 3), 4]


@staged
async def test_async_handlers_in_a_row_share_a_task(node: Node) -> None:
    """A batch costs one task, and each message has the whole of asyncio: its own current task and time-outs."""
    tasks: list[object] = []

    class Keeper(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            tasks.append(asyncio.current_task())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await asyncio.sleep(2.0)
            return msg.n

    keeper = await node.spawn(Keeper)
    assert await asyncio.gather(*[keeper.ask(Hold(n), timeout_s=60.0) for n in range(4)]) == [0, 1, 2, 3]
    assert len(set(tasks)) == 1
    assert cell_of(keeper).task is None


@staged
async def test_a_long_row_of_async_handlers_lets_others_run(node: Node) -> None:
    """A handler that never really waits does not keep the loop from anybody."""
    story = Story()

    class Quick(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            story.append(msg.n)
            return msg.n

    quick, other = await node.spawn(Quick), await node.spawn(Player, story)
    for n in range(100):
        quick.tell(Hold(n))
    other.tell(Note(-1))
    await settle()
    assert 0 < story.index(-1) < 20


@staged
async def test_a_handler_that_ignores_its_cancellation_leaves_no_trace(node: Node) -> None:
    """The next message finds a task that is not being cancelled, and a real cancellation is a failure again."""
    seen: list[object] = []

    class Deaf(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("ignored")
            return msg.n

        @handler
        async def double(self, msg: Double) -> int:
            task = asyncio.current_task()
            assert task is not None
            seen.append(task.cancelling())
            never = asyncio.get_running_loop().create_future()
            never.cancel()
            return cast("int", await never)

    letters, deaf = letters_of(node), await node.spawn(Deaf)
    first, second = deaf.ask(Hold(1)), deaf.ask(Double(1))
    await settle()
    first.cancel()
    with pytest.raises(ActorFailed):
        await second
    assert seen == ["ignored", 0]
    assert told(letters) == [(Double(1), "failed")]


@staged
async def test_the_end_of_a_batch_finds_what_came_meanwhile(node: Node) -> None:
    """Plain and async handlers may alternate without end."""
    player = await node.spawn(Player, story := Story(), gate := asyncio.Event())
    gate.set()
    for n in range(100):
        player.tell(Hold(n) if n % 2 else Note(n))
    await settle()
    assert [entry[1] if isinstance(entry, tuple) else entry for entry in story[1:]] == list(range(100))
