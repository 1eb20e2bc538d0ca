"""A wrong value of an option is refused with the option's name, the value and what is allowed."""

import math

import pytest

from trouper import InvalidOption, Mailbox, Node, Threads

WRONG_SECONDS: list[object] = ["5", True, [], math.nan, -1, b"1", object]


@pytest.mark.parametrize("option", ["ask_timeout_s", "shutdown_s", "slow_handler_s"])
@pytest.mark.parametrize("value", WRONG_SECONDS, ids=repr)
def test_seconds_of_a_node_that_are_none_are_refused(option: str, value: object) -> None:
    """Text, a truth value, a list, no number, a negative number; ``shutdown_s`` may be 0, and the others not."""
    with pytest.raises(InvalidOption, match=f"^{option}=.* must be (above 0|0 or more)"):
        Node(**{option: value})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the mistake that is tested
    if option != "shutdown_s":
        with pytest.raises(InvalidOption, match=f"^{option}=0 must be above 0"):
            Node(**{option: 0})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  as above


def test_none_is_a_value_only_where_it_means_something() -> None:
    """An ask always has a deadline; a shutdown and a watch may have none."""
    with pytest.raises(InvalidOption, match=r"^ask_timeout_s=None must be above 0$"):
        Node(ask_timeout_s=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the mistake that is tested
    Node(shutdown_s=None, slow_handler_s=None)


@pytest.mark.parametrize("value", [0, -1, 1.5, "8", None, True], ids=repr)
def test_a_count_that_is_none_is_refused(value: object) -> None:
    """Of the threads of a node, of a pool, and of the messages in a mailbox."""
    for make in (
        lambda: Node(threads=value),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the mistake that is tested
        lambda: Threads(value),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  as above
        lambda: Mailbox(high_water=value),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  as above
        lambda: Mailbox(high_water=1, limit=value),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  as above
    ):
        with pytest.raises(InvalidOption, match=r"(threads|count|high_water|limit)="):
            make()


@pytest.mark.parametrize("value", ["fast", 0, -1.0, True, math.nan], ids=repr)
def test_a_rate_or_a_queue_that_is_none_is_refused(value: object) -> None:
    """A rate is a number above 0, a queue is made by a function."""
    with pytest.raises(InvalidOption, match="rate_per_s="):
        Mailbox(rate_per_s=value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the mistake that is tested
    with pytest.raises(InvalidOption, match="queue="):
        Mailbox(queue=value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  as above
