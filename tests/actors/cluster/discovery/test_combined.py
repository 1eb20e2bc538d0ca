import pytest

from trouper.actors.cluster.discovery.combined import CombinedDiscovery
from trouper.actors.cluster.discovery.port import DiscoveryFailed, DiscoveryLimits, DiscoveryMissing
from trouper.actors.cluster.discovery.static import StaticDiscovery
from trouper.testing import virtual_time


class Failing:
    """A discovery that fails as it is told."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def find(self) -> tuple[str, ...]:
        raise self.error

    def describe(self) -> str:
        return "one that fails"


@virtual_time
async def test_what_all_find_counts_once() -> None:
    """In the order of the discoveries, within the limit."""
    a, b = StaticDiscovery(["tcp://a:1", "tcp://b:1"]), StaticDiscovery(["tcp://b:1", "tcp://c:1"])
    assert await CombinedDiscovery([a, b]).find() == ("tcp://a:1", "tcp://b:1", "tcp://c:1")
    assert await CombinedDiscovery([a, b], limits=DiscoveryLimits(endpoints_max=1)).find() == ("tcp://a:1",)
    assert CombinedDiscovery([a, Failing(ValueError())]).describe() == "the seeds tcp://a:1, tcp://b:1; one that fails"


@virtual_time
async def test_a_failure_is_told_with_what_the_others_found() -> None:
    """One that fails in part, and one whose package is missing, do not hide the third."""
    several = CombinedDiscovery(
        [
            Failing(DiscoveryFailed("half a file", ["tcp://a:1"])),
            Failing(DiscoveryMissing("no package")),
            StaticDiscovery(["tcp://b:1"]),
        ]
    )
    with pytest.raises(DiscoveryFailed, match=r"^half a file; no package$") as caught:
        await several.find()
    assert caught.value.endpoints == ("tcp://a:1", "tcp://b:1")
