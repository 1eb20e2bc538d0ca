"""Gossip of one node: to which members, how often, how much."""

import random
from collections import Counter

import msgspec

from trouper.actors.cluster.membership import Accusation, Effect, Member, Membership, Packet, Send, Status, SwimSettings
from trouper.actors.cluster.membership.packets import Gossip, Ping


def _node(settings: SwimSettings, others: int) -> Membership:
    node = Membership(Member("a", "a", 1), cluster="c", settings=settings, chance=random.Random(1).random)
    node.start(0.0)
    node.acquaint([Member(f"b{number}", f"b{number}", 1) for number in range(others)], 0.0)
    return node


def _gossip(effects: list[Effect]) -> list[Send]:
    return [effect for effect in effects if isinstance(effect, Send) and isinstance(effect.packet, Gossip)]


def test_first_news_go_at_once_and_the_next_after_the_interval() -> None:
    """Three members each time, until the retransmit limit is reached."""
    node = _node(SwimSettings(probe_interval_s=50.0, leap_s=100.0), 20)
    sent = [len(_gossip(node.update(b"new", 0.0)))]
    sent += [len(_gossip(node.tick(0.2 * step + 0.001))) for step in range(1, 12)]
    assert sent[:2] == [3, 3]
    assert sum(sent) == 8, "retransmit_mult 4 times ceil(log10(22))"


def test_a_new_accusation_goes_to_more_members_first_and_to_as_many_in_all() -> None:
    """Six at once, then three each time, to the same retransmit limit; not without Lifeguard."""
    settings = SwimSettings(probe_interval_s=50.0, leap_s=100.0)
    for chosen, first in ((settings, 6), (settings.plain(), 3)):
        node = _node(chosen, 20)
        accused = Gossip("c", "b1", (Accusation("b2", 1, 0, "b1"),))
        sent = [len(_gossip(node.receive(accused, 0.0)))]
        sent += [len(_gossip(node.tick(0.2 * step + 0.001))) for step in range(1, 12)]
        assert sent[:2] == [first, min(3, 8 - first)]
        assert sum(sent) == 8, "retransmit_mult 4 times ceil(log10(22))"


def test_no_packet_is_larger_than_its_limit() -> None:
    """However much there is to tell, in gossip or on a ping."""
    node = _node(SwimSettings(), 10)
    record = Member("n" * 200, "e" * 200, 1, metadata=b"m" * 500)
    for number in range(50):
        other = Member(f"{number}" + "n" * 190, "e" * 200, 1, metadata=b"m" * 500)
        node.receive(Gossip("c", "b1", (other, record)), 0.01)
    largest, now = 0, 0.0
    while now < 5:
        now = max(node.wake_at, now + 0.001)
        packets: list[Packet] = [effect.packet for effect in node.tick(now) if isinstance(effect, Send)]
        kinds = [packet for packet in packets if isinstance(packet, Gossip | Ping)]
        largest = max([largest, *(len(msgspec.msgpack.encode(packet)) for packet in kinds)])
    assert 700 < largest <= 1_400


def test_gossip_goes_to_those_met_lately() -> None:
    """With eight warm peers of a hundred, news go to those eight; with none, to anybody."""
    for warm, most in ((8, 8), (0, 100)):
        node = _node(SwimSettings(warm_peers=warm, probe_interval_s=5_000.0, leap_s=9_999.0), 100)
        for number in range(warm):
            node.receive(Ping("c", f"b{number}", f"b{number}", "a", number), 0.1)
        told: Counter[str] = Counter()
        for step in range(100):
            told.update(send.to for send in _gossip(node.update(b"%d" % step, 1.0 + step)))
        assert sum(told.values()) == 300
        assert most // 2 < len(told) <= most


def test_the_newly_dead_still_hear_the_news_and_the_gone_do_not() -> None:
    """For ``gossip_to_dead_s``, so that they can refute; who has left is let alone."""
    node = _node(SwimSettings(probe_interval_s=5_000.0, leap_s=9_999.0), 0)
    node.acquaint([Member("dead", "dead", 1), Member("left", "left", 1), Member("b", "b", 1)], 0.0)
    node.receive(Gossip("c", "b", (Member("left", "left", 1, 0, Status.LEFT),)), 1.0)
    node.receive(Gossip("c", "b", (Accusation("dead", 1, 0, "b", dead=True),)), 1.0)
    early = {send.to for step in range(20) for send in _gossip(node.update(b"%d" % step, 2.0 + step))}
    late = {send.to for step in range(20) for send in _gossip(node.update(b"%d" % step, 40.0 + step))}
    assert (early, late) == ({"dead", "b"}, {"b"})
