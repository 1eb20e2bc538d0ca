"""Services of the whole cluster, on whole nodes."""

import asyncio
import json

import msgspec
import pytest

from tests.actors.cluster.stage import play
from tests.actors.cluster.test_topics_api import Headline
from trouper import Actor, CallerError, InvalidOption, Message, handler
from trouper.testing import Simulation


class Price(Message[float], tag="tests.Price"):
    """What so many of an article cost."""

    article: str
    count: int = 1


class Pricing(Actor):
    """Knows prices."""

    @handler
    def price(self, msg: Price) -> float:
        return 2.5 * msg.count

    @handler
    def headline(self, msg: Headline) -> None:
        pass


async def _find(sim: Simulation) -> None:
    n1, n2, n3 = sim.nodes
    await asyncio.sleep(5.0)
    euro, dollar = await n1.spawn(Pricing), await n2.spawn(Pricing)
    n1.cluster.services.register("pricing", euro, {"currency": "eur", "tax": "yes"})
    n2.cluster.services.register("pricing", dollar, {"currency": "usd"}, events=["market"])
    await asyncio.sleep(1.0)
    services = n3.cluster.services
    assert [service.ref for service in services.find("pricing")] == [euro, dollar]
    (found,) = services.find("pricing", currency="eur", tax="yes")
    assert found.node == "n1"
    assert found.capabilities["currency"] == "eur"
    assert await found.ref.ask(Price("apple", 4)) == 10.0
    assert services.find("pricing", currency="gbp") == services.find("parking") == []
    assert n3.cluster.topics.publish("market", Headline("it rises", await n3.spawn(Pricing))) == 1
    assert n1.cluster.services.unregister("pricing", euro)
    assert not n1.cluster.services.unregister("pricing", euro)
    sim.crash("n2")
    await asyncio.sleep(30.0)
    assert services.find("pricing") == []


def test_a_service_is_found_by_what_it_can_do() -> None:
    """Until it is taken back, or its actor or node is gone; the events that it handles reach it."""
    play(_find)


async def _describe(sim: Simulation) -> None:
    n1, n2, _ = sim.nodes
    pricing = await n1.spawn(Pricing, name="pricing")
    n1.cluster.services.register("pricing", pricing, {"currency": "eur"}, events=["market"])
    await asyncio.sleep(1.0)
    (described,) = json.loads(msgspec.json.encode(n2.cluster.services.describe()))
    assert described["actor"].startswith("trouper://n1/user/pricing#")
    assert (described["name"], described["node"], described["topics"]) == ("pricing", "n1", ["market"])
    assert described["capabilities"] == {"currency": "eur"}
    shapes = {shape["tag"]: shape for shape in described["messages"]}
    assert shapes["tests.Price"] == {
        "tag": "tests.Price", "fields": ["article: str", "count: int = ..."], "reply": "float",
    }  # fmt: skip
    assert len(shapes) == 2


def test_a_stranger_can_read_what_there_is_and_how_to_ask_for_it() -> None:
    """As plain JSON, from any node."""
    play(_describe)


async def _watch(sim: Simulation) -> None:
    n1, n2, _ = sim.nodes
    seen: list[list[str]] = []

    async def watch() -> None:
        async for found in n2.cluster.services.watch("pricing", currency="eur"):
            note([service.node for service in found])

    def note(nodes: list[str]) -> None:
        seen.append(nodes)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(1.0)
    first, second = await n1.spawn(Pricing), await n2.spawn(Pricing)
    n1.cluster.services.register("pricing", first, {"currency": "eur"})
    n1.cluster.services.register("other", first, {"currency": "eur"})
    n2.cluster.services.register("pricing", second, {"currency": "usd"})
    await asyncio.sleep(1.0)
    await first.stop()
    await asyncio.sleep(1.0)
    assert seen == [[], ["n1"], []]
    watching.cancel()


def test_a_watch_tells_of_every_change_of_what_it_asks_for() -> None:
    """And of nothing else."""
    play(_watch)


async def _refused(sim: Simulation) -> None:
    n1, n2, _ = sim.nodes
    pricing = await n1.spawn(Pricing)
    with pytest.raises(InvalidOption, match="the offer takes"):
        n1.cluster.services.register("pricing", pricing, {"text": "x" * 9_000})
    with pytest.raises(CallerError, match="is not an actor of node n2"):
        n2.cluster.services.register("pricing", pricing)
    assert n1.cluster.services.find("pricing") == []


def test_an_offer_that_is_too_large_or_of_another_node_is_refused() -> None:
    """At once, where it is made."""
    play(_refused)
