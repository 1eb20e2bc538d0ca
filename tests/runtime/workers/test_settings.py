"""Settings of workers that are out of range."""

from collections.abc import Callable

import pytest

from trouper import InvalidOption, WorkerLimits, Workers

WRONG: dict[str, Callable[[], Workers]] = {
    "env: 'A=B' cannot be": lambda: Workers(1, env={"A=B": "1"}),
    "cores=.* must name at least one core": lambda: Workers(1, limits=WorkerLimits(cores=())),
    "cores=-1 must be 0 to": lambda: Workers(1, limits=WorkerLimits(cores=(0, -1))),
    "nice=20 must be 0 to 19": lambda: Workers(1, limits=WorkerLimits(nice=20)),
    "start_s=0 must be above 0, in seconds": lambda: Workers(1, start_s=0),
    "hang_s=0 must be above 0, in seconds; None is to wait": lambda: Workers(1, hang_s=0),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_setting_out_of_its_range_is_refused(text: str) -> None:
    """The error names the setting, its value and what it must be."""
    with pytest.raises(InvalidOption, match=text):
        WRONG[text]()


def test_stopping_a_worker_takes_at_most_all_of_its_time_outs_and_a_second() -> None:
    """So its actor is not killed while its process may still end in order."""
    assert Workers(3, stop_s=4.0, terminate_s=2.0).stop_total_s == 7.0
