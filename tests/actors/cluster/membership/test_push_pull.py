"""Joining, exchanging and reconnecting, packet by packet."""

from itertools import pairwise
from math import inf

import pytest

from trouper.actors.cluster.membership import (
    AdmissionRefused,
    Effect,
    Joined,
    Member,
    Membership,
    Publish,
    Send,
    Status,
    SwimSettings,
)
from trouper.actors.cluster.membership.packets import Digest, Refusal, Sync


def _node(*seeds: str, endpoint: str = "a", **options: float) -> Membership:
    settings = SwimSettings(leap_s=inf, **options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  a test knows its options
    return Membership(Member("a", endpoint, 1), cluster="c", seeds=seeds, settings=settings, chance=lambda: 0.5)


def _syncs(effects: list[Effect]) -> list[tuple[str, Sync]]:
    return [(e.to, e.packet) for e in effects if isinstance(e, Send) and isinstance(e.packet, Sync)]


def _digests(effects: list[Effect]) -> list[Digest]:
    return [e.packet for e in effects if isinstance(e, Send) and isinstance(e.packet, Digest)]


def _sync(name: str, *records: Member, joining: bool = False, reply: bool = False, generation: int = 1) -> Sync:
    return Sync("c", name, name, generation, (Member(name, name, generation), *records), joining, reply)


def test_a_node_asks_three_seeds_and_is_joined_by_an_answer() -> None:
    """Its own record and the wish to join go out by the reliable way."""
    node = _node("s1", "s2", "s3", "s4")
    asked = _syncs(node.start(0.0))
    assert len({to for to, _ in asked}) == 3
    assert all(packet.joining and packet.records == (node.me,) for _, packet in asked)
    assert not node.is_joined
    effects = node.receive(_sync("s1", reply=True), 0.1)
    news = [effect.event for effect in effects if isinstance(effect, Publish)]
    joined = [event.member.name for event in news if isinstance(event, Joined)]
    assert (node.is_joined, joined) == (True, ["s1", "a"])


def test_a_seed_founds_the_cluster_and_still_asks_the_others() -> None:
    """Two seeds that start at once become one cluster."""
    node = _node("a", "s2")
    assert [to for to, _ in _syncs(node.start(0.0))] == ["s2"]
    assert node.is_joined


def test_the_pause_between_tries_doubles_up_to_its_largest() -> None:
    """With jitter left out: 1, 2, 4, 8, 16, 30, 30 s."""
    node = _node("s1")
    node.start(0.0)
    tried = [0.0]
    while len(tried) < 8:
        now = node.wake_at
        if _syncs(node.tick(now)):
            tried.append(now)
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 30, 30])


def test_a_view_is_answered_by_a_view() -> None:
    """Only the last part of one that is no answer itself."""
    node = _node()
    node.start(0.0)
    assert [(to, packet.reply) for to, packet in _syncs(node.receive(_sync("b", joining=True), 1.0))] == [("b", True)]
    assert _syncs(node.receive(_sync("b", reply=True), 1.0)) == []
    part = Sync("c", "b", "b", 1, (), more=True)
    assert _syncs(node.receive(part, 1.0)) == []


def test_a_large_view_goes_in_parts() -> None:
    """No part is above ``sync_bytes_max``, together they hold everything, and the last says that it is the last."""
    node = _node(sync_bytes_max=2_000)
    node.start(0.0)
    node.acquaint([Member(f"n{number}", "e", 1, metadata=b"m" * 100) for number in range(100)], 0.0)
    parts = [packet for _, packet in _syncs(node.receive(_sync("b"), 1.0))]
    assert len(parts) > 5
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    assert {record.name for part in parts for record in part.records} == set(node.records())


@pytest.mark.parametrize(
    ("known", "reason"),
    [(Member("b", "elsewhere", 7), "name"), (Member("b", "b", 1, 0, Status.LEFT), "over"), (None, "full")],
)
def test_who_may_not_join_is_told_why(known: Member | None, reason: str) -> None:
    """The name is in use elsewhere, the generation is over, or the view is full."""
    node = _node(members_max=1_000 if known else 1)
    node.start(0.0)
    node.acquaint([known] if known else [], 0.0)
    before = node.records()
    [refusal] = [e.packet for e in node.receive(_sync("b", joining=True), 1.0) if isinstance(e, Send)]
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, node.records()) == (reason, before)


def test_a_refusal_is_told() -> None:
    """And the node goes on trying."""
    node = _node("s1")
    node.start(0.0)
    assert node.receive(Refusal("c", "s1", "name", "taken"), 0.1) == [Publish(AdmissionRefused("s1", "name", "taken"))]
    assert node.wake_at < inf


def test_the_lost_and_the_silent_seeds_are_tried_again() -> None:
    """With a growing pause, as long as they are lost."""
    node = _node("a", "s2", sync_interval_s=0, probe_interval_s=5_000.0)
    node.start(0.0)
    tried: list[float] = []
    while node.wake_at < 200:
        now = node.wake_at
        if _digests(node.tick(now)):
            tried.append(now)
    assert [round(later - earlier) for earlier, later in pairwise(tried)][:4] == [10, 20, 20, 20]


def test_who_was_thrown_out_waits_to_be_taken_in() -> None:
    """It founds no cluster, even as a seed, and answers nobody's wish to join before it has been taken in itself."""
    settings = SwimSettings(leap_s=inf)
    node = Membership(
        Member("a", "a", 2), cluster="c", seeds=["a", "s"], settings=settings, chance=lambda: 0.5, rejoins=True
    )
    node.start(0.0)
    asking = not node.is_joined
    assert asking
    assert node.receive(_sync("b", joining=True), 0.1) == []
    node.receive(_sync("s", reply=True), 0.2)
    assert node.is_joined
    assert len(_syncs(node.receive(_sync("b", joining=True), 0.3))) == 1


def test_members_compare_digests_and_say_nothing_more_when_they_are_equal() -> None:
    """Both hold the same: the digest is all that is sent, and it has no answer."""
    one, other = _node(), Membership(Member("b", "b", 1), cluster="c", settings=SwimSettings(), chance=lambda: 0.5)
    for node in (one, other):
        node.start(0.0)
        node.acquaint([one.me, other.me], 0.0)
    [digest] = _digests(one.contact("b", 1.0))
    assert other.receive(digest, 1.0) == []
    other.update(b"new", 1.5)
    [(to, part)] = _syncs(other.receive(digest, 2.0))
    assert (to, part.reply, part.joining, part.records) == ("a", False, False, (other.me,))
    [(to, answer)] = _syncs(one.receive(part, 2.0))
    assert (to, answer.reply, answer.buckets, one.records()["b"]) == ("b", True, part.buckets, other.me)
    assert answer.records == (other.me,), "only what is of the bucket that differed"
    assert _syncs(other.receive(answer, 2.0)) == []


def test_a_newcomer_that_hears_a_digest_asks_its_sender_to_be_taken_in() -> None:
    """A node that sends digests has joined; a digest alone admits none, and one that leaves is silent."""
    node = _node("s1")
    node.start(0.0)
    digest = Digest("c", "b", "b", 7, b"x" * 256)
    [(to, packet)] = _syncs(node.receive(digest, 0.1))
    assert (to, packet.joining, packet.records, node.is_joined) == ("b", True, (node.me,), False)
    node.leave(0.2)
    assert node.receive(digest, 0.3) == []
