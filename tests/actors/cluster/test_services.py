"""Offers: their size, how they are compared and described, and their end with their actor."""

import pytest

from tests.actors.cluster.replica_network import lone_table
from trouper import InvalidOption, Message
from trouper.actors.cluster.services import MessageShape, Offer, Service, ServiceTable, fits, make_offer


class Paint(Message[bool], tag="tests.Paint"):
    """Paint something."""

    what: str
    colour: str = "red"


class Dry(Message, tag="tests.Dry"):
    """Let it dry."""


def test_an_offer_says_what_can_be_asked() -> None:
    """The types of messages by their tags, with fields and replies as they are written."""
    offer = make_offer({"colour": "all"}, ["walls"], [Paint, Dry])
    assert offer.messages == (
        MessageShape("tests.Dry", (), "None"),
        MessageShape("tests.Paint", ("what: str", "colour: str = ..."), "bool"),
    )
    described = Service("painting", "n1", "ref", offer).describe("trouper://n1/user/painter#7")
    assert (described.name, described.node, described.actor) == ("painting", "n1", "trouper://n1/user/painter#7")
    assert (described.capabilities, described.topics) == ({"colour": "all"}, ("walls",))


def test_an_offer_fits_when_it_has_all_that_is_wanted() -> None:
    """It may have more."""
    offer = make_offer({"colour": "all", "size": "large"}, (), ())
    assert fits(offer, {})
    assert fits(offer, {"colour": "all"})
    assert not fits(offer, {"colour": "red"})
    assert not fits(offer, {"colour": "all", "smell": "none"})


def test_an_offer_above_its_limit_is_refused() -> None:
    """It says how large it is."""
    with pytest.raises(InvalidOption, match="the offer takes 9"):
        make_offer({"text": "x" * 9_000}, (), ())


def test_the_offers_of_an_actor_end_with_it() -> None:
    """All services of that actor, and of no other one; a withdrawn offer is not withdrawn twice."""
    services: ServiceTable[str] = ServiceTable(lone_table())
    offer = Offer({}, (), ())
    for name, ref in (("paint", "ada"), ("dry", "ada"), ("cut", "ada"), ("paint", "ben")):
        services.offer(name, ref, offer)
    assert services.withdraw("cut", "ada")
    assert not services.withdraw("cut", "ada")
    for _ in range(2):
        services.actor_ended("ada")
        assert list(services.table.own) == [("paint", "ben")]
