"""The queues by themselves, against plain lists; `kernel/test_mailbox.py` has them in actors."""

from collections.abc import Hashable
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import Note, Player, Story, staged
from trouper import CoalescingQueue, Mailbox, Message, Node, PriorityQueue
from trouper.testing import settle


class Item(Message):
    key: int
    number: int


def key_of(message: object) -> int:
    """The key of an item."""
    return cast("Item", message).key


operations = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "append", "appendleft", "popleft", "replace", "clear"]), st.integers(0, 3)
    ),
    max_size=60,
)


@given(operations)
def test_a_priority_queue_does_what_a_sorted_list_does(happening: list[tuple[str, int]]) -> None:
    """The most urgent first, equals in order of arrival, and what is put back comes before everything."""
    queue, returned, waiting = PriorityQueue(key_of), list[Item](), list[Item]()
    for number, (what, key) in enumerate(happening):
        item = Item(key, number)
        if what == "append":
            queue.append(item)
            waiting.append(item)
        elif what == "appendleft":
            queue.appendleft(item)
            returned.insert(0, item)
        elif what == "clear":
            queue.clear()
            returned.clear()
            waiting.clear()
        elif what == "popleft" and (returned or waiting):
            expected = returned[0] if returned else min(waiting, key=key_of)
            (returned or waiting).remove(expected)
            assert queue.popleft() == expected
        assert list(queue) == [*returned, *sorted(waiting, key=key_of)]
        assert len(queue) == len(returned) + len(waiting)


@given(operations)
def test_a_coalescing_queue_does_what_a_list_does(happening: list[tuple[str, int]]) -> None:
    """Order of arrival; `replace` puts an item in the place of the newest with its key, but not of one put back."""
    queue = CoalescingQueue(key_of)
    model: list[tuple[Item, bool]] = []
    for number, (what, key) in enumerate(happening):
        item = Item(key, number)
        if what == "append":
            queue.append(item)
            model.append((item, True))
        elif what == "appendleft":
            queue.appendleft(item)
            model.insert(0, (item, False))
        elif what == "clear":
            queue.clear()
            model.clear()
        elif what == "popleft" and model:
            assert queue.popleft() == model.pop(0)[0]
        elif what == "replace":
            places = [index for index, (queued, appended) in enumerate(model) if appended and queued.key == key]
            newest = model[places[-1]][0] if places else None
            if places:
                model[places[-1]] = (item, True)
            assert queue.replace(item) == newest
        assert list(queue) == [queued for queued, _ in model]
        assert len(queue) == len(model)


@given(st.lists(st.integers(0, 3)), st.integers(0, 60))
def test_a_queue_that_was_emptied_keeps_no_keys(keys: list[int], kept: int) -> None:
    """Keys that are gone cost nothing: a stream of ever new keys does not grow the queue's memory."""
    queue = CoalescingQueue(key_of)
    for number, key in enumerate(keys):
        queue.append(Item(key, number))
    while len(queue) > kept:
        queue.popleft()
    keys_known = cast("dict[Hashable, object]", getattr(queue, "_newest"))  # noqa: B009  the size of its memory is what is tested
    assert len(keys_known) <= len(queue)


@staged
async def test_an_actor_with_a_priority_mailbox_handles_the_urgent_first(node: Node) -> None:
    """What waits is sorted by urgency, not what is at work already."""
    story = Story()

    class Urgent(Player):
        mailbox = Mailbox(queue=lambda: PriorityQueue(lambda message: -cast("Note", message).n))

    ref = await node.spawn(Urgent, story)
    for n in (1, 3, 2, 3):
        ref.tell(Note(n))
    await settle()
    assert story == ["start", 3, 3, 2, 1]


@staged
async def test_each_actor_has_its_own_queue(node: Node) -> None:
    """`queue` is a way to make one: two actors of a class never share their mail."""
    stories = [Story(), Story()]

    class Urgent(Player):
        mailbox = Mailbox(queue=lambda: PriorityQueue(lambda message: cast("Note", message).n))

    refs = [await node.spawn(Urgent, story) for story in stories]
    for n in range(3):
        refs[n % 2].tell(Note(n))
    await settle()
    assert stories == [["start", 0, 2], ["start", 1]]
