import re
from functools import partial

import pytest

from tests.runtime.stage import Fail, Hold, Note, Notes, Player, cell_of, staged
from trouper import (
    Actor,
    ActorRef,
    InvalidOption,
    Message,
    Node,
    OneForOne,
    Pool,
    Reject,
    Resize,
    Routees,
    StartFailed,
    Unroutable,
    handler,
)
from trouper.testing import settle


class Who(Message[str]):
    """The reply is the name of the actor that handled it, and its arguments."""


class Leave(Message):
    """The handler ends its actor."""


class Worker(Actor):
    def __init__(self, greeting: str = "hello", *, mark: str = "!") -> None:
        self.text = f"{greeting}{mark}"

    @handler
    def who(self, msg: Who) -> str:
        return f"{self.ref.name} {self.text}"

    @handler
    def fail(self, msg: Fail) -> int:
        raise ValueError(msg.why)

    @handler
    def leave(self, msg: Leave) -> None:
        self.stop()


class Stillborn(Actor):
    def on_start(self) -> None:
        raise ValueError("no")


async def _names(pool: ActorRef) -> list[str]:
    return [routee.name for routee in await pool.ask(Routees())]


@staged
async def test_a_pool_spawns_its_routees_with_their_arguments(node: Node) -> None:
    """Each is a child of the pool, made from the class and arguments; keywords go by `partial`."""
    pool = await node.spawn(Pool(Worker, "hi", size=2), name="pool")
    assert [await pool.ask(Who()) for _ in range(3)] == ["1 hi!", "2 hi!", "1 hi!"]
    assert node.find("user/pool/2") == (await pool.ask(Routees()))[1]
    marked = await node.spawn(Pool(partial(Worker, mark="?"), size=1))
    assert await marked.ask(Who()) == "1 hello?"


@staged
async def test_a_function_makes_a_pool_too(node: Node) -> None:
    """What `spawn` takes, a pool takes."""

    def answer(msg: Who) -> str:
        return "a function"

    assert await (await node.spawn(Pool(answer, size=2))).ask(Who()) == "a function"


@staged
async def test_a_routee_that_fails_is_restarted_in_its_place(node: Node) -> None:
    """The pool goes on with the same refs."""
    pool = await node.spawn(Pool(Worker, size=2))
    before = await pool.ask(Routees())
    pool.tell(Fail())
    assert sorted([await pool.ask(Who()) for _ in range(2)]) == ["1 hello!", "2 hello!"]
    assert await pool.ask(Routees()) == before
    assert sum(cell_of(routee).restarts for routee in before) == 1


@staged
async def test_a_pool_has_its_own_strategy_of_supervision(node: Node) -> None:
    """More failures than allowed fail the pool, which is restarted with new routees and answers again."""
    pool = await node.spawn(Pool(Worker, size=2, supervision=OneForOne(intensity=0)))
    before = await pool.ask(Routees())
    pool.tell(Fail())
    await settle()
    assert await pool.ask(Who()) == "1 hello!"
    after = await pool.ask(Routees())
    assert [cell_of(routee).gone for routee in before] == [True, True]
    assert [routee.name for routee in after] == ["1", "2"]


@staged
async def test_a_routee_that_leaves_is_not_replaced_unless_it_is_permanent(node: Node) -> None:
    """A transient one leaves the rotation; when all have, the pool refuses."""
    pool = await node.spawn(Pool(Worker, size=1))
    pool.tell(Leave())
    await settle()
    with pytest.raises(Unroutable):
        await pool.ask(Who())
    lasting = await node.spawn(Pool(Worker, size=1, restart="permanent"))
    lasting.tell(Leave())
    await settle()
    assert await lasting.ask(Who()) == "1 hello!"


@staged
async def test_a_pool_whose_routees_do_not_start_does_not_start(node: Node) -> None:
    """The spawner gets the failure, and no child is left."""
    with pytest.raises(StartFailed):
        await node.spawn(Pool(Stillborn, size=2), name="pool")
    assert node.find("user/pool") is None


@staged
async def test_a_pool_grows_and_shrinks(node: Node) -> None:
    """New routees take the lowest free names; those that go are the newest, and handle what they have first."""
    story: list[object] = []
    pool = await node.spawn(Pool(Player, story, size=3))
    routees = await pool.ask(Routees())
    for number in range(6):
        pool.tell(Note(number))
    routees[2].tell(Hold())
    routees[2].tell(Note(99))
    await settle()
    assert await pool.ask(Resize(2)) == 2
    assert await _names(pool) == ["1", "2"]
    assert not cell_of(routees[2]).gone
    assert await pool.ask(Resize(4)) == 4
    assert await _names(pool) == ["1", "2", "4", "5"]
    await routees[2].stop()
    assert await pool.ask(Resize(5)) == 5
    assert await _names(pool) == ["1", "2", "4", "5", "3"]
    assert 99 not in story


@staged
async def test_a_drained_routee_handles_what_it_has(node: Node) -> None:
    """Shrinking loses no message."""
    pool = await node.spawn(Pool(Player, size=2))
    first, _ = await pool.ask(Routees())
    for number in range(10):
        pool.tell(Note(number))
    assert await pool.ask(Resize(1)) == 1
    await settle()
    assert await pool.ask(Routees()) == [first]
    assert await first.ask(Notes()) == [0, 2, 4, 6, 8]
    assert node.accounting().dead == 0


@staged
async def test_a_pool_of_none_refuses_until_it_grows(node: Node) -> None:
    """Size 0 is allowed, at first and later; a negative one is not."""
    pool = await node.spawn(Pool(Worker, size=0))
    with pytest.raises(Unroutable):
        await pool.ask(Who())
    assert await pool.ask(Resize(1)) == 1
    assert await pool.ask(Who()) == "1 hello!"
    message = f"{pool.address} cannot have -1 routees: size must be 0 to 100,000"
    with pytest.raises(Reject, match=f"^{re.escape(message)}$"):
        await pool.ask(Resize(-1))
    with pytest.raises(Reject, match="cannot have 100001 routees"):
        await pool.ask(Resize(100_001))
    with pytest.raises(InvalidOption, match=r"^size=-1 must be 0 to 100,000$"):
        Pool(Worker, size=-1)
