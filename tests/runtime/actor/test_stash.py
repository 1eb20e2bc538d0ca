import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import (
    Double,
    Fail,
    Hold,
    Note,
    Notes,
    Player,
    Story,
    cell_of,
    letters_of,
    play_on,
    staged,
    told,
)
from trouper import ActorStopped, AskTimeout, Message, Node, StashFull, handler
from trouper.testing import settle


class Open(Message):
    """Take everything out of the stash, and stash nothing more until `Close`."""


class Close(Message):
    """Stash every note and double from now on."""


class Stasher(Player):
    """Stashes notes and doubles while it is closed."""

    opened = False

    @handler
    def note(self, msg: Note) -> None:
        if self.opened:
            self.story.append(msg.n)
        else:
            self.stash(msg)

    @handler
    def double(self, msg: Double) -> int:
        if not self.opened:
            self.stash(msg)
        return 2 * msg.n

    @handler
    def open(self, _: Open) -> None:
        self.opened = True
        self.unstash_all()

    @handler
    def close(self, _: Close) -> None:
        self.opened = False


@given(st.lists(st.sampled_from(["note", "open", "close", "settle"]), max_size=40))
def test_the_stash_does_what_a_list_does(happening: list[str]) -> None:
    """Whatever is put aside comes back in order, ahead of the mailbox, and is accounted for meanwhile."""

    async def scene(node: Node) -> None:
        story, mail, stash, opened, handled = Story(), list[object](), list[int](), False, list[object]()

        def run_model() -> None:
            nonlocal opened
            while mail:
                first = mail.pop(0)
                if first == "close":
                    opened = False
                elif first == "open":
                    opened = True
                    mail[:0] = stash
                    stash.clear()
                elif opened:
                    handled.append(first)
                else:
                    assert isinstance(first, int)
                    stash.append(first)

        ref = await node.spawn(Stasher, story)
        for number, what in enumerate([*happening, "settle"]):
            if what == "settle":
                run_model()
                await settle()
                assert story[1:] == handled
                assert (node.accounting().stashed, node.accounting().missing) == (len(stash), 0)
            else:
                mail.append(number if what == "note" else what)
                ref.tell({"note": Note(number), "open": Open(), "close": Close()}[what])

    play_on(Node(), scene)


@staged
async def test_a_stashed_ask_is_answered_later(node: Node) -> None:
    """The reply is owed until then; told messages around it keep their order."""
    story = Story()
    ref = await node.spawn(Stasher, story)
    asked = ref.ask(Double(21))
    ref.tell(Note(1))
    await settle()
    assert not asked.done()
    assert node.accounting().stashed == 2
    ref.tell(Open())
    assert await asked == 42
    await settle()
    assert story == ["start", 1]


@pytest.mark.parametrize("queued", [True, False])
@staged
async def test_a_stashed_ask_keeps_its_deadline(node: Node, queued: bool) -> None:
    """It times out when its asker said, and is passed over when it is taken out."""
    letters = letters_of(node)
    ref = await node.spawn(Stasher)
    if queued:
        ref.tell(Note(1))
    asked, began = ref.ask(Double(1), timeout_s=1.5), asyncio.get_running_loop().time()
    with pytest.raises(AskTimeout):
        await asked
    assert asyncio.get_running_loop().time() == began + 1.5
    ref.tell(Open())
    await settle()
    assert told(letters) == [(Double(1), "expired")]


@pytest.mark.parametrize("end", ["stop", "kill", "drain"])
@staged
async def test_what_is_stashed_at_the_end_is_dead_letters(node: Node, end: str) -> None:
    """The asker gets the error, and no message is lost."""
    letters = letters_of(node)
    ref = await node.spawn(Stasher)
    asked = ref.ask(Double(1))
    ref.tell(Note(1))
    await settle()
    await getattr(ref, end)()
    with pytest.raises(ActorStopped):
        await asked
    assert [letter.message for letter in letters] == [Double(1), Note(1)]
    assert node.accounting().stashed == 0


@staged
async def test_the_stash_returns_to_the_front_at_a_restart(node: Node) -> None:
    """The new instance gets it first, in order, and may put it aside again."""
    ref = await node.spawn(Stasher, story := Story())
    for message in (Note(1), Note(2), Fail(), Note(3), Open()):
        ref.tell(message)
    await settle()
    assert story == ["start", "stop", "start", 1, 2, 3]


@staged
async def test_an_async_handler_may_stash(node: Node) -> None:
    """What it puts aside is counted as stashed, not as handled, also when it goes on for a while."""
    story = Story()

    class Slow(Player):
        opened = False

        @handler
        async def hold(self, msg: Hold) -> int:
            if not self.opened:
                self.stash(msg)
            await asyncio.sleep(1.0)
            self.story.append(msg.n)
            return msg.n

        @handler
        def open(self, _: Open) -> None:
            self.opened = True
            self.unstash_all()

    ref = await node.spawn(Slow, story)
    asked = ref.ask(Hold(7))
    await asyncio.sleep(2.0)
    assert not asked.done()
    assert node.accounting().stashed == 1
    ref.tell(Open())
    assert await asked == 7
    assert story == ["start", 7, 7]


@staged
async def test_a_stash_overflow_fails_the_actor_and_keeps_the_rest(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """`StashFull` is raised where the message is put aside; not caught, it is a failure like any other."""

    class Small(Stasher):
        stash_limit = 2

    letters = letters_of(node)
    ref = await node.spawn(Small, name="ada")
    for n in range(3):
        ref.tell(Note(n))
    await settle()
    assert told(letters) == [(Note(2), "failed")]
    assert str(letters[0].error) == (
        f"StashFull: {ref.address} has 2 messages in its stash, its limit: unstash or reject some"
    )
    assert (cell_of(ref).restarts, node.accounting().stashed) == (1, 2)


@staged
async def test_a_stash_overflow_may_be_caught(node: Node) -> None:
    """The handler may do something else with the message; the actor is not harmed."""

    class Catching(Stasher):
        stash_limit = 1

        @handler
        def double(self, msg: Double) -> int:
            try:
                self.stash(msg)
            except StashFull:
                return -1
            return 0

    ref = await node.spawn(Catching)
    first = ref.ask(Double(1))
    assert await ref.ask(Double(2)) == -1
    assert not first.done()
    assert await ref.ask(Notes()) == []
    first.cancel()


@staged
async def test_an_empty_stash_gives_nothing_back(node: Node) -> None:
    """`unstash_all` without a stash does nothing."""
    ref = await node.spawn(Stasher, story := Story())
    ref.tell(Open())
    ref.tell(Open())
    ref.tell(Note(1))
    await settle()
    assert story == ["start", 1]
