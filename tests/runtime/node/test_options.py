"""A wrong value of an option is refused with the option's name, the value and what is allowed."""

import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from math import inf, nan

import pytest

from trouper import Actor, Backoff, InvalidOption, Mailbox, Node, OneForOne, Pool, Threads, WorkerLimits, Workers
from trouper.actors.cluster.config import ReplicationSettings
from trouper.cluster import (
    ClusterConfig,
    HealthCheck,
    LeaseMajority,
    SplitBrainSettings,
    StaticQuorum,
    SwimSettings,
)

SETTINGS: dict[str, Callable[..., object]] = {
    "Node": Node,
    "Pool": partial(Pool, Actor),
    "Workers": partial(Workers, count=1),
    "Threads": Threads,
    "WorkerLimits": WorkerLimits,
    "Mailbox": Mailbox,
    "OneForOne": OneForOne,
    "Backoff": Backoff,
    "ClusterConfig": ClusterConfig,
    "HealthCheck": HealthCheck,
    "ReplicationSettings": ReplicationSettings,
    "SplitBrainSettings": SplitBrainSettings,
    "LeaseMajority": LeaseMajority,
    "StaticQuorum": StaticQuorum,
    "SwimSettings": SwimSettings,
}
NO_RANGE = {"seed"}
"""A number that may be any."""
INFINITE = {"ask_timeout_s", "leap_s"}
"""The options for which inf has a meaning."""
WRONG: list[object] = ["5", True, [], object, b"1", nan, -1, -0.5, -(10**30), 10**30, 10**5_000, 1e300, inf, -inf]


def _numbers() -> Iterator[tuple[str, str, bool]]:
    """Return each setting, the options of it that are annotated as numbers, and whether they are whole ones."""
    for setting, make in SETTINGS.items():
        for name, option in inspect.signature(make).parameters.items():
            hint = (
                option.annotation if isinstance(option.annotation, str) else inspect.formatannotation(option.annotation)
            )
            if re.fullmatch(r"(int|float)( \| (None|Workers))?", hint) and name not in NO_RANGE:
                yield setting, name, hint.startswith("int")


NUMBERS = list(_numbers())


def test_the_options_that_are_numbers_are_found() -> None:
    """Of each setting at least one; else the test below would check nothing."""
    assert {setting for setting, *_ in NUMBERS} == set(SETTINGS)
    assert len(NUMBERS) > 60


@pytest.mark.parametrize(("setting", "name", "is_whole"), NUMBERS, ids=str)
def test_a_number_of_a_wrong_type_or_out_of_range_is_refused(setting: str, name: str, is_whole: bool) -> None:
    """Text, a truth value, a list, not a number, negative, too large, infinite; and a part of a whole one."""
    shown_name = "workers" if (setting, name) == ("Workers", "count") else name
    for value in [*WRONG, *([1.5] if is_whole else [])]:
        if value == inf and name in INFINITE:
            continue
        with pytest.raises(InvalidOption) as caught:
            SETTINGS[setting](**{name: value})
        shown = "a number of thousands of digits" if value == 10**5_000 else f"{value!r:.100}"
        assert f"{shown_name}={shown} must be " in str(caught.value)


def test_what_is_too_large_is_told_the_largest_value() -> None:
    """Of seconds, of a count that has a limit of its own, and of one that has none."""
    too_large: list[tuple[Callable[[], object], str]] = [
        (lambda: Node(shutdown_s=1e10), "0 or more, in seconds, and at most 1,000,000,000; None is no deadline"),
        (lambda: Node(threads=1_001), "1 to 1,000"),
        (lambda: Mailbox(limit=10**12), "1 to 1,000,000,000"),
    ]
    for make, allowed in too_large:
        with pytest.raises(InvalidOption, match=f" must be {allowed}$"):
            make()


def test_zero_none_and_inf_are_values_only_where_they_mean_something() -> None:
    """An ask always has a deadline, though it may be infinite; a shutdown and a watch may have none."""
    with pytest.raises(InvalidOption, match=r"^ask_timeout_s=None must be above 0, in seconds; inf is no deadline$"):
        Node(ask_timeout_s=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the mistake that is tested
    with pytest.raises(InvalidOption, match=r"^slow_handler_s=0 must be above 0, in seconds; None is no watch$"):
        Node(slow_handler_s=0)
    Node(ask_timeout_s=inf, shutdown_s=0)
    Node(shutdown_s=None, slow_handler_s=None)


@pytest.mark.parametrize("nodes", [3, "12", (1,), (1, 2, 3), (1, "2"), (0, 2), (3, 2), None], ids=repr)
def test_the_range_of_members_is_a_pair(nodes: object) -> None:
    """Of two numbers, the smaller one first."""
    with pytest.raises(InvalidOption, match="nodes="):
        ClusterConfig(nodes=nodes)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the mistake that is tested


def test_a_queue_is_made_by_a_function() -> None:
    """Anything else is refused when the mailbox is defined, not when its first message comes."""
    with pytest.raises(InvalidOption, match=r"queue=\[\] must be a function"):
        Mailbox(queue=[])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the mistake that is tested
