"""Mistakes that are easily made with the API: each is refused with the cure, or it works."""

import sys
import types
from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from typing import Any, Generic, TypeVar, cast

import pytest

from trouper import (
    Actor,
    EventSourcedActor,
    InvalidHandler,
    InvalidOption,
    Message,
    Node,
    StateMachine,
    Unhandled,
    applies,
    handler,
    on,
)
from trouper.testing import seeds, virtual_time
from trouper.testing.simulation import Simulation

T = TypeVar("T")


class Ping(Message[int]):
    """The reply is a number."""


class Cache(Actor, Generic[T]):
    """An actor with a parameter for type checkers."""

    def __init__(self, first: int = 7) -> None:
        self.first = first

    @handler
    def ping(self, msg: Ping) -> int:
        return self.first


class Shop(Actor):
    """Its property has a fault of its own: an attribute that does not exist."""

    @property
    def total(self) -> int:
        return len(attrgetter("stoc")(self))

    @handler
    def ping(self, msg: Ping) -> int:
        return self.total


def _shadowing(name: str, base: type[Actor] = Actor, mark: Callable[..., object] = handler, **more: object) -> None:
    def method(self: Actor, msg: Ping) -> int:
        return 1

    method.__qualname__ = f"Shadow.{name}"
    type("Shadow", (base,), {name: mark(method), "__module__": __name__, **more})


@pytest.mark.parametrize(
    "name", ["stop", "spawn", "watch", "link", "ref", "node", "timers", "on_start", "pipe_to_self"]
)
def test_a_handler_does_not_hide_what_an_actor_has(name: str) -> None:
    """It is refused when the class is made: otherwise ``self.stop()`` would fail much later, with other words."""
    with pytest.raises(
        InvalidHandler, match=rf"^Shadow\.{name} has the name of `.*{name}`, .*: give the handler another"
    ):
        _shadowing(name)


def test_a_handler_does_not_hide_what_a_special_actor_has() -> None:
    """Those of a state machine and of an event-sourced actor have more names; an own base class may be overridden."""
    with pytest.raises(InvalidHandler, match=r"Shadow\.persist has the name of `EventSourcedActor\.persist`"):
        _shadowing("persist", cast("type[Actor]", EventSourcedActor))
    row = on("a", to="b")
    with pytest.raises(InvalidHandler, match=r"has the name of `StateMachine\.go`"):
        _shadowing("go", cast("type[Actor]", StateMachine), row, initial="a", states=("a", "b"))

    class Derived(Cache[int]):
        @handler
        def ping(self, msg: Ping) -> int:
            return 8

    assert Derived is not Cache


@pytest.mark.parametrize("wrap", [classmethod, staticmethod, property])
def test_a_handler_that_is_no_plain_method_is_refused(wrap: Callable[..., object]) -> None:
    """``@classmethod`` and the like, above ``@handler`` or below it."""

    def method(self: Actor, msg: Ping) -> int:
        return 1

    with pytest.raises(InvalidHandler, match=rf"A\.method is a handler and a .*; remove @{wrap.__name__}$"):
        type("A", (Actor,), {"method": wrap(handler(method))})
    with pytest.raises(InvalidHandler, match=r"write @handler alone, above a method"):
        handler(cast("Any", wrap(method)))  # Any: what a caller without a type checker passes


def test_an_init_that_would_have_to_be_awaited_is_refused() -> None:
    """The sentence says where to await instead."""

    async def init(self: Actor) -> None: ...

    with pytest.raises(InvalidHandler, match=r"^A\.__init__ is `async def`, .* await in `async def on_start\(self\)`$"):
        type("A", (Actor,), {"__init__": init})


@virtual_time
async def test_a_spawn_that_was_not_awaited_says_so() -> None:
    """At the first use of what is not yet a ref."""
    async with Node() as node:
        pending: Any = node.spawn(Cache)  # Any: the forgotten await, which type checkers refuse
        with pytest.raises(AttributeError, match=r"`tell` of a spawn that was not awaited: write `ref = await node.sp"):
            pending.tell(Ping())
        assert await (await pending).ask(Ping()) == 7


@virtual_time
async def test_an_actor_that_was_made_already_is_not_spawned() -> None:
    """The sentence shows the class and its arguments in place of the instance."""
    async with Node() as node:
        with pytest.raises(InvalidHandler, match=r"was made already, .* spawn\(Cache, \.\.\.\)"):
            await node.spawn(cast("Any", Cache()))  # Any: as above


@pytest.mark.parametrize("place", [None, "b"])
@virtual_time
async def test_a_class_with_parameters_can_be_spawned(place: str | None) -> None:
    """``Cache[int]`` is ``Cache``, here and on another node, also in a partial."""
    async with (
        Node("b", listen="inprocess://b", allowed_modules=[__name__]),
        Node("a", listen="inprocess://a", join=["inprocess://b"]) as a,
    ):
        await a.network.wait_for_peer("b")
        assert await (await a.spawn(Cache[int], 3, place=place)).ask(Ping()) == 3
        assert await (await a.spawn(partial(Cache[int], first=4), place=place)).ask(Ping()) == 4


@virtual_time
async def test_the_error_of_a_property_is_its_own() -> None:
    """The asker sees which attribute is missing, not that the property is."""
    async with Node() as node:
        shop = await node.spawn(Shop)
        with pytest.raises(AttributeError, match=r"'Shop' object has no attribute 'stoc'$"):
            await shop.ask(Ping())


@pytest.fixture
def notebook() -> Iterator[types.ModuleType]:
    """A module whose cells are executed one after the other."""
    module = types.ModuleType("a_notebook")
    sys.modules["a_notebook"] = module
    yield module
    del sys.modules["a_notebook"]


MESSAGE_CELL = "from trouper import *\nclass Add(Message[int]):\n    n: int\n"
ACTOR_CELL = "class Sum(Actor):\n    @handler\n    def add(self, msg: Add) -> int: return msg.n\n"


def test_a_message_that_was_defined_again_is_explained(notebook: types.ModuleType) -> None:
    """The actor of the earlier cell handles the earlier class; once its own cell has run too, a new one works."""

    @virtual_time
    async def scene() -> None:
        cells = vars(notebook)
        exec(MESSAGE_CELL + ACTOR_CELL, cells)
        async with Node() as node:
            before = await node.spawn(notebook.Sum)
            exec(MESSAGE_CELL, cells)
            with pytest.raises(Unhandled, match=r"another class named a_notebook\.Add: .* spawn it anew$"):
                await before.ask(notebook.Add(1))
            exec(ACTOR_CELL, cells)
            assert await (await node.spawn(notebook.Sum)).ask(notebook.Add(1)) == 1

    scene()


@pytest.mark.parametrize(
    ("option", "value", "cure"),
    [
        ("join", "inprocess://x", r"join=\['inprocess://x'\]"),
        ("journal", "folder", r"journal=FileJournal\('folder'\)"),
        ("allowed_modules", "shop", r"allowed_modules=\['shop'\]"),
        ("workers", "2", r"workers='2' must be 0 to 128"),
        ("ask_timeout_s", None, r"must be above 0, in seconds; inf is no deadline"),
        ("name", 5, r"the name 5 of a node must be text"),
    ],
)
def test_an_option_of_the_wrong_type_is_refused_with_the_cure(option: str, value: object, cure: str) -> None:
    """Where a type checker is not used it would fail later with other words, or mean something else."""
    with pytest.raises(InvalidOption, match=cure):
        Node(**cast("Any", {"listen": "inprocess://y", option: value}))  # Any: as above


class TestSeedsOnMethods:
    """``@seeds`` on a method: the simulation comes after ``self``, fixtures after that."""

    @pytest.fixture
    def seven(self) -> int:
        return 7

    @seeds(2)
    async def test_the_simulation_comes_after_self(self, sim: Simulation, seven: int) -> None:
        """And the instance is that of the test class."""
        assert isinstance(self, TestSeedsOnMethods)
        assert await (await sim.node.spawn(Cache, seven)).ask(Ping()) == 7


def test_events_are_applied_by_methods_that_may_have_any_other_name() -> None:
    """Names that the runtime does not use are free."""

    class Went(Message, tag="test_api_traps.went"):
        pass

    class Log(EventSourcedActor[list[str]]):
        @applies
        def went(self, event: Went) -> None: ...

        @handler
        def add(self, msg: Ping) -> int:
            return 1

    assert Log.__name__ == "Log"
