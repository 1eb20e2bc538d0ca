import asyncio
import gc
import weakref
from collections.abc import Awaitable
from functools import partial
from typing import cast

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Notes, Player, Story, cell_of, letters_of, play, staged
from trouper import Actor, ActorRef, InvalidHandler, InvalidOption, Mailbox, Message, Node, StartFailed, handler
from trouper.testing import settle


class Counter(Actor):
    """Counts from a number, in steps."""

    def __init__(self, first: int, *, step: int = 1) -> None:
        self.count, self.step = first, step

    @handler
    def double(self, msg: Double) -> int:
        self.count += self.step * msg.n
        return self.count


def greeter(msg: Double) -> int:
    """Handle a message as a function."""
    return 10 * msg.n


async def patient_greeter(msg: Hold) -> int:
    """Handle a message as a coroutine function."""
    await asyncio.sleep(1.0)
    return 100 * msg.n


def knowing(actor: Actor, msg: Double) -> int:
    """Handle a message as a function that is given its actor."""
    actor.timers.once("later", 1.0, Double(0))
    return actor.ref.address.uid


@staged
async def test_a_class_is_spawned_with_its_arguments(node: Node) -> None:
    """By position; keywords by `functools.partial`, nested if you like."""
    plain = await node.spawn(Counter, 10)
    partly = await node.spawn(partial(Counter, 20, step=5))
    nested = await node.spawn(partial(partial(Counter, step=2), 30))
    assert [await ref.ask(Double(1)) for ref in (plain, partly, nested)] == [11, 25, 32]


@staged
async def test_arguments_are_given_again_at_a_restart(node: Node) -> None:
    """The new instance is made as the first one was."""

    class Failing(Counter):
        @handler
        def fail(self, msg: Fail) -> int:
            raise ValueError(msg.why)

    ref = await node.spawn(partial(Failing, 20, step=5))
    assert await ref.ask(Double(1)) == 25
    ref.tell(Fail())
    assert await ref.ask(Double(1)) == 25


@staged
async def test_a_function_is_an_actor(node: Node) -> None:
    """Plain, async, or with the actor as its first parameter."""
    assert await (await node.spawn(greeter)).ask(Double(2)) == 20
    assert await (await node.spawn(patient_greeter)).ask(Hold(2)) == 200
    ref = await node.spawn(knowing, name="knowing")
    assert await ref.ask(Double(1)) == ref.address.uid


@staged
async def test_a_function_keeps_state_in_its_closure(node: Node) -> None:
    """Two closures are two states; one function that is spawned twice is two actors with one closure."""

    def counting(total: int) -> Awaitable[ActorRef]:
        def count(msg: Double) -> int:
            nonlocal total
            total += msg.n
            return total

        return node.spawn(count)

    one, two = await counting(0), await counting(100)
    assert [await ref.ask(Double(1)) for ref in (one, two, one)] == [1, 101, 2]


@staged
async def test_a_bound_method_is_an_actor(node: Node) -> None:
    """Its object is the state, also when the plain function of it was spawned before."""

    class Scale:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        def scale(self, msg: Double) -> int:
            return self.factor * msg.n

    refs = [await node.spawn(Scale(factor).scale) for factor in (3, 4)]
    assert [await ref.ask(Double(2)) for ref in refs] == [6, 8]
    with pytest.raises(AttributeError):
        await (await node.spawn(cast("type[Actor]", Scale.scale))).ask(Double(2))
    assert await (await node.spawn(Scale(5).scale)).ask(Double(2)) == 10


@staged
async def test_a_function_that_was_an_actor_is_released(node: Node) -> None:
    """What a closure holds lives no longer than its actor."""

    class Heavy:
        weight = 7

    def make() -> tuple[Awaitable[ActorRef], weakref.ref[Heavy]]:
        heavy = Heavy()

        def holding(msg: Double) -> int:
            return msg.n * heavy.weight

        return node.spawn(holding), weakref.ref(heavy)

    spawning, seen = make()
    ref = await spawning
    assert await ref.ask(Double(1)) == 7
    del spawning
    await ref.stop()
    del ref
    await settle()
    gc.collect()
    assert seen() is None


@staged
async def test_a_function_takes_no_arguments(node: Node) -> None:
    """Its state is in its closure; the error shows what was passed."""
    with pytest.raises(
        InvalidHandler, match=r"^greeter is a function: it takes a message, not the arguments \(1, 2\)$"
    ):
        node.spawn(cast("type[Counter]", greeter), 1, 2)  # pyright: ignore[reportCallIssue]  the mistake that is tested


@staged
async def test_a_function_without_an_annotation_is_refused(node: Node) -> None:
    """At the spawn, by name."""
    with pytest.raises(InvalidHandler, match=r"<lambda>: annotate the parameter 'msg' with a Message class$"):
        node.spawn(cast("type[Actor]", lambda msg: msg))  # pyright: ignore[reportUnknownLambdaType]  the mistake that is tested


@staged
async def test_a_child_that_nobody_waits_for_is_supervised_from_its_start(node: Node) -> None:
    """`spawn_nowait` gives the ref at once; its mail waits, and a failure to start is a failure of the child."""
    kids: list[ActorRef] = []
    starts: list[int] = []

    class Shaky(Player):
        def on_start(self) -> None:
            starts.append(1)
            if len(starts) < 3:
                raise ValueError("not yet")

    class Boss(Actor):
        def on_start(self) -> None:
            kids.append(self.spawn_nowait(Shaky, name="shaky"))
            kids[0].tell(Note(1))

    await node.spawn(Boss)
    await settle()
    assert len(starts) == 3
    assert (cell_of(kids[0]).phase, cell_of(kids[0]).restarts) == ("live", 2)
    assert node.accounting().handled == 1


@staged
async def test_a_spawn_that_nobody_awaits_goes_on(node: Node) -> None:
    """The actor starts all the same."""

    class Slow(Player):
        async def start(self) -> None:
            await asyncio.sleep(1.0)

    story = Story()
    node.spawn(Slow, story, name="slow")
    await settle()
    assert story == ["start"]
    assert "slow" in (node.system.user.children or {})


@staged
async def test_many_spawns_may_be_awaited_at_once(node: Node) -> None:
    """`gather` and `wait_for` take what `spawn` returns."""

    class Slow(Actor):
        async def on_start(self) -> None:
            await asyncio.sleep(1.0)

    began = asyncio.get_running_loop().time()
    refs = await asyncio.gather(*[node.spawn(Slow) for _ in range(10)])
    assert len(set(refs)) == 10
    assert asyncio.get_running_loop().time() == began + 1.0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(node.spawn(Slow, name="late"), 0.5)
    await settle()
    assert "late" not in (node.system.user.children or {})


@staged
async def test_an_actor_may_spawn_from_a_plain_handler_and_hear_later(node: Node) -> None:
    """A start that takes time is piped, as anything else that takes time."""
    story = Story()

    class Slow(Player):
        async def warm_up(self) -> None:
            await asyncio.sleep(1.0)

    class Boss(Player):
        @handler
        def double(self, msg: Double) -> int:
            self.pipe_to_self(self.spawn(Slow, name="kid"), lambda ref: Note(len(ref.name)))
            return msg.n

    boss = await node.spawn(Boss, story)
    assert await boss.ask(Double(1)) == 1
    await asyncio.sleep(2.0)
    assert story == ["start", 3]


@staged
async def test_wrong_arguments_are_a_failed_start(node: Node) -> None:
    """The checkers refuse them; a program that was not checked gets Python's own error as the cause."""
    with pytest.raises(StartFailed) as caught:
        await node.spawn(cast("type[Actor]", Counter))
    assert isinstance(caught.value.__cause__, TypeError)


class Born(Message[ActorRef]):
    """The reply is a new child of the actor.  place: the ``place`` argument of ``spawn``."""

    place: str | None


class Kid(Actor):
    """Does nothing."""


class Parent(Actor):
    """Spawns children."""

    @handler
    async def born(self, msg: Born) -> ActorRef:
        return await self.spawn(Kid, place=msg.place)


def test_a_child_is_under_the_actor_that_spawns_it_and_the_own_node_needs_no_network() -> None:
    """A node spawns under ``/user``; the name of the own node as the place is the same as None."""

    async def main() -> None:
        async with Node("n1") as node:
            parent = await node.spawn(Parent, name="parent", place="n1")
            for place in (None, "n1"):
                kid = await parent.ask(Born(place))
                assert kid.address.path == f"user/parent/{kid.name}"

    play(main)


class Keyed(Actor):
    """Has an argument by keyword, and one with a reserved name."""

    def __init__(self, name: str, *, size: int) -> None:
        self.given = (name, size)


@staged
async def test_keywords_of_spawn_that_it_does_not_know_are_those_of_the_actor(node: Node) -> None:
    """Its own names are reserved: an argument of such a name goes by position or ``partial``; over a restart too."""
    ref = await node.spawn(Keyed, "ada", size=4, name="keyed")  # type: ignore[misc]  # pyright: ignore[reportCallIssue]  checkers see two names
    assert (ref.name, node.introspection.get_state(ref).fields["given"]) == ("keyed", "('ada', 4)")
    ref = await node.spawn(partial(Keyed, name="bob"), size=5)
    assert node.introspection.get_state(ref).fields["given"] == "('bob', 5)"
    with pytest.raises(StartFailed, match="unexpected keyword argument 'sise'"):
        await node.spawn(Keyed, "ada", sise=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  the mistake that is tested
    with pytest.raises(InvalidHandler, match="greeter is a function: it takes a message, not the arguments"):
        await node.spawn(cast("type[Keyed]", greeter), name="ada", size=1)


@staged
async def test_a_mailbox_is_given_to_one_actor_at_its_spawn(node: Node) -> None:
    """Another actor of the class has that of the class; a wrong type is refused."""
    small = await node.spawn(Player, mailbox=Mailbox(high_water=1, limit=2))
    usual = await node.spawn(Player)
    node.introspection.suspend(small)
    node.introspection.suspend(usual)
    letters = letters_of(node)
    for ref in (small, usual):
        for n in range(3):
            ref.tell(Note(n))
    assert [(letter.target, letter.reason) for letter in letters] == [(small, "mailbox_full")]
    for value in (5, "big", Mailbox):
        with pytest.raises(InvalidOption, match="must be a Mailbox"):
            await node.spawn(Player, mailbox=cast("Mailbox", value))
    for resume in (ValueError, [ValueError], (3,)):
        with pytest.raises(InvalidOption, match="must be a tuple of exceptions"):
            await node.spawn(Player, resume=cast("tuple[type[Exception], ...]", resume))


@staged
async def test_resume_at_the_spawn_replaces_that_of_the_class(node: Node) -> None:
    """The instance stays after an error that it lists, and not after others, nor where it lists none."""

    class Resuming(Player):
        resume = (ValueError,)

    keeps = await node.spawn(Player, resume=(ValueError,))
    restarts = await node.spawn(Resuming, resume=())
    for ref in (keeps, restarts):
        ref.tell(Note(1))
        with pytest.raises(ValueError, match="boom"):
            await ref.ask(Fail())
    assert await keeps.ask(Notes()) == [1]
    assert await restarts.ask(Notes()) == []
