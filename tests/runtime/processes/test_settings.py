"""Settings of worker processes that cannot be."""

from collections.abc import Callable

import pytest

from trouper import InvalidOption, Processes

WRONG: dict[str, Callable[[], Processes]] = {
    "processes=0 must be": lambda: Processes(0),
    "start_s must be above 0": lambda: Processes(1, start_s=0.0),
    "goodbye_s and terminate_s 0 or more": lambda: Processes(1, goodbye_s=-1.0),
    "lines_per_s_max must be 1 or more": lambda: Processes(1, lines_per_s_max=0),
    "restarts=-1 must be >= 0": lambda: Processes(1, restarts=-1),
    "within_s=0 must be > 0": lambda: Processes(1, within_s=0),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_setting_out_of_its_range_is_refused(text: str) -> None:
    """The error says the setting, its value and what it must be."""
    with pytest.raises(InvalidOption, match=text):
        WRONG[text]()


def test_workers_are_numbered_from_one() -> None:
    """These are the places for spawn; stopping one takes no longer than its ladder, and a second."""
    settings = Processes(3, goodbye_s=4.0, terminate_s=2.0)
    assert settings.names == ("worker-1", "worker-2", "worker-3")
    assert settings.stop_s == 7.0
