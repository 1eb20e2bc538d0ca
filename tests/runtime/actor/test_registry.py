import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import Fail, Note, Notes, Player, cell_of, play_on, staged
from trouper import (
    Actor,
    ActorRef,
    ActorStopped,
    Address,
    Down,
    InvalidName,
    Listing,
    NameTaken,
    Node,
    ServiceKey,
    handler,
)
from trouper.testing import Probe, settle

PRICES = ServiceKey("prices")


class Mourner(Actor):
    """Notes what the registry has when it handles a `Down`."""

    def __init__(self, name: str, found: list[object]) -> None:
        self.name, self.found = name, found

    def on_terminated(self, down: Down) -> None:
        self.found += [self.node.registry.whereis(self.name), self.node.registry.find(PRICES)]


class SelfRegistering(Player):
    """Takes its name at each start."""

    def on_start(self) -> None:
        self.node.registry.register("self", self.ref)


class Follower(Actor):
    """Keeps the listings that it gets."""

    def __init__(self, listings: list[Listing]) -> None:
        self.listings = listings

    @handler
    def listing(self, msg: Listing) -> None:
        self.listings.append(msg)


# --- names -----------------------------------------------------------------------------------------------------------


@staged
async def test_a_name_is_found_until_it_is_unregistered(node: Node) -> None:
    """`whereis` and `names` know a name from `register` to `unregister`."""
    ada, bob = await node.spawn(Player), await node.spawn(Player)
    node.registry.register("bank", ada)
    node.registry.register("till", bob)
    assert (node.registry.whereis("bank"), node.registry.whereis("till")) == (ada, bob)
    assert node.registry.names() == ["bank", "till"]
    assert node.registry.unregister("bank")
    assert not node.registry.unregister("bank")
    assert node.registry.whereis("bank") is None
    assert node.registry.names() == ["till"]


@staged
async def test_a_name_that_is_taken_names_its_holder(node: Node) -> None:
    """A second actor is refused with the address of the first; the first may register again."""
    ada, bob = await node.spawn(Player, name="ada"), await node.spawn(Player, name="bob")
    node.registry.register("bank", ada)
    node.registry.register("bank", ada)
    message = f"the name 'bank' belongs to {ada.address}: unregister it first, or take another name"
    with pytest.raises(NameTaken, match=f"^{re.escape(message)}$"):
        node.registry.register("bank", bob)
    assert node.registry.whereis("bank") == ada


@staged
async def test_a_name_that_no_address_could_carry_is_refused(node: Node) -> None:
    """A name with a slash is as wrong here as for an actor."""
    with pytest.raises(InvalidName, match=r"^the name 'a/b' cannot be used: "):
        node.registry.register("a/b", await node.spawn(Player))


@staged
async def test_an_actor_that_has_ended_gets_no_name(node: Node) -> None:
    """Registering an ended actor raises for a name, and does nothing for a service key."""
    ada = await node.spawn(Player, name="ada")
    await ada.stop()
    message = f"{ada.address} has ended, so it cannot be registered as 'bank': spawn a new one"
    with pytest.raises(ActorStopped, match=f"^{re.escape(message)}$"):
        node.registry.register("bank", ada)
    node.registry.register(PRICES, ada)
    assert node.registry.find(PRICES) == []


@staged
async def test_a_registration_survives_a_restart(node: Node) -> None:
    """The ref stays registered, and an actor may register itself at each start."""
    ref = await node.spawn(SelfRegistering)
    node.registry.register(PRICES, ref)
    ref.tell(Fail())
    ref.tell(Note(1))
    assert await ref.ask(Notes()) == [1]
    assert cell_of(ref).restarts == 1
    assert node.registry.whereis("self") == ref
    assert node.registry.find(PRICES) == [ref]


@pytest.mark.parametrize("end", ["stop", "kill", "fail"])
def test_nobody_finds_an_actor_after_its_down(end: str) -> None:
    """However it ended, its names and keys are gone when the first `Down` is handled, and the name can be taken."""

    async def scene(node: Node) -> None:
        found: list[object] = []
        mourner = await node.spawn(Mourner, "bank", found)
        ada, heir = await node.spawn(Player, restart="temporary"), await node.spawn(Player)
        ada.watch(mourner)
        node.registry.register("bank", ada)
        node.registry.register(PRICES, ada)
        if end == "fail":
            ada.tell(Fail())
        else:
            await getattr(ada, end)()
        await settle()
        assert found == [None, []]
        node.registry.register("bank", heir)

    play_on(Node(), scene)


# --- service keys ----------------------------------------------------------------------------------------------------


@staged
async def test_a_subscriber_gets_the_listing_now_and_at_each_change(node: Node) -> None:
    """The snapshot comes first; entering twice is no change; an end is one."""
    probe, ada, bob = Probe(node), await node.spawn(Player), await node.spawn(Player)
    node.registry.register(PRICES, ada)
    node.registry.subscribe(PRICES, probe.ref)
    await probe.expect(Listing(PRICES, (ada,)))
    node.registry.register(PRICES, bob)
    node.registry.register(PRICES, bob)
    await probe.expect(Listing(PRICES, (ada, bob)))
    await ada.stop()
    await probe.expect(Listing(PRICES, (bob,)))
    assert node.registry.unregister(PRICES, bob)
    assert not node.registry.unregister(PRICES, bob)
    await probe.expect(Listing(PRICES, ()))
    node.registry.register(ServiceKey("other"), ada)
    await probe.expect_no()


@staged
async def test_a_subscription_ends_when_it_is_taken_back(node: Node) -> None:
    """After `unsubscribe` no listing is sent."""
    probe = Probe(node)
    node.registry.subscribe(PRICES, probe.ref)
    await probe.expect(Listing(PRICES, ()))
    assert node.registry.unsubscribe(PRICES, probe.ref)
    assert not node.registry.unsubscribe(PRICES, probe.ref)
    node.registry.register(PRICES, await node.spawn(Player))
    await probe.expect_no()


@staged
async def test_a_subscriber_that_has_ended_is_told_nothing(node: Node) -> None:
    """No listing becomes a dead letter because its subscriber has gone."""
    probe = Probe(node)
    node.registry.subscribe(PRICES, probe.ref)
    await probe.expect(Listing(PRICES, ()))
    await probe.ref.stop()
    node.registry.register(PRICES, await node.spawn(Player))
    node.registry.subscribe(PRICES, probe.ref)
    assert node.accounting().dead == 0


@staged
async def test_who_has_nothing_here_is_not_watched(node: Node) -> None:
    """After the last registration is removed, the registry has no entry and no watch."""
    ada = await node.spawn(Player)
    node.registry.register("bank", ada)
    node.registry.register(PRICES, ada)
    node.registry.subscribe(PRICES, ada)
    assert cell_of(ada).watchers
    node.registry.unregister("bank")
    node.registry.unregister(PRICES, ada)
    node.registry.unsubscribe(PRICES, ada)
    assert not cell_of(ada).watchers


Step = tuple[str, int, str]
STEPS = st.tuples(
    st.sampled_from(["name", "unname", "offer", "withdraw", "end"]), st.integers(0, 3), st.sampled_from("abc")
)


@given(st.lists(STEPS, max_size=30))
def test_the_registry_is_a_dict_of_names_and_a_list_of_offers(steps: list[Step]) -> None:
    """Whatever is registered, taken back and ended in whichever order: a model agrees, and so does the last listing."""

    async def scene(node: Node) -> None:
        refs = [await node.spawn(Player) for _ in range(4)]
        listings: list[Listing] = []
        follower = await node.spawn(Follower, listings)
        node.registry.subscribe(ServiceKey("a"), follower)
        names: dict[str, ActorRef] = {}
        offers: dict[str, list[ActorRef]] = {"a": [], "b": [], "c": []}
        for step in steps:
            await _take(node, step, refs, names, offers)
            assert {name: node.registry.whereis(name) for name in node.registry.names()} == names
            assert {key: node.registry.find(ServiceKey(key)) for key in offers} == offers
        await settle()
        assert list(listings[-1].refs) == offers["a"]

    play_on(Node(), scene)


async def _take(
    node: Node, step: Step, refs: Sequence[ActorRef], names: dict[str, ActorRef], offers: dict[str, list[ActorRef]]
) -> None:
    what, number, name = step
    ref, registry, gone = refs[number], node.registry, cell_of(refs[number]).gone
    if what == "name":
        refused = ActorStopped if gone else NameTaken
        if gone or names.get(name, ref) != ref:
            with pytest.raises((refused, NameTaken)):
                registry.register(name, ref)
        else:
            registry.register(name, ref)
            names[name] = ref
    elif what == "unname":
        assert registry.unregister(name) == (names.pop(name, None) is not None)
    elif what == "offer":
        registry.register(ServiceKey(name), ref)
        if not gone and ref not in offers[name]:
            offers[name].append(ref)
    elif what == "withdraw":
        assert registry.unregister(ServiceKey(name), ref) == (ref in offers[name])
        offers[name] = [one for one in offers[name] if one != ref]
    else:
        await ref.stop()
        for key in [key for key, holder in names.items() if holder == ref]:
            del names[key]
        for key, offering in offers.items():
            offers[key] = [one for one in offering if one != ref]


# --- by path ---------------------------------------------------------------------------------------------------------


class Parent(Actor):
    def __init__(self) -> None:
        self.child: ActorRef | None = None

    async def on_start(self) -> None:
        self.child = await self.spawn(Player, name="ada")


@staged
async def test_an_actor_is_found_by_its_path_and_by_its_address(node: Node) -> None:
    """A path, with or without a slash in front, and an address, as a value or as text, lead to the actor."""
    await node.spawn(Parent, name="bank")
    ada = node.find("user/bank/ada")
    assert ada is not None
    assert str(ada.address) == f"trouper://local/user/bank/ada#{ada.address.uid}"
    assert [node.find(place) for place in ("/user/bank/ada", ada.address, str(ada.address))] == [ada] * 3


@staged
async def test_nobody_is_found_where_nobody_is(node: Node) -> None:
    """An unknown path, another node's address, the address of an actor that has ended: None; broken text: an error."""
    ada = await node.spawn(Player, name="ada")
    old = ada.address
    await ada.stop()
    heir = await node.spawn(Player, name="ada")
    assert node.find("user/ada") == heir
    assert node.find(old) is None
    assert node.find(Address("elsewhere", "user/ada", heir.address.uid)) is None
    assert node.find("user/nobody") is None
    assert node.find("") is None
    with pytest.raises(InvalidName, match=r"^'trouper://ada' is no address: expected trouper://NODE/PATH#UID$"):
        node.find("trouper://ada")
