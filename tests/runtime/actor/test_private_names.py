"""The names that an actor keeps for itself: those of the runtime cannot collide with them by accident (finding C20)."""

import asyncio
from enum import Enum
from typing import Any

import pytest

from tests.runtime.stage import Note, cell_of, staged
from trouper import Actor, EventSourcedActor, Message, Node, StateMachine, Supervisor, applies, handler, on
from trouper.runtime.kernel.bare_actor import BareActor

NAMES = (
    "_cell", "_timers", "_stash", "_pipe", "_parent", "_sequence", "_stream", "_saving", "_persisting", "_append",
    "_apply", "_machine", "_row", "_choice", "_handle", "_step", "_finish", "_list", "_strategy", "_cells", "_start",
)  # fmt: skip
"""Names that an author of actors is likely to take."""


class Ask(Message[int]):
    """The reply is the number of messages that were handled."""


class Ledger(EventSourcedActor):
    """An event-sourced actor with private attributes of every name."""

    def __init__(self) -> None:
        vars(self).update(dict.fromkeys(NAMES, "mine"))
        self.count = 0

    @handler
    async def note(self, message: Note) -> None:
        await self.persist(message)

    @applies
    def noted(self, _: Note) -> None:
        self.count += 1

    @handler
    def ask(self, _: Ask) -> int:
        return self.count


class Light(Enum):
    RED = 1
    GREEN = 2


class Signal(StateMachine[Light]):
    """A state machine with private attributes of every name."""

    initial = Light.RED

    def __init__(self) -> None:
        vars(self).update(dict.fromkeys(NAMES, "mine"))
        self.count = 0

    @on(Light.RED, to=Light.GREEN)
    @on(Light.GREEN, to=Light.RED)
    def note(self, _: Note) -> None:
        self.count += 1

    @on(Light.RED, Light.GREEN)
    def ask(self, _: Ask) -> int:
        return self.count


class Plain(Actor):
    """An actor that stashes, sets a timer and pipes, with private attributes of every name."""

    def __init__(self) -> None:
        vars(self).update(dict.fromkeys(NAMES, "mine"))
        self.count = 0
        self.stashed = False

    @handler
    def note(self, message: Note) -> None:
        if not self.stashed:
            self.stashed = True
            self.stash(message)
            self.timers.once("tick", 1.0, Note(0))
            self.pipe_to_self(asyncio.sleep(0.5), lambda _: Note(1))
            self.unstash_all()
        else:
            self.count += 1

    @handler
    def ask(self, _: Ask) -> int:
        return self.count


@pytest.mark.parametrize(("actor", "handled"), [(Plain, 3), (Ledger, 1), (Signal, 1)])
def test_attributes_of_any_private_name_do_not_collide_with_the_runtime(actor: type[Any], handled: int) -> None:
    """Any: the three classes have nothing but their messages in common."""

    @staged
    async def scene(node: Node) -> None:
        ref = await node.spawn(actor, name="one")
        ref.tell(Note(7))
        await asyncio.sleep(2.0)
        assert await ref.ask(Ask()) == handled
        instance = cell_of(ref).actor
        assert instance is not None
        assert {vars(instance)[name] for name in NAMES} == {"mine"}
        shown = node.introspection.get_state(ref).fields
        assert set(NAMES) <= set(shown), "attributes of the user are shown"
        assert not [name for name in shown if "__" in name], "attributes of the runtime are not"
        ref.kill()

    scene()


@pytest.mark.parametrize("base", [BareActor, Actor, EventSourcedActor, StateMachine, Supervisor])
def test_no_base_class_of_actors_has_names_with_one_underscore(base: type[object]) -> None:
    """Runtime state has ``__dunder__`` or mangled names: ``_Actor__timers`` is not hit by accident."""
    own = [name for name in dir(base) if name.startswith("_") and not name.startswith("__")]
    bases = tuple(f"_{cls.__name__}__" for cls in base.__mro__)
    assert [name for name in own if not name.startswith(bases) and not name.startswith("_is_protocol")] == []
