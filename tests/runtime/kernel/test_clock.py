import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import play
from trouper.runtime.kernel.clock import LINES_MAX, Deadlines, Line
from trouper.testing import VirtualLoop


@dataclass(eq=False)
class Item:
    """Something that notes when it expires."""

    deadline: float
    expired_at: list[float] = field(default_factory=list[float])

    def expire(self) -> None:
        self.expired_at.append(asyncio.get_running_loop().time())


tenths = st.integers(0, 20).map(lambda tenths: tenths / 10)


@given(st.lists(st.tuples(tenths, tenths, tenths | st.none()), max_size=30))
def test_each_item_expires_once_at_its_deadline_unless_it_was_removed(
    plans: list[tuple[float, float, float | None]],
) -> None:
    """Items are added and removed at any time, with any time-outs; the model is one timer for each item."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start, deadlines, items, lines = loop.time(), Deadlines(loop), dict[int, Item](), dict[int, Line]()

        def add(index: int, timeout_s: float) -> None:
            items[index] = Item(loop.time() + timeout_s)
            lines[index] = deadlines.add(timeout_s, items[index])

        for index, (add_s, timeout_s, remove_s) in enumerate(plans):
            loop.call_at(start + add_s, add, index, timeout_s)
            if remove_s is not None:
                # Half a tick later than any deadline, so that the model need not say who comes first.
                loop.call_at(start + add_s + remove_s + 0.05, lambda i: lines[i].pop(items[i], None), index)
        await asyncio.sleep(10.0)
        for index, (_, timeout_s, remove_s) in enumerate(plans):
            stays = remove_s is None or remove_s + 0.05 > timeout_s
            assert items[index].expired_at == ([items[index].deadline] if stays else [])

    play(main)


def test_items_with_one_timeout_share_one_timer() -> None:
    """A thousand asks with one time-out set one timer of the loop, and none once they are over."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        deadlines, others = Deadlines(loop), len(loop.pending_timers())
        for _ in range(1_000):
            deadlines.add(5.0, Item(loop.time() + 5.0))
        assert len(loop.pending_timers()) == others + 1
        await asyncio.sleep(5.0)
        assert len(loop.pending_timers()) == others

    play(main)


def test_an_item_may_be_removed_twice() -> None:
    """An ask may end in several ways at once; only the first of them matters."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        deadlines, item = Deadlines(loop), Item(loop.time() + 1.0)
        line = deadlines.add(1.0, item)
        line.pop(item, None)
        line.pop(item, None)
        await asyncio.sleep(2.0)
        assert item.expired_at == []

    play(main)


def test_an_item_that_is_added_while_another_expires_has_its_own_deadline() -> None:
    """An item that is added from inside an expiry waits its full time."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(loop)
        second = Item(loop.time() + 2.0)

        class First(Item):
            def expire(self) -> None:
                super().expire()
                deadlines.add(1.0, second)

        first = First(loop.time() + 1.0)
        deadlines.add(1.0, first)
        await asyncio.sleep(5.0)
        assert second.expired_at == [first.expired_at[0] + 1.0]

    play(main)


def test_a_timer_that_fires_early_is_not_set_again_for_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A uvloop fires up to half a millisecond early, and would fire again at once until the deadline has come."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start, call_at, timers = loop.time(), loop.call_at, list[float]()

        def early(at: float, expire: Callable[..., object], *args: object) -> asyncio.TimerHandle:
            timers.append(at - start)
            return call_at(at - 0.000_4, expire, *args)

        monkeypatch.setattr(loop, "call_at", early)
        deadlines, first, second = Deadlines(loop), Item(start + 1.0), Item(start + 1.5)
        deadlines.add(1.0, first)
        deadlines.add(1.0, second)
        monkeypatch.setattr(loop, "call_at", call_at)
        await asyncio.sleep(2.0)
        assert first.expired_at == [pytest.approx(start + 1.0 - 0.000_4)]
        assert second.expired_at == [start + 1.5]
        assert timers == [1.0]

    play(main)


@given(st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 100.0)), max_size=30))
def test_inherited_deadlines_expire_late_by_a_64th_at_most(plans: list[tuple[float, float]]) -> None:
    """An inherited deadline is rounded up to a grid: by 1/64 of the time left at most, or 1/128 s, and never down."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start, deadlines, items = loop.time(), Deadlines(loop), list[tuple[float, Item]]()

        def add(left_s: float) -> None:
            items.append((left_s, Item(loop.time() + left_s)))
            deadlines.add_inherited(left_s, items[-1][1])

        for add_s, left_s in plans:
            loop.call_at(start + add_s, add, left_s)
        await asyncio.sleep(200.0)
        assert len(items) == len(plans)
        for left_s, item in items:
            (expired_at,) = item.expired_at
            assert 0.0 <= expired_at - item.deadline <= max(left_s / 64, 1 / 128) + 1e-9

    play(main)


def test_inherited_deadlines_share_a_bounded_number_of_timers() -> None:
    """Of 20,000 asks a second, each with another time left, at most 64 timers are left for each doubling of it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        deadlines, others = Deadlines(loop), len(loop.pending_timers())
        for _ in range(20_000):
            for left_s in (4.9, 0.3, 59.0):
                item = Item(loop.time() + left_s)
                deadlines.add_inherited(left_s, item).pop(item, None)
            await asyncio.sleep(0.000_05)
        assert len(loop.pending_timers()) - others <= 64 * 6 + 128

    play(main)


def test_many_different_timeouts_share_timers_too() -> None:
    """A program that computes each time-out anew cannot make the number of timers grow with the number of its asks."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        deadlines, others, items = Deadlines(loop), len(loop.pending_timers()), list[Item]()
        for number in range(10_000):
            timeout_s = 1.0 + number / 10_000
            items.append(Item(loop.time() + timeout_s))
            deadlines.add(timeout_s, items[-1])
        assert len(loop.pending_timers()) - others <= LINES_MAX + 64
        await asyncio.sleep(3.0)
        assert all(0.0 <= item.expired_at[0] - item.deadline <= 2 / 64 for item in items)

    play(main)
