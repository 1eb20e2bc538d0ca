from tests.runtime.stage import Note, Notes, Player, cell_of, staged
from trouper import ActorRef, GroupMembers, GroupRouter, InGroup, Listing, Node, Routees, ServiceKey
from trouper.testing import Probe, settle

PRICES = ServiceKey("prices")


async def _two(node: Node) -> tuple[ActorRef, ActorRef]:
    return await node.spawn(Player), await node.spawn(Player)


@staged
async def test_a_router_of_refs_leaves_them_as_they_are(node: Node) -> None:
    """Members are not children: they outlive the router."""
    ada, bob = await _two(node)
    router = await node.spawn(GroupRouter([ada, bob, ada]))
    assert await router.ask(Routees()) == [ada, bob]
    await router.stop()
    assert not cell_of(ada).gone
    assert not cell_of(ada).watchers


@staged
async def test_a_router_of_a_service_follows_the_registry(node: Node) -> None:
    """The actors registered at the start, and those that come and go later."""
    ada, bob = await _two(node)
    node.registry.register(PRICES, ada)
    router = await node.spawn(GroupRouter(PRICES))
    assert await router.ask(Routees()) == [ada]
    node.registry.register(PRICES, bob)
    assert await router.ask(Routees()) == [ada, bob]
    node.registry.unregister(PRICES, ada)
    assert await router.ask(Routees()) == [bob]
    await bob.kill()
    assert await router.ask(Routees()) == []


@staged
async def test_a_routee_that_has_ended_is_not_chosen_though_its_listing_waits(node: Node) -> None:
    """The end goes ahead of messages, the listing does not; nothing is sent to the dead in between."""
    ada, bob = await _two(node)
    for ref in (ada, bob):
        node.registry.register(PRICES, ref)
    router = await node.spawn(GroupRouter(PRICES))
    await settle()
    for number in range(4):
        router.tell(Note(number))
    await ada.stop()
    assert await bob.ask(Notes()) == []
    await settle()
    assert await bob.ask(Notes()) == [0, 1, 2, 3]
    assert node.accounting().dead == 0


@staged
async def test_a_listing_of_another_service_is_a_message_like_any_other(node: Node) -> None:
    """The router keeps for itself only what it has subscribed to."""
    probe = Probe(node)
    node.registry.register(PRICES, probe.ref)
    router = await node.spawn(GroupRouter(PRICES))
    other = Listing(ServiceKey("other"), ())
    router.tell(other)
    await probe.expect(other)


@staged
async def test_a_router_of_a_group_follows_its_members(node: Node) -> None:
    """Its members at the start, and those that join and leave later; changes of another group are routed."""
    ada, bob = await _two(node)
    node.groups.join("band", ada)
    router = await node.spawn(GroupRouter(InGroup("band")))
    assert await router.ask(Routees()) == [ada]
    node.groups.join("band", bob, bob)
    node.groups.scope("other").join("band", await node.spawn(Player))
    await settle()
    assert await router.ask(Routees()) == [ada, bob]
    node.groups.leave("band", bob)
    await ada.kill()
    await settle()
    assert await router.ask(Routees()) == [bob]
    probe = Probe(node)
    node.groups.join("band", probe.ref)
    node.groups.leave("band", bob)
    await settle()
    stray = GroupMembers("default", "another", ())
    router.tell(stray)
    assert await probe.expect(GroupMembers) == stray
