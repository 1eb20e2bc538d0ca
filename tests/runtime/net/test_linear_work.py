"""Law 16: the work that a frame makes grows with its bytes, and no faster, whatever is in it.

Counted in calls, not in time: four times the content takes at most five times the calls.
"""

import sys
from collections.abc import Callable, Coroutine
from types import FrameType

import msgspec
import pytest

from tests.runtime.net.intruder import Intruder, attacked
from tests.runtime.net.stage import Anything, Clerk, cell_of
from trouper import Message, Node
from trouper.runtime.net import control
from trouper.runtime.session import frames
from trouper.runtime.session.codec import REF_CODE
from trouper.testing import settle

FACTOR, ALLOWED = 4, 5
NOTHING: list[object] = []
Make = Callable[[int], object]


class Shape(Message[None]):
    """The base of what ``Drawing`` has."""


class Circle(Shape):
    """One of them."""

    radius: int


class Drawing(Message[None]):
    """A field of a base class, which takes the derived ones."""

    shapes: list[Shape]


def nested(n: int) -> object:
    """A value in so many lists."""
    return msgspec.Raw(b"\x91" * n + b"\xc0")


def ref(n: int) -> msgspec.msgpack.Ext:
    """The ref of this number."""
    return msgspec.msgpack.Ext(REF_CODE, n.to_bytes(4, "big"))


def refs(n: int) -> list[object]:
    """Definitions of so many refs: of one uid, and of ever another generation."""
    return [(number, "elsewhere", number, "user/x", 7, f"inprocess://x-{number}") for number in range(n)]


def items(*rows: object, deadlines: int = 0) -> list[object]:
    """A body with these items."""
    return [NOTHING, NOTHING, rows, [1.0] * deadlines]


CANCEL = (0, 0, 7, {"correlation": 1})
BODIES: dict[str, tuple[int, Make]] = {
    "refs of one uid": (500, lambda n: [NOTHING, refs(n), NOTHING, NOTHING]),
    "types that nobody has": (500, lambda n: [[(40 + k, f"no.Type{k}", b"") for k in range(n)], *[NOTHING] * 3]),
    "asks of a type that was never defined": (100, lambda n: items(*[(0, k, 9_999, 0) for k in range(1, n)])),
    "messages to actors that are gone": (100, lambda n: items(*[(99_999, 0, 3, {"name": ""})] * n)),
    "look-ups": (100, lambda n: items(*[(0, k, 3, {"name": "x"}) for k in range(1, n)], deadlines=n)),
    "watches of actors that are gone": (100, lambda n: items(*[(0, 0, 4, {"uid": k}) for k in range(n)])),
    "buffers to drop": (500, lambda n: items((0, 0, 15, {"numbers": list(range(n))}))),
    "buffers out of band": (100, lambda n: [*items(*[CANCEL] * n), [(k, list(range(50))) for k in range(n)]]),
    "headers": (100, lambda n: [*items(*[CANCEL] * n), NOTHING, [(k, {"h": b""}) for k in range(n)]]),
    "nesting": (200, lambda n: items((0, 0, 3, {"name": nested(n)}))),
}
VALUES: dict[str, tuple[int, type[Message[object]], Make]] = {
    "a set of refs": (500, Anything, lambda n: {"value": [ref(k) for k in range(n)]}),
    "a map of refs": (500, Anything, lambda n: {"value": [{"k": ref(k)} for k in range(n)]}),
    "deep lists": (100, Anything, lambda n: {"value": nested(n)}),
    "many extensions": (500, Anything, lambda n: {"value": [msgspec.msgpack.Ext(3, b"\x92\xa1x\xc0")] * n}),
    "polymorphic fields": (200, Drawing, lambda n: {"shapes": [{"$type": "Circle", "radius": k} for k in range(n)]}),
    "a polymorphic field of a wrong type": (200, Drawing, lambda n: {"shapes": [{"$type": "none"}] * n}),
}


async def calls_of(node: Node, act: Callable[[], None]) -> int:
    """Return how many functions are called until the node has handled what ``act`` has sent."""
    count = 0

    def on_call(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    act()
    sys.setprofile(on_call)
    try:
        await settle()
    finally:
        sys.setprofile(None)
    return count


def check_linear(work: Callable[[Node, Intruder, int], Coroutine[object, object, int]], n: int) -> None:
    """Measure the work of content of two sizes, each at a node of its own."""
    counts: list[int] = []
    for size in (n, FACTOR * n):

        @attacked()
        async def scene(node: Node, size: int = size) -> None:
            eve = Intruder(node)
            await eve.connect()
            counts.append(await work(node, eve, size))
            await eve.close()

        scene()
    assert counts[1] <= ALLOWED * counts[0] + 500, f"{n}: {counts[0]} calls, {FACTOR} times as many: {counts[1]}"


@pytest.mark.parametrize("name", BODIES)
def test_the_work_of_a_body_is_linear_in_its_bytes(name: str) -> None:
    """Each kind of content of a body, at one size and at four times the size."""
    n, make = BODIES[name]

    async def work(node: Node, eve: Intruder, size: int) -> int:
        await calls_of(node, lambda: eve.body(make(2)))  # what is done once is done
        return await calls_of(node, lambda: eve.body(make(size)))

    check_linear(work, n)


@pytest.mark.parametrize("name", VALUES)
def test_the_work_of_a_value_is_linear_in_its_bytes(name: str) -> None:
    """Each kind of value in a message to an actor."""
    n, type_, make = VALUES[name]

    async def work(node: Node, eve: Intruder, size: int) -> int:
        clerk = await node.spawn(Clerk)
        node.network.exports[clerk.address.uid] = cell_of(clerk)
        number = eve.define(type_)
        eve.body([NOTHING, refs(FACTOR * n), NOTHING, NOTHING])
        await calls_of(node, lambda: eve.items((clerk.address.uid, 0, number, make(2))))
        return await calls_of(node, lambda: eve.items((clerk.address.uid, 0, number, make(size))))

    check_linear(work, n)


def test_an_acknowledgement_of_many_bodies_is_linear() -> None:
    """Hundreds of bodies that one frame acknowledges."""

    async def work(node: Node, eve: Intruder, size: int) -> int:
        eva = Intruder(node, "eva", acknowledges=False)
        await eva.connect()
        for _ in range(size):
            eva.ask(control.FindActor("nobody"))
            await settle()
        session = node.network._sessions.peer("eva")  # noqa: SLF001  what it has sent is to be acknowledged
        assert session is not None
        last = session.sequencer.last
        assert last >= size
        counted = await calls_of(node, lambda: eva.acknowledge(last))
        assert session.sequencer.acknowledged == last
        await eva.close()
        return counted

    check_linear(work, 100)


def test_the_kinds_of_frames_are_known() -> None:
    """A kind that is added has to be added here, or to the tests of sessions, if it has a body of its own."""
    assert frames.DATAGRAM == len(frames.KIND_NAMES) - 1 == 12
