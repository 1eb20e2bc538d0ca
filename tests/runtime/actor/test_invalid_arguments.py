"""What bad input gets: each mistake that a user can make has one clear outcome, nothing hangs, nothing is lost.

Here stand the mistakes of a single call; `test_bad_wiring.py`, `test_bad_actors.py` and `test_bad_storms.py` have more.
"""

import asyncio
import gc
import re
from typing import cast

import msgspec
import pytest

from tests.runtime.stage import (
    Double,
    Hold,
    Note,
    Notes,
    Player,
    Story,
    cell_of,
    letters_of,
    play,
    staged,
    told,
)
from trouper import (
    Actor,
    ActorStopped,
    AskTimeout,
    DeadlockError,
    InvalidHandler,
    InvalidName,
    InvalidOption,
    Message,
    NameTaken,
    Node,
    NodeClosed,
    Unhandled,
    WrongReply,
    handler,
)
from trouper.runtime.kernel.message import tag_of
from trouper.runtime.kernel.supervision import Restart
from trouper.testing import settle


class Strange(Message[int]):
    """A message without a handler."""


class Small(Actor):
    @handler
    def note(self, msg: Note) -> None:
        pass


# --- messages --------------------------------------------------------------------------------------------------------


@staged
async def test_an_unknown_message_is_a_dead_letter_and_a_warning(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """Told: the reason is `unhandled`, and the warning names the type and the handlers there are."""
    letters = letters_of(node)
    ref = await node.spawn(Small, name="small")
    ref.tell(Strange())
    await settle()
    assert told(letters) == [(Strange(), "unhandled")]
    assert f"{ref.address} has no handler for Strange; it handles: Down, Note" in caplog.text
    assert cell_of(ref).restarts == 0


@staged
async def test_asking_an_unknown_message_says_so_to_the_asker(node: Node) -> None:
    """It is the caller's fault, and the actor is not harmed."""
    ref = await node.spawn(Small)
    with pytest.raises(Unhandled, match=r"has no handler for Strange; it handles: Down, Note$"):
        await ref.ask(Strange())
    assert cell_of(ref).restarts == 0


@pytest.mark.parametrize("message", ["hello", None, 17, Note, object()])
@staged
async def test_what_is_no_message_is_refused_by_nobody_and_handled_by_nobody(node: Node, message: object) -> None:
    """Text, nothing, a class for an instance: a dead letter when told, `Unhandled` when asked."""
    letters = letters_of(node)
    ref = await node.spawn(Player)
    ref.tell(cast("Message[object]", message))
    with pytest.raises(Unhandled):
        await ref.ask(cast("Message[object]", message))
    assert [letter.reason for letter in letters] == ["unhandled", "unhandled"]
    assert await ref.ask(Double(1)) == 2


def test_a_wrong_field_of_an_injected_message_is_named() -> None:
    """Data from outside is validated as it becomes a message; the error says which field, and what it saw."""
    with pytest.raises(msgspec.ValidationError, match=re.escape("Expected `int`, got `str` - at `$.n`")):
        msgspec.convert({"$type": tag_of(Note), "n": "three"}, Note)
    with pytest.raises(msgspec.ValidationError, match=re.escape("Object missing required field `n`")):
        msgspec.json.decode(f'{{"$type": "{tag_of(Note)}"}}'.encode(), type=Note)


@staged
async def test_a_handler_that_returns_the_wrong_type_fails_its_actor(node: Node) -> None:
    """The asker gets `WrongReply`, which names the handler, both types and the way out."""

    class Liar(Actor):
        @handler
        def double(self, msg: Double) -> int:
            return cast("int", "many")

    ref = await node.spawn(Liar)
    with pytest.raises(WrongReply, match=r"returned a str, but the reply to Double is int: change one of the two$"):
        await ref.ask(Double(1))
    await settle()
    assert cell_of(ref).restarts == 1


@staged
async def test_a_coroutine_never_awaited_is_a_failure_and_no_riddle(node: Node) -> None:
    """A handler that calls its own async method without `await` is told to; Python does not warn behind its back."""

    class Forgetful(Actor):
        async def work(self) -> int:
            return 1

        @handler
        def double(self, msg: Double) -> int:
            return cast("int", self.work())

    ref = await node.spawn(Forgetful)
    with pytest.raises(WrongReply, match="make it `async def`, and await it"):
        await ref.ask(Double(1))
    gc.collect()


# --- names, spawns, options ------------------------------------------------------------------------------------------


@staged
async def test_names_that_cannot_be(node: Node) -> None:
    """A name with a slash, an empty one, and one that is taken: refused at the call."""
    await node.spawn(Player, name="ada")
    with pytest.raises(InvalidName, match=r"^the name 'a/b' cannot be used: "):
        node.spawn(Player, name="a/b")
    with pytest.raises(InvalidName):
        node.spawn(Player, name="")
    with pytest.raises(NameTaken, match=r" has a child 'ada': choose another name, or stop that one first$"):
        node.spawn(Player, name="ada")


def test_a_spawn_after_the_shutdown_and_before_the_start() -> None:
    """`NodeClosed`, at the call, with what to do."""

    async def main() -> None:
        node = Node()
        with pytest.raises(
            NodeClosed,
            match=r"^node local has not started: use `async with Node\(\) as node`, or `await node\.start\(\)`$",
        ):
            node.spawn(Player)
        async with node:
            ref = await node.spawn(Player)
        with pytest.raises(NodeClosed, match=r" takes no new actors: it is closing$"):
            node.spawn(Player)
        await ref.tell(Note(1))
        with pytest.raises(ActorStopped):
            await ref.ask(Double(1))
        assert node.system.dead_letters == {"stopped": 2}

    play(main)


@pytest.mark.parametrize("thing", [3, "Player", None, int, [Player]])
@staged
async def test_what_cannot_be_spawned(node: Node, thing: object) -> None:
    """A number, a name, an instance: the error shows it and says what can be."""
    with pytest.raises(InvalidHandler, match=r"pass an Actor class, a partial of one, or a function$"):
        node.spawn(thing)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  the mistake
    assert not node.system.user.children


@pytest.mark.parametrize("delay_s", [-1.0, -0.001, float("nan")])
@staged
async def test_a_timer_with_a_negative_delay(node: Node, delay_s: float) -> None:
    """Refused at the call, naming the timer, the actor and the value; the period of `every` must not be 0 either."""
    errors: list[str] = []

    class Hasty(Actor):
        @handler
        def note(self, msg: Note) -> None:
            for begin in (self.timers.once, self.timers.every):
                try:
                    begin("key", delay_s, msg)
                except InvalidOption as error:
                    errors.append(str(error))
            with pytest.raises(InvalidOption):
                self.timers.every("key", 0.0, msg)
            assert not self.timers.is_active("key")

    ref = await node.spawn(Hasty)
    ref.tell(Note(1))
    await settle()
    assert errors == [
        f"timer 'key' of {ref.address}: delay_s={delay_s} must be 0 or more",
        f"timer 'key' of {ref.address}: period_s={delay_s} must be above 0",
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ask_timeout_s": 0.0}, "ask_timeout_s=0.0 must be above 0, in seconds; inf is no deadline"),
        ({"ask_timeout_s": -1.0}, "ask_timeout_s=-1.0 must be above 0, in seconds; inf is no deadline"),
        ({"threads": 0}, "threads=0 must be 1 to 1,000"),
    ],
)
def test_a_node_with_impossible_settings(options: dict[str, float], text: str) -> None:
    """Refused when the node is made, not when it is used."""
    with pytest.raises(InvalidOption) as caught:
        Node(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the mistake that is tested
    assert str(caught.value) == text


@staged
async def test_a_restart_type_that_does_not_exist(node: Node) -> None:
    """Refused at the spawn, not at the first failure."""
    with pytest.raises(InvalidOption, match="restart='always'"):
        node.spawn(Player, restart=cast("Restart", "always"))


# --- asks ------------------------------------------------------------------------------------------------------------


@staged
async def test_an_ask_to_oneself(node: Node) -> None:
    """`DeadlockError` at the call, from an async handler; a plain one cannot wait, so it may ask and be told later."""
    replies: list[int] = []

    class Selfish(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            return await self.ref.ask(Double(msg.n))

        @handler
        def note(self, msg: Note) -> None:
            self.ref.ask(Double(msg.n)).add_done_callback(lambda ask: replies.append(ask.result()))

        @handler
        def double(self, msg: Double) -> int:
            return 2 * msg.n

    ref = await node.spawn(Selfish)
    with pytest.raises(DeadlockError, match=r"^this ask closes a cycle of waiting actors: (\S+) -> \1; "):
        await ref.ask(Hold(1))
    ref.tell(Note(4))
    await settle()
    assert replies == [8]


@pytest.mark.parametrize("moment", ["queued", "begun", "running"])
@pytest.mark.parametrize("how", ["cancel", "time out"])
@staged
async def test_an_ask_that_is_given_up(node: Node, how: str, moment: str) -> None:
    """Queued or running, cancelled or timed out: its handler does no more work, and the actor goes on."""
    story, gate, letters = Story(), asyncio.Event(), letters_of(node)
    ref = await node.spawn(Player, story, gate)
    before = ref.ask(Hold(0), timeout_s=60.0) if moment == "queued" else None
    ask = ref.ask(Hold(1), timeout_s=0.0 if moment == "begun" else 1.0)
    await (asyncio.sleep(0) if moment == "begun" else settle())
    if how == "cancel":
        ask.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ask
    else:
        with pytest.raises(AskTimeout):
            await ask
    gate.set()
    await settle()
    assert [letter.message for letter in letters] == [Hold(1)]
    assert before is None or await before == 0
    assert await ref.ask(Hold(2)) == 2
    assert cell_of(ref).restarts == 0
    assert ("cancelled", 1) in story or ("hold", 1) not in story


@staged
async def test_a_wait_that_is_cancelled_cancels_the_ask(node: Node) -> None:
    """`wait_for` and a cancelled task are ways to give up, and the callee hears of both."""
    story = Story()
    ref = await node.spawn(Player, story)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ref.ask(Hold(1)), 1.0)

    async def waiter() -> int:
        return await ref.ask(Hold(2))

    task = asyncio.ensure_future(waiter())
    await settle()
    task.cancel()
    await settle()
    assert story == ["start", ("hold", 1), ("cancelled", 1), ("hold", 2), ("cancelled", 2)]


@staged
async def test_an_ask_that_nobody_awaits(node: Node) -> None:
    """Its reply is dropped in peace; the actor is not concerned."""
    ref = await node.spawn(Player)
    ref.ask(Double(1))
    ref.ask(Hold(1)).cancel()
    await settle()
    assert await ref.ask(Notes()) == []
