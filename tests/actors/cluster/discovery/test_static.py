import pytest

from trouper.actors.cluster.discovery.port import DiscoveryInvalid, DiscoveryLimits
from trouper.actors.cluster.discovery.static import StaticDiscovery
from trouper.testing import virtual_time


@virtual_time
async def test_seeds_are_found_at_each_call() -> None:
    """Each seed comes once, in its order, as far as the limit goes."""
    seeds = StaticDiscovery(["tcp://b:1", "tcp://a:1", "tcp://b:01"])
    assert await seeds.find() == await seeds.find() == ("tcp://b:1", "tcp://a:1")
    few = StaticDiscovery(["tcp://b:1", "tcp://a:1"], limits=DiscoveryLimits(endpoints_max=1))
    assert await few.find() == ("tcp://b:1",)


def test_a_bad_seed_is_refused_at_once() -> None:
    """A typing error shows where it was made, not when it is dialled."""
    with pytest.raises(DiscoveryInvalid, match="'tcp://a': expected HOST:PORT"):
        StaticDiscovery(["tcp://a"])


def test_many_seeds_are_described_in_a_line() -> None:
    """The first are named, the others counted."""
    assert StaticDiscovery([]).describe() == "the seeds (none)"
    assert StaticDiscovery(["tcp://a:1"]).describe() == "the seeds tcp://a:1"
    many = StaticDiscovery([f"tcp://a:{port}" for port in range(1, 6)])
    assert many.describe() == "the seeds tcp://a:1, tcp://a:2, tcp://a:3 and 2 more"
