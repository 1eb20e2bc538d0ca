"""The pure halves of a delivery, held against simple models."""

from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.delivery.pending import DeliverySettings, PendingDeliveries
from trouper.actors.delivery.receipts import HandledDeliveries
from trouper.delivery import Receipt

STEPS = st.lists(
    st.tuples(st.sampled_from(["accept", "try", "fail", "settle", "wait"]), st.integers(0, 20)), max_size=80
)


@given(steps=STEPS, window=st.integers(1, 4), attempts_max=st.sampled_from([None, 1, 3]))
def test_what_is_pending_is_tried_until_it_is_settled(
    steps: list[tuple[str, int]], window: int, attempts_max: int | None
) -> None:
    """In the window only, one attempt at a time, never before its pause is over."""
    settings = DeliverySettings(retry_first_s=1.0, retry_max_s=4.0, window=window, attempts_max=attempts_max)
    pending, now = PendingDeliveries(settings), 0.0
    waiting: dict[int, float] = {}
    under_way: dict[int, int] = {}
    attempts: dict[int, int] = {}
    for step, number in steps:
        if step == "accept":
            waiting[pending.accept()] = 0.0
        elif step == "wait":
            now += number / 4
        elif step == "try":
            floor = min([*waiting, *under_way], default=pending.last + 1)
            assert pending.floor == floor
            expected = [each for each in sorted(waiting) if each < floor + window and waiting[each] <= now]
            assert pending.take_due(now) == expected
            for each in expected:
                del waiting[each]
                under_way[each] = attempts[each] = attempts.get(each, 0) + 1
        elif under_way:
            chosen = sorted(under_way)[number % len(under_way)]
            count = under_way.pop(chosen)
            if step == "settle":
                pending.settled(chosen)
            else:
                assert pending.failed(chosen, now, 0.5) == (attempts_max is not None and count >= attempts_max)
                waiting[chosen] = now + min(4.0, 2.0 ** (count - 1))
        floor = min([*waiting, *under_way], default=pending.last + 1)
        sendable = [at for each, at in waiting.items() if each < floor + window]
        assert pending.wake_at() == min(sendable, default=float("inf"))
        assert len(pending) == len(waiting) + len(under_way)


@given(order=st.permutations(range(1, 30)), lag=st.integers(1, 10), senders=st.integers(1, 3))
def test_a_receipt_that_was_added_is_known(order: list[int], lag: int, senders: int) -> None:
    """Whatever the order within a window, for each sender by itself; what is settled at the sender needs no memory."""
    table, added = HandledDeliveries(), set[tuple[str, int]]()
    for sender in map(str, range(senders)):
        for number in sorted(order, key=lambda each: (each // lag, order.index(each))):
            floor = min(set(range(1, 31)) - {known for of, known in added if of == sender})
            receipt = Receipt(sender, number, floor)
            assert receipt not in table
            table.add(receipt)
            added.add((sender, number))
            assert all(Receipt(of, known, 1) in table for of, known in added)
        assert len(table.senders[sender].above) == 0


def test_the_sender_that_was_silent_for_longest_is_forgotten() -> None:
    """The table is bounded."""
    table = HandledDeliveries(senders_max=2)
    for sender in ("a", "b", "a", "c"):
        table.add(Receipt(sender, 1, 1))
    assert list(table.senders) == ["a", "c"]
    assert None not in table
    table.add(None)
