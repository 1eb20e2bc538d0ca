"""What bad wiring gets: forwards, behaviours, watches and links that cannot work."""

from typing import cast

import pytest

from tests.runtime.stage import (
    Double,
    Fail,
    Note,
    Notes,
    Player,
    Story,
    cell_of,
    letters_of,
    staged,
    told,
)
from trouper import (
    Actor,
    ActorRef,
    ActorStopped,
    CallerError,
    Down,
    InvalidHandler,
    Message,
    Node,
    StartFailed,
    handler,
)
from trouper.testing import settle

# --- forward, stash, become ------------------------------------------------------------------------------------------


class PassOn(Message[int]):
    to: ActorRef


@staged
async def test_a_forward_outside_of_a_handler(node: Node) -> None:
    """There is nothing to pass on: `CallerError`, unless a message is given."""
    errors: list[str] = []
    target = await node.spawn(Player)

    class Early(Actor):
        def on_start(self) -> None:
            try:
                self.forward(target)
            except CallerError as error:
                errors.append(str(error))
            self.forward(target, Note(1))

    ref = await node.spawn(Early)
    assert errors == [f"{ref.address}: the runtime does not keep a told message; pass it as an argument"]
    assert await target.ask(Notes()) == [1]


@staged
async def test_a_forward_to_an_actor_that_has_ended(node: Node) -> None:
    """The asker hears of it at once, and the forwarder is not to blame."""
    letters = letters_of(node)

    class Passer(Actor):
        @handler
        def pass_on(self, msg: PassOn) -> int:
            self.forward(msg.to, Double(1))
            return 0

    gone, ref = await node.spawn(Player), await node.spawn(Passer)
    await gone.stop()
    with pytest.raises(ActorStopped):
        await ref.ask(PassOn(gone))
    ref.tell(PassOn(gone))
    await settle()
    assert told(letters) == [(Double(1), "stopped"), (Double(1), "stopped")]
    assert cell_of(ref).restarts == 0


@staged
async def test_become_with_what_is_no_behaviour(node: Node) -> None:
    """Refused at the call; the actor keeps the behaviour it has."""
    errors: list[str] = []

    def unannotated(msg):  # type: ignore[no-untyped-def]  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]  # noqa: ANN001, ANN202  the mistake that is tested
        pass

    def of_text(msg: str) -> None:
        pass

    def of_three(actor: Actor, msg: Note, other: Note) -> None:
        pass

    def wrong_reply(msg: Double) -> str:
        return ""

    class Becoming(Player):
        @handler
        def note(self, msg: Note) -> None:
            bad: list[object] = [unannotated, of_text, of_three, wrong_reply, 3, print]
            try:
                self.become(cast("type", bad[msg.n]))
            except InvalidHandler as error:
                errors.append(str(error))

    ref = await node.spawn(Becoming)
    for n in range(6):
        ref.tell(Note(n))
    assert await ref.ask(Double(1)) == 2
    assert len(errors) == 6
    assert cell_of(ref).restarts == 0


# --- watches and links -----------------------------------------------------------------------------------------------


@staged
async def test_watches_of_the_dead_and_double_watches(node: Node) -> None:
    """The dead answer at once, each time; the living once, however often they are watched."""
    story = Story()
    watcher, dead, living = [await node.spawn(Player, story if n == 0 else Story()) for n in range(3)]
    await dead.stop()
    for _ in range(2):
        dead.watch(watcher)
        living.watch(watcher)
    await settle()
    await living.kill()
    await settle()
    assert story == ["start", Down(dead, "no_such_actor"), Down(dead, "no_such_actor"), Down(living, "killed")]


@staged
async def test_a_watcher_that_has_ended(node: Node) -> None:
    """Its watches go with it, and watching on its behalf does nothing."""
    watcher, other = await node.spawn(Player), await node.spawn(Player)
    other.watch(watcher)
    await watcher.stop()
    assert not cell_of(other).watchers
    other.watch(watcher)
    await other.stop()


@pytest.mark.parametrize(("end", "fails"), [("stop", False), ("kill", True)])
@staged
async def test_a_link_to_an_actor_that_has_ended(node: Node, end: str, fails: bool) -> None:
    """An actor that ended abnormally fails an actor that links to it; one that was stopped does not."""
    story = Story()
    dead = await node.spawn(Player)
    await getattr(dead, end)()

    class Linked(Player):
        @handler
        def note(self, msg: Note) -> None:
            self.link(dead)

    ref = await node.spawn(Linked, story, restart="temporary")
    ref.tell(Note(1))
    await settle()
    assert cell_of(ref).gone is fails


@staged
async def test_a_link_to_oneself(node: Node) -> None:
    """It is a promise that everybody keeps."""

    class Linked(Player):
        @handler
        def note(self, msg: Note) -> None:
            self.link(self.ref)

    ref = await node.spawn(Linked, restart="temporary")
    ref.tell(Note(1))
    ref.tell(Fail())
    assert await ref.wait_stopped() == "failed"
    with pytest.raises(StartFailed):
        await node.spawn(_Unlucky)


class _Unlucky(Actor):
    def __init__(self) -> None:
        self.link(self.ref)
        raise LookupError("unlucky")
