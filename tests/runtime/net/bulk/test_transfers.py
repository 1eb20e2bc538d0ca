from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.net.stage import Add, Anything
from trouper.runtime.net.bulk.transfers import Transfers
from trouper.runtime.net.control import EndActor, WatchActor
from trouper.runtime.session.budget import Budget, PeerLimits
from trouper.runtime.session.buffers import extract
from trouper.runtime.session.bulk_chunks import HEAD_BYTES, Assembly, BulkSettings, Chunk
from trouper.runtime.session.codec import Item, OutOfBandPayload

SETTINGS = BulkSettings(bulk_bytes_min=10)
ACCOUNT = Budget(PeerLimits()).account("k", "ada", shared=True)
MESSAGE = 20
"""The number of a message type."""


class Link:
    """A way with room for so many chunks, which it puts together at once."""

    body_bytes_max = HEAD_BYTES + 16

    def __init__(self, room: int = 10_000) -> None:
        self.room = room
        self.assembly = Assembly(SETTINGS, lambda size_bytes: memoryview(bytearray(size_bytes)), ACCOUNT)

    def send_chunk(self, chunk: Chunk, /) -> bool:
        """Take a chunk."""
        if not self.room:
            return False
        self.room -= 1
        self.assembly.take_chunk(chunk)
        return True


def buffer_of(data: bytes) -> OutOfBandPayload:
    """A message with this buffer."""
    value = Anything(data)
    return OutOfBandPayload(value, *extract(value, SETTINGS.bulk_bytes_min))


def transfers(link: Link, given_up: frozenset[int] = frozenset()) -> Transfers:
    """Without shared memory; asks of these correlations are given up."""
    return Transfers(link, SETTINGS, None, lambda item: item[1] in given_up)


def put(into: Transfers, item: Item) -> list[Item]:
    """Do as the send buffer does; returns what goes at once."""
    if into.follow(item):
        return []
    if isinstance(item[3], OutOfBandPayload):
        into.add(item, item[3])
        return []
    return [item]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 60) | st.none()), max_size=20), st.data())
def test_messages_of_each_actor_stay_in_order_and_no_actor_waits_for_another(
    said: list[tuple[int, int | None]], data: st.DataObject
) -> None:
    """The model: one queue for each actor.  A step may come between any two messages; buffers arrive as they were."""
    link = Link()
    into, sent, expected = transfers(link), defaultdict[int, list[object]](list), defaultdict[int, list[object]](list)

    def arrive(items: list[Item]) -> None:
        while items:
            to, _, _, payload = items.pop(0)
            if not isinstance(payload, OutOfBandPayload):
                sent[to].append(payload)
                continue
            taken = link.assembly.take([out_of_band.number for out_of_band in payload.buffers])
            sent[to].append(b"".join(taken.values()))
            followers, items = items, []
            for follower in followers:
                arrive(put(into, follower))

    busy: set[int] = set()
    for at, (to, size) in enumerate(said):
        is_large = size is not None and size >= SETTINGS.bulk_bytes_min
        content = bytes([at]) * (size or 0)
        payload: object = buffer_of(content) if is_large else Add(at)
        expected[to].append(content if is_large else payload)
        before = len(sent[to])
        arrive(put(into, (to, 0, MESSAGE, payload)))
        if not is_large and to not in busy:
            assert len(sent[to]) == before + 1, "nothing is before it, so it goes at once"
        busy.add(to) if is_large else None
        for _ in range(data.draw(st.integers(0, 3)) if into else 0):
            if into:
                arrive(into.step()[2])
        busy = {each for each in busy if len(sent[each]) < len(expected[each])}
    while into:
        arrive(into.step()[2])
    assert dict(sent) == expected
    assert (link.assembly.allocated_bytes, into.waiting_items) == (0, 0)


def test_without_room_nothing_moves() -> None:
    """The same chunk is tried again when there is some."""
    link = Link(room=1)
    into = transfers(link)
    item: Item = (1, 0, MESSAGE, buffer_of(b"x" * 20))
    put(into, item)
    assert into.step() == (16, [], [])
    assert into.step() == (0, [], [])
    link.room = 1
    assert into.step() == (4, [], [item])
    assert bytes(link.assembly.take([1])[1]) == b"x" * 20


def test_several_take_turns() -> None:
    """A small one is through before a large one that began first."""
    into = transfers(Link())
    large, small = buffer_of(b"x" * 100), buffer_of(b"y" * 20)
    put(into, (1, 0, MESSAGE, large))
    put(into, (2, 0, MESSAGE, small))
    gone = [ready[0][0] for _ in range(9) if (ready := into.step()[2])]
    assert gone == [2, 1]


def test_a_transfer_that_was_given_up_moves_no_further() -> None:
    """It is handed out at once, with what waited for it."""
    into = transfers(Link(), frozenset({5}))
    item: Item = (1, 5, MESSAGE, buffer_of(b"x" * 100))
    put(into, item)
    put(into, (1, 0, MESSAGE, Add(1)))
    assert into.step() == (1, [], [item, (1, 0, MESSAGE, Add(1))])
    assert not into


@pytest.mark.parametrize(
    ("message", "waits"), [(EndActor(1, "drain"), True), (EndActor(1, "stop"), False), (WatchActor(1), False)]
)
def test_of_signals_only_those_in_order_wait(message: EndActor | WatchActor, waits: bool) -> None:
    """A drain comes after earlier messages; a stop does not wait for them."""
    into = transfers(Link())
    put(into, (1, 0, MESSAGE, buffer_of(b"x" * 20)))
    assert into.follow((0, 0, 6, message)) is waits


def test_replies_wait_for_nothing() -> None:
    """The second of two replies may come first."""
    into = transfers(Link())
    put(into, (0, 1, 0, buffer_of(b"x" * 100)))
    assert put(into, (0, 2, 0, 7)) == [(0, 2, 0, 7)]
    assert put(into, (1, 0, MESSAGE, Add(1))) == [(1, 0, MESSAGE, Add(1))]


def test_what_is_left_at_the_end_is_handed_back() -> None:
    """In the order in which it was put."""
    into = transfers(Link())
    items: list[Item] = [(1, 0, MESSAGE, buffer_of(b"x" * 100)), (1, 0, MESSAGE, Add(1)), (1, 0, MESSAGE, Add(2))]
    for item in items:
        put(into, item)
    into.step()
    assert into.close() == items
    assert (bool(into), into.waiting_items) == (False, 0)
