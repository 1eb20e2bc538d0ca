"""One node's probes, packet by packet."""

import random
from collections.abc import Callable
from itertools import chain
from math import inf

from trouper.actors.cluster.membership import (
    Accusation,
    Effect,
    Member,
    Membership,
    Publish,
    Send,
    Status,
    SwimSettings,
)
from trouper.actors.cluster.membership.packets import Ack, Gossip, IndirectPing, Nack, Packet, Ping

SETTINGS = SwimSettings(sync_interval_s=0, gossip_interval_s=50.0, leap_s=inf)
"""Nothing but probes: gossip rides only, and no exchange comes between."""


def _chance() -> Callable[[], float]:
    """First a quarter, which is when the first probe begins; then anything."""
    return chain([0.25], iter(random.Random(1).random, None)).__next__


def _node(others: int, settings: SwimSettings = SETTINGS) -> Membership:
    node = Membership(Member("a", "a", 1), cluster="c", settings=settings, chance=_chance())
    node.start(0.0)
    node.acquaint([Member(name, name, 1) for name in "bcdefg"[:others]], 0.0)
    return node


def _packets(effects: list[Effect], kind: type[Packet]) -> list[Send]:
    return [effect for effect in effects if isinstance(effect, Send) and isinstance(effect.packet, kind)]


def _to_indirect(node: Membership) -> tuple[Ping, list[Effect]]:
    [ping] = _packets(node.tick(0.25), Ping)
    assert isinstance(ping.packet, Ping)
    assert not ping.reliable
    return ping.packet, node.tick(0.75)


def test_an_answer_ends_the_probe() -> None:
    """The next one begins when the interval is over."""
    node = _node(3)
    [ping] = _packets(node.tick(0.25), Ping)
    assert isinstance(ping.packet, Ping)
    assert node.receive(Ack("c", ping.to, ping.packet.sequence), 0.3) == []
    assert node.wake_at == 1.25
    assert len(_packets(node.tick(1.25), Ping)) == 1


def test_without_an_answer_others_are_asked_and_the_stream_is_tried() -> None:
    """After the timeout: three indirect pings, and the ping again by the reliable way, with its sequence."""
    node = _node(5)
    ping, effects = _to_indirect(node)
    helpers = _packets(effects, IndirectPing)
    assert len({send.to for send in helpers} - {"a", ping.target}) == 3
    [again] = _packets(effects, Ping)
    assert again.reliable
    assert isinstance(again.packet, Ping)
    assert (again.packet.target, again.packet.sequence, again.packet.by_stream) == (ping.target, ping.sequence, True)


def test_missing_nacks_are_held_against_the_own_health() -> None:
    """Of three helpers one gives word: two points. The target is suspected all the same."""
    node = _node(5)
    ping, effects = _to_indirect(node)
    helper = _packets(effects, IndirectPing)[0].to
    node.receive(Nack("c", helper, ping.sequence), 1.2)
    news = [effect.event for effect in node.tick(1.25) if isinstance(effect, Publish)]
    assert [type(event).__name__ for event in news] == ["Suspected", "HealthChanged"]
    assert node.health.score == 2
    assert node.suspicion(ping.target) > 0


def test_the_accused_is_told_at_once_by_the_reliable_way() -> None:
    """Only by who accuses it first; plain SWIM leaves it to gossip."""
    for settings, told in ((SETTINGS, 1), (SETTINGS.plain(), 0)):
        node = _node(5, settings)
        ping, _ = _to_indirect(node)
        accusation = Accusation(ping.target, 1, 0, "a")
        notice = Send(ping.target, Gossip("c", "a", (accusation,)), reliable=True)
        assert node.tick(1.25).count(notice) == told


def test_the_time_of_probes_grows_with_the_score() -> None:
    """With score 2 the next probe has three times the timeout and the interval."""
    node = _node(5)
    ping, effects = _to_indirect(node)
    node.receive(Nack("c", _packets(effects, IndirectPing)[0].to, ping.sequence), 1.2)
    node.tick(1.25)
    assert node.wake_at == 1.25 + 3 * 0.5


def test_a_helper_pings_and_passes_the_answer_on() -> None:
    """The answer goes to who asked, with the sequence of who asked; a late one goes nowhere."""
    node = _node(3)
    asked = IndirectPing("c", "b", "b", "z", "at-z", 77)
    [ping] = _packets(node.receive(asked, 0.1), Ping)
    assert isinstance(ping.packet, Ping)
    assert (ping.to, ping.packet.target) == ("at-z", "z")
    answer = Ack("c", "z", ping.packet.sequence)
    assert node.receive(answer, 0.2) == [Send("b", Ack("c", "z", 77))]
    assert node.receive(answer, 0.2) == []


def test_a_helper_that_hears_nothing_says_so_in_time() -> None:
    """After four fifths of its timeout, so that the word arrives before the verdict; not without Lifeguard."""
    asked = IndirectPing("c", "b", "b", "z", "at-z", 77)
    node = _node(3)
    node.receive(asked, 0.0)
    assert _packets(node.tick(0.39), Nack) == []
    assert _packets(node.tick(0.4), Nack) == [Send("b", Nack("c", "a", 77))]
    plain = _node(3, SETTINGS.plain())
    plain.receive(asked, 0.0)
    assert _packets(plain.tick(0.4), Nack) == []


def test_a_suspect_learns_it_from_the_member_that_pings_it() -> None:
    """The buddy system: the accusation is the first news on a ping to a suspect."""
    node = _node(1)
    node.receive(Gossip("c", "m", (Accusation("b", 1, 0, "m"),)), 0.1)
    [ping] = _packets(node.tick(0.25), Ping)
    assert isinstance(ping.packet, Ping)
    assert ping.packet.updates[0] == Accusation("b", 1, 0, "a")


def test_an_answer_is_believed_from_the_target_and_from_the_helpers_that_were_asked() -> None:
    """Another member cannot keep a dead one alive by answers in its name, whatever sequence it guesses."""
    node = _node(5)
    ping, effects = _to_indirect(node)
    helpers = {send.to for send in _packets(effects, IndirectPing)}
    [stranger] = set("bcdef") - helpers - {ping.target}
    forged = Ack("c", ping.target, ping.sequence)
    for by in (stranger, "x"):
        node.receive(forged, 0.8, by=by)
        assert _is_probing(node)
    node.receive(Ack("c", stranger, ping.sequence), 0.8)
    assert _is_probing(node)
    node.receive(forged, 0.8, by=min(helpers))
    assert not _is_probing(node)


def test_an_answer_to_a_ping_for_another_node_is_passed_on_from_the_target_alone() -> None:
    """The node that asked for the ping hears of the target what the target itself has said."""
    node = _node(3)
    [ping] = _packets(node.receive(IndirectPing("c", "b", "b", "d", "d", 9), 0.1), Ping)
    assert isinstance(ping.packet, Ping)
    assert _packets(node.receive(Ack("c", "d", ping.packet.sequence), 0.2, by="c"), Ack) == []
    assert _packets(node.receive(Ack("c", "c", ping.packet.sequence), 0.2), Ack) == []
    [passed_on] = _packets(node.receive(Ack("c", "d", ping.packet.sequence), 0.2), Ack)
    assert (passed_on.to, passed_on.packet) == ("b", Ack("c", "d", 9))


def test_what_rides_on_an_answer_is_taken_from_its_source_alone() -> None:
    """A helper passes the answer on without records; what comes with it all the same is left out."""
    node = _node(3)
    left = Member("c", "c", 1).become(Status.LEFT)
    node.receive(Ack("c", "d", 1, (left,)), 0.1, by="b")
    assert [member.name for member in node.members()] == ["a", "b", "c", "d"]


def _is_probing(node: Membership) -> bool:
    """Whether the probe goes on: at its end, without an answer, the target is suspected."""
    return node._view.schedule.stage != "idle"  # noqa: SLF001  nothing else shows it before the end
