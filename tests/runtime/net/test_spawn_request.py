import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from tests.runtime.net.stage import Add, Clerk, Meet, Numbers, Sum, cell_of, paired, spawn_remote
from trouper import (
    Actor,
    ActorRef,
    InvalidHandler,
    Message,
    NameTaken,
    Node,
    NodeUnreachable,
    StartFailed,
    WireError,
    handler,
)
from trouper.runtime.net.control import CONTROLS, SpawnActor
from trouper.runtime.net.spawn_request import (
    find_loaded,
    loaded_names,
    qualified_name,
    resolve_spawn,
    spawn_request,
)
from trouper.runtime.session.codec import SessionCodec
from trouper.testing import settle


class Told(Message[list[object]]):
    """The reply is what the actor was made with."""


class Point(msgspec.Struct, frozen=True):
    """A value that is no message."""

    x: int
    y: int


class Made(Actor):
    """Knows what it was made with."""

    def __init__(self, point: Point, *more: int, friend: ActorRef | None = None, title: "str" = "none") -> None:
        self.made_of: list[object] = [point.x, point.y, *more, friend, title]

    @handler
    def told(self, msg: Told) -> list[object]:
        return self.made_of


class Unwilling(Actor):
    """Does not start."""

    def on_start(self) -> None:
        raise ConnectionError("no database")


class Loose(Actor):
    """Takes anything."""

    def __init__(self, thing: object) -> None:
        self.thing = thing


def double(msg: Add) -> int:
    """An actor that is a function."""
    return 2 * msg.n


@paired
async def test_arguments_are_read_by_the_annotations(a: Node, b: Node) -> None:
    """Structs, refs, starred arguments and keywords arrive as what ``__init__`` says."""
    ben = await a.spawn(Clerk)
    made = await spawn_remote(a, "b", partial(Made, Point(1, 2), 3, 4, friend=ben, title="dr"), name="made")
    assert await made.ask(Told()) == [1, 2, 3, 4, ben, "dr"]
    plain = await spawn_remote(a, "b", Made, Point(5, 6))
    assert await plain.ask(Told()) == [5, 6, None, "none"]
    assert str(made.address).startswith("trouper://b/user/made#")


@paired
async def test_a_function_is_spawned_on_another_node(a: Node, b: Node) -> None:
    """It is found by its name, as a class is."""
    ref = await spawn_remote(a, "b", double)
    assert await ref.ask(Add(21)) == 42


@paired
async def test_a_wrong_argument_is_named(a: Node, b: Node) -> None:
    """Types are checked at the call, before anything is sent; what does not fit an annotation, or cannot travel."""
    wrongs: dict[Callable[[], Actor], str] = {
        partial(Clerk, "seven"): "the argument 'start' of Clerk cannot travel: Expected `int`, got `str`",  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  wrong on purpose
        partial(Made, None): "the argument 'point' of Made cannot travel: Expected `object`, got `None`",  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  wrong on purpose
        partial(Made, Point(1, 2), 3, "4"): "the argument 'more' of Made cannot travel: Expected `int`, got `str`",  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  wrong on purpose
        partial(Loose, object()): "the argument 'thing' of Loose cannot travel: object is no type that the wire knows",
    }
    for wrong, said in wrongs.items():
        with pytest.raises(WireError) as caught:
            a.spawn(wrong, place="b")
        assert str(caught.value) == said
    with pytest.raises(TypeError, match=r"^too many positional arguments$"):
        a.spawn(partial(Clerk, 1, 2), place="b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  wrong on purpose
    await settle()
    assert b.system.user.children in (None, {})


@paired
async def test_what_cannot_be_found_by_name_is_refused_at_the_call(a: Node, b: Node) -> None:
    """A class inside a function exists in one process only."""

    class Inner(Actor):
        pass

    def inner(msg: Add) -> int:
        return msg.n

    for actor in (Inner, inner, Clerk().add):
        with pytest.raises(
            InvalidHandler, match=r"cannot be spawned on another node: define it at the top of a module, or let code"
        ):
            a.spawn(actor, place="b")
    with pytest.raises(InvalidHandler, match="is a function: it takes messages, not the arguments"):
        spawn_request(partial(double, Add(1)), (), None, None)


@paired
async def test_failures_of_a_start_are_the_spawners(a: Node, b: Node) -> None:
    """As on one node: StartFailed and NameTaken are raised there, and nothing is left behind."""
    with pytest.raises(StartFailed) as caught:
        await spawn_remote(a, "b", Unwilling, name="db")
    assert "did not start: ConnectionError: no database" in str(caught.value)
    await spawn_remote(a, "b", Clerk, name="db")
    with pytest.raises(NameTaken):
        await spawn_remote(a, "b", Clerk, name="db")
    with pytest.raises(NodeUnreachable) as unreachable:
        await a.spawn(Clerk, place="nowhere")
    assert str(unreachable.value) == "node a is not connected to 'nowhere'; it is connected to: b"


@paired
async def test_an_actor_spawned_on_another_node_spawns_back(a: Node, b: Node) -> None:
    """Both nodes are alike; an actor's own node is found through it."""
    back = await spawn_remote(b, "a", Clerk, 5)
    ada = await spawn_remote(a, "b", Clerk)
    node_id = a.find(back.address.path)
    assert node_id is not None
    assert await ada.ask(Meet(node_id)) is node_id
    assert (await back.ask(Sum()), await ada.ask(Numbers())) == (5, [])


def _tables() -> SessionCodec:
    def no_ref(_: object) -> ActorRef:
        raise AssertionError("no refs are defined here")

    def nobody(_: ActorRef) -> tuple[str, int, str, int]:
        raise AssertionError("no refs are sent here")

    return SessionCodec(nobody, no_ref, tuple(CONTROLS))


def _spawn(actor: str, args: object = (), keywords: object = None) -> SpawnActor:
    encode = msgspec.msgpack.encode
    return SpawnActor(actor, msgspec.Raw(encode(args)), msgspec.Raw(encode(keywords or {})))


def test_a_module_that_is_not_allowed_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it runs, although it could be found; once it is allowed, it is imported."""
    (tmp_path / "forbidden_actors.py").write_text(
        "import builtins\nbuiltins.was_imported = True\nfrom trouper import Actor\nclass Thing(Actor): pass\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(WireError) as caught:
        resolve_spawn(_spawn("forbidden_actors:Thing"), _tables(), ())
    assert str(caught.value) == (
        "the module 'forbidden_actors' is not loaded here and not in allowed_modules: allow it, or import it"
    )
    assert "forbidden_actors" not in sys.modules
    assert not hasattr(sys.modules["builtins"], "was_imported")
    try:
        assert resolve_spawn(_spawn("forbidden_actors:Thing"), _tables(), ["forbidden_actors"]).__name__ == "Thing"
    finally:
        sys.modules.pop("forbidden_actors", None)
        vars(sys.modules["builtins"]).pop("was_imported", None)


@pytest.mark.parametrize(
    ("spawn", "text"),
    [
        (_spawn("os:system"), "os:system is no actor class or function of this node"),
        (_spawn("builtins:int"), "builtins:int is no actor class or function of this node"),
        (_spawn("sys:modules"), "sys:modules is no actor class or function of this node"),
        (_spawn("sys:no.such"), "sys:no.such is no actor class or function of this node"),
        (_spawn(f"{__name__}:double", [1]), f"{__name__}:double is a function: it takes messages, not arguments"),
        (_spawn(f"{__name__}:Made"), None),
        (
            _spawn(f"{__name__}:Made", [{"x": 1}]),
            "the argument 'point' of Made came in wrong: Object missing required field `y`",
        ),
        (_spawn(f"{__name__}:Made", {"x": 1}), "the arguments of Made came in wrong: Expected `array`, got `object`"),
        (
            _spawn(f"{__name__}:Made", [{"x": 1, "y": 2}], {"nobody": 1}),
            "Made cannot be made from these arguments: got an unexpected keyword argument 'nobody'",
        ),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused_in_words(spawn: SpawnActor, text: str | None) -> None:
    """The words name the class and the argument; a request without arguments is left to the class itself."""
    if text is None:
        assert resolve_spawn(spawn, _tables(), ()) is Made
        return
    with pytest.raises(WireError) as caught:
        resolve_spawn(spawn, _tables(), ())
    assert str(caught.value) == text


def test_a_request_names_class_and_arguments() -> None:
    """What travels is a name and values."""
    spawn = spawn_request(partial(Made, Point(1, 2), title="x"), (3,), "ada", None)
    assert (spawn.actor, spawn.name, spawn.shutdown_s) == (f"{__name__}:Made", "ada", None)


def test_a_qualified_name_is_found_again() -> None:
    """Classes inside classes and functions too."""
    for thing in (Clerk, Clerk.add, qualified_name):
        module, _, qualified = qualified_name(thing).partition(":")
        assert find_loaded(module, qualified) is thing


def test_a_name_that_does_not_exist_gives_none() -> None:
    """No import, no attribute of an instance, no error."""
    for module, qualified in (("antigravity", "fly"), ("os", "no.such"), ("os", ""), ("", ""), ("os", "sep.upper")):
        assert find_loaded(module, qualified) is None
    assert loaded_names("antigravity") is None


def test_a_script_is_named_by_its_file(run_as: Callable[[ModuleType], None]) -> None:
    """Another process imports the script by that name."""
    script = ModuleType("__main__")
    script.__file__ = "some/folder/program.py"
    thing = type("Thing", (), {"__module__": "__main__"})
    vars(script)["Thing"] = thing
    run_as(script)
    assert qualified_name(thing) == "program:Thing"
    assert find_loaded("program", "Thing") is thing


@paired
async def test_an_actor_ends_when_its_owner_has_ended(a: Node, b: Node) -> None:
    """Also when the owner had ended before the request."""
    owner = await a.spawn(Clerk, name="owner")
    owned = await a.network.spawn_at("b", spawn_request(Clerk, (), "owned", 5.0), owner=owner)
    assert b.find("user/owned") is not None
    await owner.stop()
    await owned.wait_stopped()
    assert b.find("user/owned") is None
    late = await a.network.spawn_at("b", spawn_request(Clerk, (), "late", 5.0), owner=owner)
    await late.wait_stopped()
    assert b.find("user/late") is None


@paired
async def test_an_owner_is_not_watched_any_more_once_its_actor_has_ended(a: Node, b: Node) -> None:
    """An actor that ends by itself leaves no watch behind."""
    owner = await a.spawn(Clerk)
    owned = await a.network.spawn_at("b", spawn_request(Clerk, (), None, 5.0), owner=owner)
    await owned.stop()
    await settle()
    assert b.network.peer("a").watched[cell_of(owner).uid].watchers is None
    assert not cell_of(owner).gone
