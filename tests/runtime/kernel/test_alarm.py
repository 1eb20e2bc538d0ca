"""One timer that is set anew."""

import asyncio
from collections.abc import Callable
from math import inf

import pytest

from trouper.runtime.kernel.clock import CLOCK_S, Alarm
from trouper.testing import run_virtual


def test_it_rings_once_at_the_time_it_was_last_set_to() -> None:
    """Earlier or later than before; never when it is set to inf; again when it is set again."""
    rung: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        alarm = Alarm(loop, lambda: rung.append(loop.time() - start))
        for at in (5.0, 2.0, 3.0):
            alarm.set(start + at)
        await asyncio.sleep(10.0)
        alarm.set(start + 12.0)
        alarm.set(inf)
        await asyncio.sleep(10.0)
        alarm.set(start + 21.0)
        alarm.set(start + 21.0)
        await asyncio.sleep(10.0)

    run_virtual(main)
    assert rung == [3.0, 21.0]


def test_it_may_be_set_while_it_rings() -> None:
    """As a machine does that wants to be woken again at once."""
    rung: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def ring() -> None:
            rung.append(1)
            if len(rung) < 3:
                alarm.set(loop.time() + 1.0)

        alarm = Alarm(loop, ring)
        alarm.set(loop.time() + 1.0)
        await asyncio.sleep(10.0)

    run_virtual(main)
    assert len(rung) == 3


def test_it_waits_on_when_the_loop_rings_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """As uvloop does, by up to half a millisecond; and it does not ask for what is left, which would be no time."""
    rung: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start, call_at = loop.time(), loop.call_at

        def early(at: float, ring: Callable[[], object]) -> asyncio.TimerHandle:
            return call_at(at - 0.000_4, ring)

        monkeypatch.setattr(loop, "call_at", early)
        Alarm(loop, lambda: rung.append(loop.time() - start)).set(start + 1.0)
        monkeypatch.undo()
        await asyncio.sleep(2.0)

    run_virtual(main)
    assert rung == [pytest.approx(1.0 - 0.000_4 + CLOCK_S)]
