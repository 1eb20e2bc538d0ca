"""Settings of workers that are out of range."""

from collections.abc import Callable

import pytest

from trouper import InvalidOption, Workers

WRONG: dict[str, Callable[[], Workers]] = {
    "workers=0 must be": lambda: Workers(0),
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


def test_workers_are_numbered_from_one() -> None:
    """The names are the places for spawn; stopping a worker takes at most all of its time-outs and a second."""
    settings = Workers(3, stop_s=4.0, terminate_s=2.0)
    assert settings.names == ("worker-1", "worker-2", "worker-3")
    assert settings.stop_total_s == 7.0
