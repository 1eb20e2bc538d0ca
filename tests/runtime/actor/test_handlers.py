from typing import Any, Generic, TypeVar

import pytest

from tests.runtime.stage import Double, Hold, Note, Player, play_on, staged
from trouper import Actor, InvalidHandler, Message, Node, handler

T = TypeVar("T")


class Base(Message[int]):
    pass


class Derived(Base):
    pass


class Box(Message[T], Generic[T]):
    content: T


@staged
async def test_a_handler_is_found_by_its_annotation(node: Node) -> None:
    """The name of the method means nothing, the annotation of its parameter everything."""

    class Anyhow(Actor):
        @handler
        def whatever(self, please: Double) -> int:
            return please.n

        @handler
        async def another(self, please: Hold) -> int:
            return -please.n

    ref = await node.spawn(Anyhow)
    assert [await ref.ask(Double(1)), await ref.ask(Hold(1))] == [1, -1]


@staged
async def test_a_union_handles_each_of_its_members(node: Node) -> None:
    """Written with a bar or with a base class: one handler for several messages."""

    class Both(Actor):
        @handler
        def both(self, msg: Double | Derived) -> int:
            return 2 if isinstance(msg, Double) else 3

    ref = await node.spawn(Both)
    assert [await ref.ask(Double(1)), await ref.ask(Derived())] == [2, 3]


@staged
async def test_the_nearest_handler_takes_a_subclass(node: Node) -> None:
    """A handler of a base class takes what has none of its own, and one of `Message` takes everything else."""

    class Layers(Actor):
        @handler
        def base(self, msg: Base) -> int:
            return 1

        @handler
        def anything(self, msg: Message[Any]) -> object:
            return 2

    ref = await node.spawn(Layers)
    assert [await ref.ask(Base()), await ref.ask(Derived()), await ref.ask(Double(5))] == [1, 1, 2]


@staged
async def test_handlers_are_inherited_and_overridden(node: Node) -> None:
    """A subclass has the handlers of its bases, and its own instead where it says so."""

    class Louder(Player):
        @handler
        def double(self, msg: Double) -> int:
            return 3 * msg.n

    ref = await node.spawn(Louder)
    assert await ref.ask(Double(2)) == 6
    ref.tell(Note(1))


@staged
async def test_a_generic_message_is_handled_whatever_it_holds(node: Node) -> None:
    """`Box[int]` and `Box[str]` are one message class at run time."""

    class Opener(Actor):
        @handler
        def box(self, msg: Box[int]) -> int:
            return msg.content

    assert await (await node.spawn(Opener)).ask(Box(7)) == 7


def test_names_of_a_function_are_seen_by_the_actors_made_in_it() -> None:
    """Annotations may name messages that are local to where the class stands, under `from __future__` too."""

    class Local(Message[int]):
        n: int

    class Locally(Actor):
        @handler
        def local(self, msg: "Local") -> "int":
            return msg.n

    async def scene(node: Node) -> int:
        return await (await node.spawn(Locally)).ask(Local(3))

    assert play_on(Node(), scene) == 3


def test_two_handlers_of_one_message_are_refused_by_name() -> None:
    """The sentence names the class, the message and both methods."""
    with pytest.raises(InvalidHandler) as caught:

        class Twice(Actor):  # pyright: ignore[reportUnusedClass]  it is never made
            @handler
            def one(self, msg: Double) -> int:
                return 1

            @handler
            def two(self, msg: Double | Note) -> int | None:
                return 2

    assert str(caught.value).endswith("Twice.two; remove one of them")
    assert "Twice handles Double twice: in " in str(caught.value)
    assert "Twice.one and in " in str(caught.value)


def test_a_missing_annotation_is_refused_by_name() -> None:
    """The sentence names the method and the parameter."""
    with pytest.raises(InvalidHandler, match=r"Bare\.bare: annotate the parameter 'msg' with a Message class$"):

        class Bare(Actor):  # pyright: ignore[reportUnusedClass]  it is never made
            @handler  # pyright: ignore[reportUnknownArgumentType]  the mistake that is tested
            def bare(self, msg) -> None:  # type: ignore[no-untyped-def]  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]  # noqa: ANN001  the mistake that is tested
                pass


def test_an_annotation_that_is_no_message_is_refused() -> None:
    """What it is, is shown."""
    with pytest.raises(InvalidHandler, match=r"Texts\.text: the message parameter is annotated .*str.*no Message"):

        class Texts(Actor):  # pyright: ignore[reportUnusedClass]  it is never made
            @handler
            def text(self, msg: str) -> None:
                pass


def test_an_annotation_that_means_nothing_is_refused() -> None:
    """A name that cannot be resolved is said at once, with what to do."""
    with pytest.raises(InvalidHandler, match=r"an annotation \(.*Nowhere.*\); define it above the actor$"):

        class Lost(Actor):  # pyright: ignore[reportUnusedClass]  it is never made
            @handler  # pyright: ignore[reportUnknownArgumentType]  the mistake that is tested
            def lost(self, msg: "Nowhere") -> None:  # type: ignore[name-defined]  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]  # noqa: F821  the mistake that is tested
                pass


def test_a_reply_that_contradicts_the_message_is_refused() -> None:
    """Both types are named, and which to change is left to the reader."""
    with pytest.raises(InvalidHandler) as caught:

        class Liar(Actor):  # pyright: ignore[reportUnusedClass]  it is never made
            @handler
            def double(self, msg: Double) -> str:
                return ""

    assert str(caught.value).endswith("Liar.double returns str, but the reply to Double is int: change one of the two")


def test_a_handler_takes_exactly_one_message() -> None:
    """Neither none nor two."""
    with pytest.raises(InvalidHandler, match=r"\.two\(.*\) -> int must take exactly one message after self"):

        class Two(Actor):  # pyright: ignore[reportUnusedClass]  it is never made
            @handler
            def two(self, msg: Double, other: Double) -> int:
                return 1

    with pytest.raises(InvalidHandler, match=r"\.zero\(self\) -> int must take exactly one message after self"):

        class Zero(Actor):  # pyright: ignore[reportUnusedClass]  it is never made
            @handler
            def zero(self) -> int:
                return 1


def test_a_message_that_cannot_be_passed_by_position_is_refused() -> None:
    """Keyword-only and variadic parameters would fail at the first message; they are said when the class is made."""
    with pytest.raises(InvalidHandler):

        class Keyword(Actor):  # pyright: ignore[reportUnusedClass]  it is never made
            @handler
            def keyword(self, *, msg: Double) -> int:
                return msg.n

    with pytest.raises(InvalidHandler):

        class Variadic(Actor):  # pyright: ignore[reportUnusedClass]  it is never made
            @handler
            def variadic(self, *msg: Double) -> int:
                return len(msg)


def test_a_plain_handler_cannot_be_reentrant() -> None:
    """It has no await at which others could be let in."""
    with pytest.raises(InvalidHandler, match=r"Plain\.plain is reentrant but not `async def`: "):

        class Plain(Actor):  # pyright: ignore[reportUnusedClass]  it is never made
            @handler(reentrant=True)
            def plain(self, msg: Double) -> int:
                return msg.n


def test_an_override_that_forgot_its_mark_is_refused() -> None:
    """A method that replaces a handler without being one would silently handle nothing."""
    with pytest.raises(InvalidHandler, match=r"Silent\.double overrides a handler: mark it @handler too$"):

        class Silent(Player):  # pyright: ignore[reportUnusedClass]  it is never made
            def double(self, msg: Double) -> int:
                return msg.n


def test_a_handler_stays_the_method_it_was() -> None:
    """The mark changes nothing: name, docstring and call are the method's own."""

    class Documented(Actor):
        @handler
        def double(self, msg: Double) -> int:
            """Say twice the number."""
            return 2 * msg.n

    assert Documented.double.__doc__ == "Say twice the number."
    assert Documented.double.__name__ == "double"
    assert Documented().double(Double(4)) == 8
