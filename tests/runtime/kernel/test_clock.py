import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import play
from trouper.runtime.kernel.clock import Deadlines
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
def test_each_item_expires_once_at_its_deadline_unless_it_has_left(
    plans: list[tuple[float, float, float | None]],
) -> None:
    """Whoever enters when, with whatever time-outs, in one line or many: the model is one timer for each."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start, deadlines, items = loop.time(), Deadlines(loop), dict[int, Item]()

        def enter(index: int, timeout_s: float) -> None:
            items[index] = Item(loop.time() + timeout_s)
            deadlines.enter(timeout_s, items[index])

        for index, (enter_s, timeout_s, leave_s) in enumerate(plans):
            loop.call_at(start + enter_s, enter, index, timeout_s)
            if leave_s is not None:
                # Half a tick later than any deadline, so that the model need not say who comes first.
                loop.call_at(
                    start + enter_s + leave_s + 0.05, lambda i, t: deadlines.leave(t, items[i]), index, timeout_s
                )
        await asyncio.sleep(10.0)
        for index, (_, timeout_s, leave_s) in enumerate(plans):
            stays = leave_s is None or leave_s + 0.05 > timeout_s
            assert items[index].expired_at == ([items[index].deadline] if stays else [])

    play(main)


def test_a_line_costs_one_timer_however_many_stand_in_it() -> None:
    """A thousand asks with one time-out set one timer of the loop, and none once they are over."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        deadlines, others = Deadlines(loop), len(loop.pending_timers())
        for _ in range(1_000):
            deadlines.enter(5.0, Item(loop.time() + 5.0))
        assert len(loop.pending_timers()) == others + 1
        await asyncio.sleep(5.0)
        assert len(loop.pending_timers()) == others

    play(main)


def test_leaving_twice_or_without_having_entered_is_fine() -> None:
    """An ask may end in several ways at once; only the first of them matters."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        deadlines, item = Deadlines(loop), Item(loop.time() + 1.0)
        deadlines.leave(1.0, item)
        deadlines.enter(1.0, item)
        deadlines.leave(1.0, item)
        deadlines.leave(1.0, item)
        await asyncio.sleep(2.0)
        assert item.expired_at == []

    play(main)


def test_what_enters_while_another_expires_has_its_own_deadline() -> None:
    """An item that is entered from inside an expiry waits its full time."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(loop)
        second = Item(loop.time() + 2.0)

        class First(Item):
            def expire(self) -> None:
                super().expire()
                deadlines.enter(1.0, second)

        first = First(loop.time() + 1.0)
        deadlines.enter(1.0, first)
        await asyncio.sleep(5.0)
        assert second.expired_at == [first.expired_at[0] + 1.0]

    play(main)


def test_a_loop_that_rings_early_is_not_asked_for_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """As uvloop does, by up to half a millisecond: it would ring again at once, until the deadline has come."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start, call_at, timers = loop.time(), loop.call_at, list[float]()

        def early(at: float, expire: Callable[..., object], *args: object) -> asyncio.TimerHandle:
            timers.append(at - start)
            return call_at(at - 0.000_4, expire, *args)

        monkeypatch.setattr(loop, "call_at", early)
        deadlines, first, second = Deadlines(loop), Item(start + 1.0), Item(start + 1.5)
        deadlines.enter(1.0, first)
        deadlines.enter(1.0, second)
        monkeypatch.setattr(loop, "call_at", call_at)
        await asyncio.sleep(2.0)
        assert first.expired_at == [pytest.approx(start + 1.0 - 0.000_4)]
        assert second.expired_at == [start + 1.5]
        assert timers == [1.0]

    play(main)
