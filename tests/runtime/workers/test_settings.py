"""Settings of workers that are out of range."""

from collections.abc import Callable

import pytest

from trouper import InvalidOption, WorkerLimits, Workers

WRONG: dict[str, Callable[[], Workers]] = {
    "workers=-1 must be": lambda: Workers(-1),
    "hang_s=0 must be above 0": lambda: Workers(1, hang_s=0),
    "env: 'A=B' cannot be": lambda: Workers(1, env={"A=B": "1"}),
    "nice 0 to 19": lambda: Workers(1, limits=WorkerLimits(nice=-1)),
    "memory_bytes and open_files must be 1 or more": lambda: Workers(1, limits=WorkerLimits(memory_bytes=-1)),
    "must name at least one core": lambda: Workers(1, limits=WorkerLimits(cores=())),
    "start_s must be above 0": lambda: Workers(1, start_s=0.0),
    "stop_s and terminate_s 0 or more": lambda: Workers(1, stop_s=-1.0),
    "lines_per_s_max must be 1 or more": lambda: Workers(1, lines_per_s_max=0),
    "intensity=-1 must be >= 0": lambda: Workers(1, intensity=-1),
    "period_s=0 must be > 0": lambda: Workers(1, period_s=0),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_setting_out_of_its_range_is_refused(text: str) -> None:
    """The error names the setting, its value and what it must be."""
    with pytest.raises(InvalidOption, match=text):
        WRONG[text]()


def test_stopping_a_worker_takes_at_most_all_of_its_time_outs_and_a_second() -> None:
    """So its actor is not killed while its process may still end in order."""
    assert Workers(3, stop_s=4.0, terminate_s=2.0).stop_total_s == 7.0
