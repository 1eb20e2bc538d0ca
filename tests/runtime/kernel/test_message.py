import gc
from collections.abc import Callable, Sized
from types import ModuleType
from typing import Annotated, Any, Generic, Literal, NewType, Protocol, TypedDict, TypeVar

import msgspec
import pytest

from trouper import ActorRef, InvalidMessage, Message, TagTaken
from trouper.runtime.kernel.message import message_class, reply_types, tag_of

T = TypeVar("T")


class Deposit(Message[int]):
    amount: int


class BigDeposit(Deposit):
    teller: str = "bob"


class Remark(Message):
    text: str


class Named(Message[str], tag="bank.named"):
    text: str = ""


class Box(Message[list[T]], Generic[T]):
    content: T


class Either(Message[int | str | None]):
    pass


def test_a_message_is_frozen_without_saying_so() -> None:
    """Assigning to a field raises, so a message can be passed by reference."""
    message = Deposit(5)
    with pytest.raises(AttributeError, match=r"^immutable type: 'Deposit'$"):
        setattr(message, "amount", 6)  # noqa: B010  the checkers refuse the plain assignment, as they should
    assert message == Deposit(5)
    assert hash(message) == hash(Deposit(5))


def test_the_tag_is_the_module_and_the_class() -> None:
    """Without a word, the wire name of a message class is where it is defined; a nested class says within what."""

    class Inner(Message):
        pass

    assert tag_of(Deposit) == f"{__name__}.Deposit"
    assert tag_of(Inner) == f"{__name__}.{Inner.__qualname__}"
    assert tag_of(Named) == "bank.named"


def test_a_script_is_named_by_its_file(run_as: Callable[[ModuleType], None]) -> None:
    """A message of `__main__` is tagged with the stem of the script, as a process that imports it would."""
    script = ModuleType("__main__")
    script.__file__ = "/somewhere/bank.py"
    run_as(script)
    scope: dict[str, type] = {"__name__": "__main__"}  # type: ignore[dict-item]  # pyright: ignore[reportAssignmentType]  a script's names
    exec("from trouper import Message\nclass Payment(Message): pass", scope)
    assert tag_of(scope["Payment"]) == "bank.Payment"


def test_a_class_is_found_by_its_tag_while_it_lives() -> None:
    """The table from tag to class knows what is loaded, and keeps nothing alive."""
    assert message_class("bank.named") is Named
    assert message_class("bank.nothing") is None


def test_two_classes_cannot_share_a_tag() -> None:
    """The second one fails when it is made, with an error that names both and the way out."""
    with pytest.raises(TagTaken) as caught:

        class Other(Message, tag="bank.named"):  # pyright: ignore[reportUnusedClass]  it is never made
            pass

    assert str(caught.value).startswith("the tag 'bank.named' of message class ")
    assert str(caught.value).endswith(
        f"Other belongs to {__name__}.Named already: give one of them another with `tag=...`"
    )
    assert message_class("bank.named") is Named


def test_the_same_class_may_be_made_again() -> None:
    """A reload, or a notebook cell that is run twice, takes the tag over."""

    def make() -> type[Message[object]]:
        class Again(Message):
            pass

        return Again

    first = make()
    second = make()
    assert first is not second
    assert message_class(tag_of(second)) is second


def test_a_subclass_has_its_own_tag_and_its_parents_reply() -> None:
    """Only what a class says itself differs from its parent."""
    assert tag_of(BigDeposit) == f"{__name__}.BigDeposit"
    assert BigDeposit.__reply__ == (int,)
    assert BigDeposit(1, "al").amount == 1


def test_the_reply_is_kept_for_checking() -> None:
    """`Message[R]` is remembered as classes for isinstance; without R the reply is None."""
    assert Deposit.__reply__ == (int,)
    assert Remark.__reply__ == (type(None),)
    assert set(Either.__reply__ or ()) == {int, str, type(None)}
    assert Box.__reply__ == (list,)


class Speaks:
    pass


class Row(TypedDict):
    a: int


class Speaker(Protocol):
    def speak(self) -> str: ...


@pytest.mark.parametrize(
    ("annotation", "classes"),
    [
        (int, (int,)),
        (None, (type(None),)),
        (float, (float, int)),
        (list[int], (list,)),
        (int | None, (int, type(None))),
        (Speaks, (Speaks,)),
        (object, None),
        (Any, None),
        (T, None),
        (int | Any, None),
        (Literal["yes", "no"], None),
        (Annotated[int, "cents"], (int,)),
        (Row, None),
        (Sized, (Sized,)),
        (Speaker, None),
        (NewType("Cents", int), None),
        (tuple[int, ...], (tuple,)),
        (type[Speaks], (type,)),
    ],
)
def test_an_annotation_becomes_classes_or_anything(annotation: object, classes: tuple[type, ...] | None) -> None:
    """What isinstance cannot judge passes; a float may be an int, as everywhere in Python."""
    assert reply_types(annotation) == classes


def test_a_field_of_the_wrong_type_is_named_when_a_message_is_injected() -> None:
    """Building a message from plain data, as the wire and `trouper send` do, validates every field."""
    assert msgspec.convert({"$type": tag_of(Deposit), "amount": 5}, Deposit) == Deposit(5)
    with pytest.raises(msgspec.ValidationError, match=r"^Expected `int`, got `str` - at `\$\.amount`$"):
        msgspec.convert({"$type": tag_of(Deposit), "amount": "5"}, Deposit)
    with pytest.raises(msgspec.ValidationError, match=r"^Object missing required field `amount`$"):
        msgspec.convert({"$type": tag_of(Deposit)}, Deposit)


def test_a_wrong_tag_is_refused_when_a_message_is_injected() -> None:
    """Data of one message is not taken for another one."""
    with pytest.raises(msgspec.ValidationError, match=r"^Invalid value '.*' - at `\$\.\$type`$"):
        msgspec.convert({"$type": "somebody.Else", "amount": 5}, Deposit)


def test_a_message_survives_msgpack() -> None:
    """What is encoded with its tag is decoded to an equal message."""
    for message in (Deposit(5), BigDeposit(1, "al"), Remark("hi"), Named("x"), Either()):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message)) == message


def test_keywords_of_structs_work() -> None:
    """What msgspec offers to a struct class is there for a message class too."""

    class Keyed(Message[int], kw_only=True, omit_defaults=True):
        a: int
        b: int = 2

    assert Keyed(a=1).b == 2
    assert msgspec.to_builtins(Keyed(a=1)) == {"$type": tag_of(Keyed), "a": 1}


def test_a_message_may_hold_a_ref() -> None:
    """An `ActorRef` is a field like others; that is how an answer for later is asked for."""

    class Later(Message):
        reply_to: ActorRef

    assert Later.__struct_fields__ == ("reply_to",)


def test_a_module_that_went_away_frees_its_tags() -> None:
    """A class that nobody holds any more leaves the table, so a plug-in can come back under another name."""
    module = ModuleType("plugin")
    exec("from trouper import Message\nclass Gone(Message, tag='plugin.gone'): pass", module.__dict__)
    assert message_class("plugin.gone") is module.Gone
    del module
    gc.collect()
    assert message_class("plugin.gone") is None


def test_a_reply_written_as_text_is_refused() -> None:
    """The reply's type is wanted when the class is made, so a name in quotes is refused there."""

    def make() -> type:
        class Late(Message["int | None"]):
            pass

        return Late

    with pytest.raises(InvalidMessage, match=r"write the reply as a type, not as text: .*Message\[.*int \| None.*\]$"):
        make()
