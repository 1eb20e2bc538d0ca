"""One timer that is set anew."""

import asyncio
from math import inf

from trouper.runtime.alarm import Alarm
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
