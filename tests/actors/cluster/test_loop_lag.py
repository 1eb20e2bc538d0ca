"""What the monitor of the event loop reports."""

import asyncio
import gc

from trouper.actors.cluster.loop_lag import LoopLagMonitor
from trouper.testing import run_virtual


def test_on_virtual_time_nothing_is_late() -> None:
    """A simulation reports no lag of its own."""
    reported: list[tuple[float, float]] = []

    async def main() -> None:
        monitor = LoopLagMonitor(asyncio.get_running_loop(), lambda lag_s, pause_s: reported.append((lag_s, pause_s)))
        await asyncio.sleep(10.0)
        monitor.close()

    run_virtual(main)
    assert reported == []


def test_a_blocked_loop_is_reported_and_its_recovery_too() -> None:
    """There are two reports: one with the lag, and one when there is none again."""
    reported: list[float] = []

    async def main() -> None:
        over = asyncio.Event()

        def note(lag_s: float, _: float) -> None:
            reported.append(lag_s)
            if len(reported) == 2:
                over.set()

        monitor = LoopLagMonitor(asyncio.get_running_loop(), note)
        monitor._due_at -= 1.9  # noqa: SLF001  as if the first measurement had come 0.9 s late
        monitor._timer.cancel()  # noqa: SLF001  see above
        asyncio.get_running_loop().call_soon(monitor._measure)  # noqa: SLF001  see above
        await over.wait()
        monitor.close()

    asyncio.run(main())
    assert reported[0] > 0.5
    assert reported[1] < reported[0]


def test_a_long_collection_is_reported() -> None:
    """The report has the longest one since the last measurement."""
    reported: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        monitor = LoopLagMonitor(loop, lambda _, pause_s: reported.append(pause_s))
        monitor._collected("start", {})  # noqa: SLF001  as the collector does
        monitor._gc_started_at -= 0.5  # noqa: SLF001  as if it had begun half a second ago
        monitor._collected("stop", {})  # noqa: SLF001  see above
        monitor._measure()  # noqa: SLF001  as its timer does
        monitor.close()
        assert monitor._collected not in gc.callbacks  # noqa: SLF001  nothing is left behind

    asyncio.run(main())
    assert reported[0] >= 0.5
