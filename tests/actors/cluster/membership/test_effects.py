"""Effects and events are plain values."""

import pytest

from trouper.actors.cluster.membership import Joined, Member, Send
from trouper.actors.cluster.membership.packets import Nack


def test_an_effect_is_a_value_that_nobody_changes() -> None:
    """Equal when what they say is equal, and frozen, so that they can be shared and logged."""
    send = Send("x", Nack("c", "a", 1))
    assert send == Send("x", Nack("c", "a", 1), reliable=False)
    with pytest.raises(AttributeError):
        send.to = "y"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  wrong on purpose
    assert Joined(Member("a", "x", 1)) != Joined(Member("a", "x", 2))
