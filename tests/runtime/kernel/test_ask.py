import asyncio

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Player, Story, cell_of, letters_of, staged, told
from trouper import Actor, ActorRef, AskTimeout, DeadlockError, InvalidOption, Message, Node, handler
from trouper.testing import VirtualLoop, settle


class Relay(Message[int]):
    """Ask the next actor of the chain, until nobody is left; the reply is the number of seconds that were left."""

    chain: tuple[ActorRef, ...]


class Relayer(Actor):
    @handler
    async def relay(self, msg: Relay) -> int:
        if not msg.chain:
            await asyncio.sleep(3_600.0)
            return 0
        return await msg.chain[0].ask(Relay(msg.chain[1:]))


@staged
async def test_a_reply_ends_an_ask(node: Node) -> None:
    """The future holds the reply, whether the handler is plain or async, and whether it is there at once or later."""
    gate = asyncio.Event()
    player = await node.spawn(Player, Story(), gate)
    assert await player.ask(Double(21)) == 42
    held = player.ask(Hold(7))
    await settle()
    assert not held.done()
    gate.set()
    assert await held == 7


@staged
async def test_an_ask_times_out_at_its_deadline_and_cancels_the_handler(node: Node) -> None:
    """The error says who did not answer, what, within which time, and what it was doing."""
    story = Story()
    player = await node.spawn(Player, story, name="ada")
    began = asyncio.get_running_loop().time()
    with pytest.raises(AskTimeout) as caught:
        await player.ask(Hold(1), timeout_s=2.5)
    assert asyncio.get_running_loop().time() == began + 2.5
    assert str(caught.value) == (
        f"{player.address} did not answer Hold within 2.5 s (live, 0 queued, at work on Hold); its handler may have run"
    )
    await settle()
    assert story == ["start", ("hold", 1), ("cancelled", 1)]
    assert await player.ask(Double(1)) == 2


@staged
async def test_a_queued_ask_that_timed_out_is_passed_over(node: Node) -> None:
    """Its handler never runs, and the message is a dead letter with the reason `expired`."""
    letters, gate, story = letters_of(node), asyncio.Event(), Story()
    player = await node.spawn(Player, story, gate)
    first = player.ask(Hold(1))
    with pytest.raises(AskTimeout):
        await player.ask(Hold(2), timeout_s=1.0)
    gate.set()
    assert await first == 1
    await settle()
    assert told(letters) == [(Hold(2), "expired")]
    assert story == ["start", ("hold", 1)]


@staged
async def test_cancelling_an_ask_cancels_the_handler_that_works_on_it(node: Node) -> None:
    """The message is a dead letter, the actor goes on as before: it is not restarted."""
    letters, story = letters_of(node), Story()
    player = await node.spawn(Player, story)
    ask = player.ask(Hold(1))
    await settle()
    ask.cancel()
    assert await player.ask(Double(1)) == 2
    assert story == ["start", ("hold", 1), ("cancelled", 1)]
    assert told(letters) == [(Hold(1), "cancelled")]


@staged
async def test_cancelling_a_queued_ask_leaves_the_handler_at_work_alone(node: Node) -> None:
    """Only the ask that is given up is concerned, not the one before it."""
    letters, gate = letters_of(node), asyncio.Event()
    player = await node.spawn(Player, Story(), gate)
    first, second, third = (player.ask(Hold(n)) for n in (1, 2, 3))
    await settle()
    second.cancel()
    gate.set()
    assert [await first, await third] == [1, 3]
    assert told(letters) == [(Hold(2), "expired")]


@staged
async def test_an_ask_can_be_cancelled_before_its_handler_has_taken_a_step(node: Node) -> None:
    """The narrowest moment: the handler's task exists, but has not begun."""
    letters = letters_of(node)
    player = await node.spawn(Player)
    ask = player.ask(Hold(1))
    await asyncio.sleep(0)
    ask.cancel()
    assert await player.ask(Double(2)) == 4
    assert [letter.message for letter in letters] == [Hold(1)]


@staged
async def test_a_deadline_is_inherited_down_the_chain(node: Node) -> None:
    """The second and third ask of a chain end with the first, not five seconds after they were sent."""
    chain = [await node.spawn(Relayer) for _ in range(3)]
    began = asyncio.get_running_loop().time()
    with pytest.raises(AskTimeout):
        await chain[0].ask(Relay(tuple(chain[1:])), timeout_s=1.5)
    await settle()
    assert asyncio.get_running_loop().time() == began + 1.5
    assert all(cell_of(ref).invocation is None for ref in chain)


@staged
async def test_nested_asks_keep_a_bounded_number_of_timers(node: Node) -> None:
    """Each nested ask has another time left; their timers are shared, however many of them are made each second."""

    class Passer(Actor):
        @handler
        async def double(self, msg: Double) -> int:
            await asyncio.sleep(0.000_001 * msg.n)
            return await player.ask(Hold(msg.n))

    gate = asyncio.Event()
    gate.set()
    player, passer = await node.spawn(Player, Story(), gate), await node.spawn(Passer)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    for number in range(1_000):
        assert await passer.ask(Double(number)) == number
        await asyncio.sleep(0.000_1)
    assert len(loop.pending_timers()) < 200


@staged
async def test_a_told_message_begins_a_new_chain(node: Node) -> None:
    """An ask from the handler of a told message has the full default time."""
    gate, result = asyncio.Event(), Story()
    target = await node.spawn(Player, Story(), gate)

    class Teller(Actor):
        @handler
        async def note(self, msg: Note) -> None:
            began = asyncio.get_running_loop().time()
            with pytest.raises(AskTimeout):
                await target.ask(Hold(1))
            result.append(asyncio.get_running_loop().time() - began)

    (await node.spawn(Teller)).tell(Note(1))
    await asyncio.sleep(10.0)
    assert result == [5.0]


@staged
async def test_work_that_outlives_its_handler_inherits_nothing(node: Node) -> None:
    """A background task that a handler began asks with a deadline of its own, once the handler has ended."""
    player = await node.spawn(Player, Story(), gate := asyncio.Event())
    tasks: list[asyncio.Task[int]] = []

    class Starter(Actor):
        @handler
        async def double(self, msg: Double) -> int:
            async def later() -> int:
                await asyncio.sleep(60.0)
                return await player.ask(Hold(9))

            tasks.append(asyncio.create_task(later()))
            return msg.n

    starter = await node.spawn(Starter)
    assert await starter.ask(Double(1)) == 1
    await asyncio.sleep(61.0)
    gate.set()
    assert await tasks[0] == 9


@staged
async def test_a_ring_of_asks_is_named_at_once(node: Node) -> None:
    """The ask that would close the ring raises, and names every actor from the asker around to the asker."""
    a, b, c = [await node.spawn(Relayer, name=name) for name in "abc"]
    with pytest.raises(DeadlockError) as caught:
        await a.ask(Relay((b, c, a)))
    assert caught.value.cycle == tuple(str(ref.address) for ref in (c, a, b, c))


@staged
async def test_an_ask_to_oneself_is_named_at_once(node: Node) -> None:
    """The shortest ring has one member."""
    a = await node.spawn(Relayer, name="a")
    with pytest.raises(DeadlockError) as caught:
        await a.ask(Relay((a,)))
    assert caught.value.cycle == (str(a.address), str(a.address))


@staged
async def test_a_ring_is_found_through_an_ask_that_is_still_queued(node: Node) -> None:
    """Who waits counts, not who is at work: the target's own ask may not have begun."""
    gate = asyncio.Event()

    class Later(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            await gate.wait()
            return await a.ask(Double(msg.n))

    class First(Actor):
        @handler
        async def double(self, msg: Double) -> int:
            return await b.ask(Hold(msg.n))

    a, b = await node.spawn(First), await node.spawn(Later)
    b.tell(Hold(0))
    await settle()
    asked = a.ask(Double(1))
    await settle()
    letters = letters_of(node)
    gate.set()
    with pytest.raises(DeadlockError):
        await asked
    assert DeadlockError.__name__ in str(letters[0].error)


@staged
async def test_actors_that_do_not_wait_may_ask_in_circles(node: Node) -> None:
    """Telling, and asking somebody who is idle, closes no ring."""

    class Echo(Actor):
        def __init__(self, other: ActorRef | None) -> None:
            self.other = other

        @handler
        async def double(self, msg: Double) -> int:
            return 2 * msg.n if self.other is None else await self.other.ask(msg)

    last = await node.spawn(Echo, None)
    first = await node.spawn(Echo, await node.spawn(Echo, last))
    assert [await first.ask(Double(n)) for n in range(3)] == [0, 2, 4]
    assert await asyncio.gather(*[first.ask(Double(n)) for n in range(10)]) == [2 * n for n in range(10)]


@staged
async def test_late_replies_are_dropped_and_counted(node: Node) -> None:
    """A handler that answers in spite of its cancellation changes nothing for the asker."""

    class Stubborn(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            try:
                await asyncio.sleep(100.0)
            except asyncio.CancelledError:
                return msg.n
            return 0

    stubborn = await node.spawn(Stubborn)
    with pytest.raises(AskTimeout):
        await stubborn.ask(Hold(1), timeout_s=1.0)
    await settle()
    assert node.system.late_replies == 1


@pytest.mark.parametrize("timeout_s", [-1.0, float("nan")])
@staged
async def test_a_time_out_outside_of_its_range_is_refused(node: Node, timeout_s: float) -> None:
    """The call raises, whether the actor is idle, so that it could be answered at once, or at work."""
    player = await node.spawn(Player)
    for _ in range(2):
        with pytest.raises(InvalidOption) as caught:
            player.ask(Double(1), timeout_s=timeout_s)
        assert str(caught.value) == f"ask of {player.address} with timeout_s={timeout_s}: it must be 0 or more"
        player.tell(Hold(1))
        await settle()
    player.kill()


@staged
async def test_a_time_out_of_zero_waits_for_nobody(node: Node) -> None:
    """0 seconds are enough for an idle actor that answers at once, and for nobody else."""
    player = await node.spawn(Player)
    assert await player.ask(Double(1), timeout_s=0) == 2
    with pytest.raises(AskTimeout):
        await player.ask(Hold(1), timeout_s=0)


@staged
async def test_many_asks_may_be_in_flight(node: Node) -> None:
    """Each ask is sent at the call; the replies come in the order of the asks."""
    player = await node.spawn(Player)
    asks = [player.ask(Double(n)) for n in range(1_000)]
    assert [await ask for ask in asks] == [2 * n for n in range(1_000)]


@staged
async def test_an_error_in_a_handler_is_raised_at_the_asker_as_it_is(node: Node) -> None:
    """Type, arguments and traceback are those of the handler."""
    player = await node.spawn(Player)
    with pytest.raises(ValueError, match=r"^boom$") as caught:
        await player.ask(Fail())
    assert caught.traceback[-1].name == "fail"
