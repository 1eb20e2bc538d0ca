import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import Double, Fail, Hold, Note, Player, Story, cell_of, letters_of, play_on, staged, told
from trouper import Actor, CallerError, Message, Node, OneForOne, handler
from trouper.testing import settle


class Change(Message):
    """Change the handlers: to those of a number, or with -1 back to the previous ones."""

    to: int


class Which(Message[int]):
    """The reply is the number of the handlers in use."""


class Chameleon(Actor):
    """Has handlers 0 at first, and others by number."""

    @handler
    def which(self, msg: Which) -> int:
        return 0

    @handler
    def change(self, msg: Change) -> None:
        if msg.to < 0:
            self.unbecome()
        else:
            self.become(_Numbered(msg.to).which, self.change, self.fail)

    @handler
    def fail(self, msg: Fail) -> int:
        raise ValueError(msg.why)


class _Numbered:
    def __init__(self, number: int) -> None:
        self.number = number

    def which(self, msg: Which) -> int:
        return self.number


@given(st.lists(st.integers(-1, 3) | st.just("fail"), max_size=30))
def test_become_and_unbecome_are_a_stack(happening: list[int | str]) -> None:
    """In any order of calls; the handlers of the class are at the bottom, and a restart returns to them."""

    async def scene(node: Node) -> None:
        model = [0]
        ref = await node.spawn(Chameleon)
        for what in happening:
            if isinstance(what, str):
                ref.tell(Fail())
                model = [0]
            else:
                ref.tell(Change(what))
                if what >= 0:
                    model.append(what)
                elif len(model) > 1:
                    model.pop()
            assert await ref.ask(Which()) == model[-1]
        assert cell_of(ref).phase == "live"

    play_on(Node(supervision=OneForOne(intensity=1_000)), scene)


@staged
async def test_a_behaviour_holds_from_the_next_message_on(node: Node) -> None:
    """Not for the rest of the handler, and for messages that were queued before it."""
    story = Story()

    class Turning(Player):
        @handler
        def note(self, msg: Note) -> None:
            self.become(self.loudly)
            self.story.append(msg.n)

        def loudly(self, msg: Note) -> None:
            self.story.append(f"{msg.n}!")
            if msg.n == 3:
                self.unbecome()

    ref = await node.spawn(Turning, story)
    for n in range(1, 6):
        ref.tell(Note(n))
    await settle()
    assert story == ["start", 1, "2!", "3!", 4, "5!"]


@staged
async def test_what_a_behaviour_does_not_handle_is_unhandled(node: Node) -> None:
    """`become` replaces all handlers, it does not add to them."""
    letters = letters_of(node)

    class Narrow(Player):
        def on_start(self) -> None:
            self.become(self.double)

    ref = await node.spawn(Narrow)
    ref.tell(Note(1))
    assert await ref.ask(Double(1)) == 2
    assert told(letters) == [(Note(1), "unhandled")]


@staged
async def test_behaviours_may_be_async_and_functions(node: Node) -> None:
    """Bound methods, functions of a message, and functions of the actor and a message."""

    async def slowly(msg: Hold) -> int:
        await asyncio.sleep(1.0)
        return msg.n

    def knowing(actor: Player, msg: Double) -> int:
        return len(actor.noted) + msg.n

    class Mixed(Player):
        def on_start(self) -> None:
            self.become(slowly, knowing, self.note)

    ref = await node.spawn(Mixed)
    ref.tell(Note(1))
    assert [await ref.ask(Hold(5)), await ref.ask(Double(1))] == [5, 2]


@staged
async def test_behaviours_are_limited(node: Node) -> None:
    """A stack that only grows is a mistake, and is limited."""
    errors: list[str] = []

    class Growing(Player):
        @handler
        def double(self, msg: Double) -> int:
            try:
                for _ in range(1_000_000):
                    self.become(self.double)
            except CallerError as error:
                errors.append(str(error))
            return msg.n

    ref = await node.spawn(Growing)
    assert await ref.ask(Double(1)) == 1
    assert len(errors) == 1
    assert str(ref.address) in errors[0]


# --- pipes -----------------------------------------------------------------------------------------------------------


class Fetch(Message):
    """Pipe a sleep of this length to a note of the number; a negative number fails."""

    number: int
    wait_s: float = 1.0
    guarded: bool = False


class Fetcher(Player):
    @handler
    def fetch(self, msg: Fetch) -> None:
        self.pipe_to_self(self._work(msg), Note, (lambda error: Note(-1)) if msg.guarded else None)

    async def _work(self, msg: Fetch) -> int:
        try:
            await asyncio.sleep(msg.wait_s)
        except asyncio.CancelledError:
            self.story.append("cancelled")
            raise
        if msg.number < 0:
            raise LookupError(msg.number)
        return msg.number


@staged
async def test_a_pipe_tells_the_result_and_keeps_nobody_waiting(node: Node) -> None:
    """Handlers go on meanwhile; results come as messages, in the order in which they are ready."""
    story = Story()
    ref = await node.spawn(Fetcher, story)
    for message in (Fetch(1, 3.0), Fetch(2, 1.0), Note(0)):
        ref.tell(message)
    await asyncio.sleep(5.0)
    assert story == ["start", 0, 2, 1]


@staged
async def test_a_pipe_that_fails_fails_its_actor_or_says_so(node: Node) -> None:
    """With `on_error` it is a message like others; without it is a failure of the actor."""
    story = Story()
    ref = await node.spawn(Fetcher, story)
    ref.tell(Fetch(-5, guarded=True))
    await asyncio.sleep(2.0)
    assert story == ["start", -1]
    ref.tell(Fetch(-5))
    await asyncio.sleep(2.0)
    assert story == ["start", -1, "stop", "start"]


@pytest.mark.parametrize("end", ["fail", "stop", "kill"])
@staged
async def test_a_pipe_dies_with_its_instance(node: Node, end: str) -> None:
    """It is cancelled, and sends nothing to the next instance."""
    story = Story()
    ref = await node.spawn(Fetcher, story)
    ref.tell(Fetch(7))
    await settle()
    if end == "fail":
        ref.tell(Fail())
    else:
        getattr(ref, end)()
    await asyncio.sleep(5.0)
    assert "cancelled" in story
    assert 7 not in story


@staged
async def test_a_pipe_that_never_began_is_closed(node: Node) -> None:
    """An actor that ends in the same handler leaves no coroutine behind that was never awaited."""

    class Hasty(Fetcher):
        @handler
        def fetch(self, msg: Fetch) -> None:
            super().fetch(msg)
            self.stop()

    ref = await node.spawn(Hasty)
    ref.tell(Fetch(1))
    await settle()
    assert cell_of(ref).gone


@staged
async def test_a_pipe_of_an_ask_does_not_hold_the_handler(node: Node) -> None:
    """An actor may pipe an ask to one that asks it back: no handler waits, so there is no cycle."""
    story = Story()

    class Asking(Player):
        @handler
        def double(self, msg: Double) -> int:
            self.pipe_to_self(other.ask(Hold(msg.n)), Note)
            return msg.n

        @handler
        async def hold(self, msg: Hold) -> int:
            return 2 * msg.n

    class Back(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            return await ref.ask(msg)

    other = await node.spawn(Back)
    ref = await node.spawn(Asking, story)
    assert await ref.ask(Double(4)) == 4
    await settle()
    assert story == ["start", 8]


@staged
async def test_a_mapper_that_fails_fails_its_actor(node: Node) -> None:
    """The mapper is the actor's own code."""

    class Mapping(Player):
        @handler
        def double(self, msg: Double) -> int:
            async def work() -> int:
                return 0

            self.pipe_to_self(work(), lambda result: Note(1 // result))
            return msg.n

    ref = await node.spawn(Mapping, story := Story())
    assert await ref.ask(Double(1)) == 1
    await settle()
    assert story == ["start", "stop", "start"]


@staged
async def test_a_pipe_of_something_that_was_cancelled_says_so(node: Node) -> None:
    """An awaitable that is cancelled from outside fails the actor, as any exception does."""

    class Piping(Player):
        @handler
        def double(self, msg: Double) -> int:
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self.pipe_to_self(future, Note, lambda error: Note(-1))
            future.cancel()
            return msg.n

    ref = await node.spawn(Piping, story := Story())
    assert await ref.ask(Double(1)) == 1
    await settle()
    assert story == ["start", -1]
