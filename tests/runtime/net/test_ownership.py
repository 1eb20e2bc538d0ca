"""An actor that was started for somebody elsewhere ends with its owner."""

from tests.runtime.net.stage import Clerk, cell_of, paired
from trouper import Node
from trouper.runtime.net.spawn_request import spawn_request
from trouper.testing import settle


@paired
async def test_the_owned_ends_when_its_owner_has_ended(a: Node, b: Node) -> None:
    """Also when the owner had ended before, and neither keeps anything of the other."""
    owner = await a.spawn(Clerk, name="owner")
    owned = await a.network.spawn_at("b", spawn_request(Clerk, (), "owned", 5.0), owner=owner)
    assert b.find("user/owned") is not None
    await owner.stop()
    await owned.wait_stopped()
    assert b.find("user/owned") is None
    late = await a.network.spawn_at("b", spawn_request(Clerk, (), "late", 5.0), owner=owner)
    await late.wait_stopped()
    assert b.find("user/late") is None


@paired
async def test_the_owner_outlives_the_owned_and_is_watched_no_more(a: Node, b: Node) -> None:
    """What ends by itself leaves no watch behind."""
    owner = await a.spawn(Clerk)
    owned = await a.network.spawn_at("b", spawn_request(Clerk, (), None, 5.0), owner=owner)
    await owned.stop()
    await settle()
    assert b.network.peer("a").watched[cell_of(owner).uid].watchers is None
    assert not cell_of(owner).gone
