"""What the gauge tells of the process."""

import asyncio
import gc

from trouper.actors.cluster.loop_lag import LoopLagMonitor
from trouper.testing import run_virtual


def test_on_virtual_time_nothing_is_late() -> None:
    """A simulation is never strained, except by what it says itself."""
    told: list[tuple[float, float]] = []

    async def main() -> None:
        gauge = LoopLagMonitor(asyncio.get_running_loop(), lambda lag_s, pause_s: told.append((lag_s, pause_s)))
        await asyncio.sleep(10.0)
        gauge.close()

    run_virtual(main)
    assert told == []


def test_a_loop_that_was_held_is_told_of_and_that_it_is_well_again() -> None:
    """Twice: with the lag, and once more when there is none."""
    told: list[float] = []

    async def main() -> None:
        over = asyncio.Event()

        def hear(lag_s: float, _: float) -> None:
            told.append(lag_s)
            if len(told) == 2:
                over.set()

        gauge = LoopLagMonitor(asyncio.get_running_loop(), hear)
        gauge._due_at -= 1.9  # noqa: SLF001  as if the first look had come 0.9 s late
        gauge._timer.cancel()  # noqa: SLF001  see above
        asyncio.get_running_loop().call_soon(gauge._look)  # noqa: SLF001  see above
        await over.wait()
        gauge.close()

    asyncio.run(main())
    assert told[0] > 0.5
    assert told[1] < told[0]


def test_a_long_collection_is_told_of() -> None:
    """The longest since the last look."""
    told: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        gauge = LoopLagMonitor(loop, lambda _, pause_s: told.append(pause_s))
        gauge._collected("start", {})  # noqa: SLF001  as the collector does
        gauge._gc_began -= 0.5  # noqa: SLF001  as if it had begun half a second ago
        gauge._collected("stop", {})  # noqa: SLF001  see above
        gauge._look()  # noqa: SLF001  as its timer does
        gauge.close()
        assert gauge._collected not in gc.callbacks  # noqa: SLF001  nothing is left behind

    asyncio.run(main())
    assert told[0] >= 0.5
