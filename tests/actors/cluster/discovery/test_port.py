import pytest

from trouper.actors.cluster.discovery.port import DiscoveryFailed, DiscoveryLimits
from trouper.runtime.kernel.errors import ActorError, InvalidOption


@pytest.mark.parametrize(
    "wrong", [{"timeout_s": 0.0}, {"timeout_s": float("nan")}, {"text_bytes_max": 0}, {"endpoints_max": 0}]
)
def test_limits_that_would_allow_nothing_are_refused(wrong: dict[str, float]) -> None:
    """A limit has to leave room for an answer."""
    with pytest.raises(InvalidOption, match="timeout_s must be above 0, text_bytes_max and endpoints_max 1 or more"):
        DiscoveryLimits(**wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  a table of both kinds


def test_a_failure_carries_what_was_found_all_the_same() -> None:
    """A failure is not the caller's fault, and none without endpoints has any."""
    assert DiscoveryFailed("half of it", ["tcp://a:1"]).endpoints == ("tcp://a:1",)
    assert DiscoveryFailed("all of it").endpoints == ()
    assert issubclass(DiscoveryFailed, ActorError)
