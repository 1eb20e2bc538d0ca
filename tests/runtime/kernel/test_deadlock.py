"""The search for cycles: what it costs, and what it finds, held against a search of the whole graph."""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import FrameType
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import cell_of, staged
from trouper import Actor, ActorRef, DeadlockError, Message, Node, handler
from trouper.runtime.kernel.address import parse_address
from trouper.runtime.kernel.ask import Invocation
from trouper.runtime.kernel.cell import Cell
from trouper.runtime.kernel.deadlock import begin_wait, check_cycle, end_wait
from trouper.testing import settle


class Get(Message[int]):
    """Answered by the next actor, if there is one."""


class Gather(Message[int]):
    """Answered when all other actors have answered."""


class Wait(Message[int]):
    """Answered when the gate opens."""


class Relay(Actor):
    """Answers what the next one answers."""

    def __init__(self, *nexts: ActorRef, what: type[Message[int]] = Get) -> None:
        self.nexts, self.what = nexts, what

    @handler
    async def get(self, msg: Get) -> int:
        return await self.nexts[0].ask(self.what()) if self.nexts else 0

    @handler
    async def gather(self, msg: Gather) -> int:
        return sum(await asyncio.gather(*(ref.ask(Wait()) for ref in self.nexts)))


class Held(Actor):
    """Answers when the gate opens."""

    def __init__(self, gate: asyncio.Event) -> None:
        self.gate = gate

    @handler
    async def get(self, msg: Get) -> int:
        await self.gate.wait()
        return 0


class Hub(Actor):
    """Works on any number of messages at a time."""

    def __init__(self, gate: asyncio.Event) -> None:
        self.gate = gate

    @handler(reentrant=True)
    async def wait(self, msg: Wait) -> int:
        await self.gate.wait()
        return 1


def steps_of(call: Callable[[], object]) -> int:
    """Return how many lines of the kernel a call runs, which unlike its time is the same each time."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal count
        count += event == "line" and "/runtime/kernel/" in frame.f_code.co_filename
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  it returns itself
    try:
        call()
    finally:
        sys.settrace(before)
    return count


async def _steps_behind_a_busy_hub(node: Node, in_flight: int) -> int:
    gate = asyncio.Event()
    hub = await node.spawn(Hub, gate)
    asks = [hub.ask(Wait()) for _ in range(in_flight)]
    middle, client = await node.spawn(partial(Relay, hub, what=Wait)), await node.spawn(Held, gate)
    outer = await node.spawn(Relay, client)
    asks += [middle.ask(Get()), outer.ask(Get())]
    await settle()
    asker, target = cell_of(client).invocation, cell_of(middle)
    assert asker is not None
    assert len(cell_of(client).waited_for or ()) == 1
    steps = steps_of(lambda: check_cycle(asker, target))
    gate.set()
    await asyncio.gather(*asks)
    return steps


@staged
async def test_an_ask_behind_a_busy_hub_costs_the_same_however_busy_the_hub_is(node: Node) -> None:
    """The handler that works on an ask is known, and not looked for among all that are at work."""
    assert await _steps_behind_a_busy_hub(node, 1) == await _steps_behind_a_busy_hub(node, 1_000)


async def _steps_behind_a_gatherer(node: Node, count: int) -> int:
    gate = asyncio.Event()
    hubs = [await node.spawn(Hub, gate) for _ in range(count)]
    gatherer, client = await node.spawn(Relay, *hubs), await node.spawn(Relay)
    total = gatherer.ask(Gather())
    await settle()
    target = cell_of(gatherer)
    assert target.invocation is not None
    assert len(target.invocation.waits or ()) == count
    steps = steps_of(lambda: check_cycle(Invocation(cell_of(client), None), target))
    gate.set()
    assert await total == count
    return steps


@staged
async def test_an_ask_of_an_actor_that_waits_for_many_costs_the_same_however_many_they_are(node: Node) -> None:
    """The search also starts at the asker, and ends at once where nobody waits for that."""
    assert await _steps_behind_a_gatherer(node, 2) == await _steps_behind_a_gatherer(node, 500)


@staged
async def test_a_forwarded_ask_is_an_edge_to_its_new_target(node: Node) -> None:
    """The graph follows an ask to the actor that owes the reply, so a cycle through that one is found."""

    class Forwarder(Actor):
        def __init__(self, to: ActorRef) -> None:
            self.to = to

        @handler
        async def get(self, msg: Get) -> int:
            self.forward(self.to, msg)
            return 0

    class Looped(Actor):
        async def on_start(self) -> None:
            self.second = await self.spawn(Relay, self.ref)
            self.first = await self.spawn(Forwarder, self.second)

        @handler
        async def get(self, msg: Get) -> int:
            return await self.first.ask(Get())

    ref = await node.spawn(Looped, name="looped")
    with pytest.raises(DeadlockError) as caught:
        await ref.ask(Get())
    names = [parse_address(text).path for text in caught.value.cycle]
    assert names[1] == "user/looped"
    assert names[0] == names[2]
    assert len(names) == 3


class _Edge:
    """A wait between two cells of the model."""

    def __init__(self, asker: Invocation, target: Cell) -> None:
        self.asker: Invocation | None = asker
        self.target = target
        self.handler: Invocation | None = None


edges = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.booleans()), max_size=25)


@given(edges, st.integers(0, 7), st.integers(0, 7))
def test_the_search_from_both_ends_finds_what_a_search_of_the_whole_graph_finds(
    plan: list[tuple[int, int, bool]], asking: int, asked: int
) -> None:
    """Whichever waits there are, and whichever of them have ended, a cycle is found exactly where there is one."""
    cells = [cast("Cell", _CellStub(number)) for number in range(8)]
    handlers = [Invocation(cell, None) for cell in cells]
    for cell, at_work in zip(cells, handlers, strict=True):
        cell.invocation = at_work
    leads_to: dict[int, list[int]] = {number: [] for number in range(8)}
    for source, goal, stays in plan:
        edge = _Edge(handlers[source], cells[goal])
        begin_wait(handlers[source], edge)
        if stays:
            leads_to[source].append(goal)
        else:
            end_wait(handlers[source], edge)
    reached, front = {asked}, [asked]
    while front:
        for goal in leads_to[front.pop()]:
            if goal not in reached:
                reached.add(goal)
                front.append(goal)
    try:
        check_cycle(handlers[asking], cells[asked])
    except DeadlockError as error:
        assert asking in reached
        numbers = [int(text) for text in error.cycle]
        assert (numbers[0], numbers[1], numbers[-1]) == (asking, asked, asking)
        assert all(goal in leads_to[source] for source, goal in pairwise(numbers[1:]))
    else:
        assert asking not in reached


class _CellStub:
    """What the search uses of a cell."""

    def __init__(self, number: int) -> None:
        self.actor = None
        self.address = number
        self.invocation: Invocation | None = None
        self.waited_for: dict[object, None] | None = None
