"""Digests of views: equal views cost a constant, whatever differs is made one, and a lie costs one exchange."""

import os
import random
import subprocess
import sys
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.membership import (
    Effect,
    Member,
    Membership,
    Packet,
    Send,
    Status,
    SwimSettings,
    merge,
    packet_bytes,
)
from trouper.actors.cluster.membership.digest import ALL_BUCKETS, BUCKETS, ViewDigest, bucket_of, record_hash
from trouper.actors.cluster.membership.packets import Digest, Sync
from trouper.actors.cluster.membership.records import MemberId

NAMES = [f"n{number}" for number in range(6)]
LASTING = [Status.ALIVE, Status.LEFT, Status.DOWN]


def _records(statuses: list[Status]) -> st.SearchStrategy[list[Member]]:
    record = st.builds(
        Member,
        name=st.sampled_from(NAMES),
        endpoint=st.sampled_from(["x", "y"]),
        generation=st.integers(1, 2),
        incarnation=st.integers(0, 2),
        status=st.sampled_from(statuses),
        metadata=st.sampled_from([b"", b"m"]),
        versions=st.sampled_from([(1, 1), (1, 2)]),
    )
    return st.lists(record, max_size=8)


def _node(name: str, records: list[Member], *, sync_bytes_max: int = 262_144) -> Membership:
    settings = SwimSettings(leap_s=inf, sync_bytes_max=sync_bytes_max)
    node = Membership(Member(name, name, 1), cluster="c", settings=settings, chance=random.Random(name).random)
    node.start(0.0)
    node.acquaint(records, 0.0)
    return node


def _view(node: Membership) -> dict[MemberId, Member]:
    return {record.id: record for record in node.all_records() if record.name in NAMES}


def _exchanged(effects: list[Effect]) -> list[tuple[str, Packet]]:
    return [(e.to, e.packet) for e in effects if isinstance(e, Send) and isinstance(e.packet, Digest | Sync)]


def _talk(nodes: dict[str, Membership], effects: list[Effect]) -> list[Packet]:
    """Carry digests and exchanges to and fro until nothing more is said; give what was said."""
    said: list[Packet] = []
    while exchanged := _exchanged(effects):
        effects = []
        for to, packet in exchanged:
            said.append(packet)
            effects += nodes[to].receive(packet, 1.0)
        assert len(said) < 40, "an exchange ends"
    return said


@given(_records(LASTING), _records(LASTING))
def test_two_views_that_differ_become_their_merge(one: list[Member], other: list[Member]) -> None:
    """In any respect: who is in them, generations, incarnations, ends, endpoints, metadata, versions."""
    a, b = _node("a", [*one, Member("b", "b", 1)]), _node("b", [*other, Member("a", "a", 1)])
    expected = merge(_view(a), _view(b))
    said = _talk({"a": a, "b": b}, a.contact("b", 1.0))
    assert _view(a) == _view(b) == expected
    assert len(said) == (1 if len(said) == 1 else 3)
    assert len(_talk({"a": a, "b": b}, a.contact("b", 1.0))) == 1, "what is one now needs no exchange"


@given(_records(list(Status)), _records(list(Status)))
def test_to_exchange_what_differs_does_what_exchanging_everything_does(one: list[Member], other: list[Member]) -> None:
    """Suspicions and deaths by hearsay included: the same records are held by both sides in the end."""
    views: list[tuple[dict[MemberId, Member], dict[MemberId, Member]]] = []
    for whole in (False, True):
        a, b = _node("a", [*one, Member("b", "b", 1)]), _node("b", [*other, Member("a", "a", 1)])
        begin: list[Effect] = [Send("b", Digest("c", "a", "a", 0, b"")) if whole else _digest_of(a)]
        _talk({"a": a, "b": b}, begin)
        views.append((_view(a), _view(b)))
    assert views[0] == views[1]


def _digest_of(node: Membership) -> Send:
    [effect] = [e for e in node.contact("b", 1.0) if isinstance(e, Send) and isinstance(e.packet, Digest)]
    return effect


@pytest.mark.parametrize("size", [1, 10, 100, 1_000])
def test_equal_views_cost_the_same_whatever_their_size(size: int) -> None:
    """One packet of less than 300 bytes, without an answer."""
    everybody = [Member(f"n{number}", "x", 1, metadata=b"m" * 64) for number in range(size)]
    a, b = _node("a", [*everybody, Member("b", "b", 1)]), _node("b", [*everybody, Member("a", "a", 1)])
    [packet] = _talk({"a": a, "b": b}, a.contact("b", 1.0))
    assert packet_bytes(packet) == 292


def test_one_difference_among_a_thousand_makes_a_small_part_travel() -> None:
    """The bucket of one record, both ways: a few dozen records and not a thousand."""
    everybody = [Member(f"n{number}", "x", 1) for number in range(1_000)]
    a, b = _node("a", [*everybody, Member("b", "b", 1)]), _node("b", [*everybody[1:], Member("a", "a", 1)])
    _, part, answer = _talk({"a": a, "b": b}, a.contact("b", 1.0))
    assert isinstance(part, Sync)
    assert isinstance(answer, Sync)
    assert 1_000 / BUCKETS / 2 < len(part.records) < 2 * 1_000 / BUCKETS
    assert len(answer.records) == len(part.records) + 1
    assert b.records()["n0"] == everybody[0]


def test_many_differences_travel_in_parts_and_the_last_is_answered() -> None:
    """With small packets: each within its limit, and one answer to all of them."""
    everybody = [Member(f"n{number}", "x", 1, metadata=b"m" * 50) for number in range(100)]
    a = _node("a", [*everybody[:60], Member("b", "b", 1)], sync_bytes_max=2_000)
    b = _node("b", [*everybody[40:], Member("a", "a", 1)], sync_bytes_max=2_000)
    said: list[Packet] = []
    effects = a.contact("b", 1.0)
    while exchanged := _exchanged(effects):
        effects = [e for to, packet in exchanged for e in (a if to == "a" else b).receive(packet, 1.0)]
        said += [packet for _, packet in exchanged]
    parts = [packet for packet in said if isinstance(packet, Sync)]
    assert len(parts) > 10
    assert [part.reply for part in parts] == sorted(part.reply for part in parts)
    assert max(map(packet_bytes, parts)) <= 2_000
    assert set(a.records()) == set(b.records()) == {"a", "b"} | {record.name for record in everybody}


@given(st.integers(-(2**63), 2**64 - 1), st.binary(max_size=300), st.integers(-(2**63), 2**64 - 1))
def test_a_forged_digest_makes_an_exchange_and_nothing_else(count: int, buckets: bytes, mask: int) -> None:
    """Whatever it says: no record changes, no more than one packet answers, and it holds what this node knows."""
    everybody = [Member(name, "x", 1) for name in NAMES]
    node = _node("a", everybody)
    before = node.records()
    for packet in (Digest("c", "m", "m", count, buckets), Sync("c", "m", "m", 1, (), buckets=mask)):
        effects = node.receive(packet, 1.0)
        assert len(effects) == 1
        [(to, answer)] = _exchanged(effects)
        assert isinstance(answer, Sync)
        assert to == "m"
        assert {record.name: record for record in answer.records}.items() <= before.items()
        assert (node.records(), node.present) == (before, 1 + len(everybody))


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.none() | st.integers(0, 9)), max_size=30))
def test_the_digest_of_a_view_depends_on_what_it_holds_and_not_on_its_past(
    changes: list[tuple[str, int | None]],
) -> None:
    """Come, changed and forgotten in any order: as if what is left had just been put in."""
    kept, grown = ViewDigest(), ViewDigest()
    view: dict[str, Member] = {}
    for name, incarnation in changes:
        before = view.pop(name, None)
        after = None if incarnation is None else Member(name, "x", 1, incarnation)
        kept.replace(before, after)
        if after is not None:
            view[name] = after
    for record in view.values():
        grown.replace(None, record)
    assert (kept.count, kept.encoded()) == (grown.count, grown.encoded())
    assert kept.differing(grown.count, grown.encoded()) == 0
    assert kept.differing(grown.count + 1, grown.encoded()) == ALL_BUCKETS
    grown.replace(view.get("n0"), Member("n0", "elsewhere", 9))
    assert kept.differing(grown.count, grown.encoded()) == 1 << bucket_of("n0")


def test_hashes_are_the_same_in_every_process() -> None:
    """They depend on no seed of the interpreter: two of them agree."""
    code = (
        "from trouper.actors.cluster.membership import Member\n"
        "from trouper.actors.cluster.membership.digest import bucket_of, record_hash\n"
        "print(bucket_of('n1'), record_hash(Member('n1', 'x', 1, metadata=b'm')))"
    )
    path = os.pathsep.join(sys.path)
    for seed in ("1", "2"):
        command = [sys.executable, "-c", code]
        told = subprocess.run(
            command, env={"PYTHONHASHSEED": seed, "PYTHONPATH": path}, capture_output=True, text=True, check=True
        )
        assert told.stdout.split() == [str(bucket_of("n1")), str(record_hash(Member("n1", "x", 1, metadata=b"m")))]


def test_names_spread_over_the_buckets() -> None:
    """A thousand names: no bucket is empty, none holds more than three times its share."""
    buckets = [bucket_of(f"node-{number:04}") for number in range(1_000)]
    counts = [buckets.count(bucket) for bucket in range(BUCKETS)]
    assert 0 < min(counts) <= max(counts) < 3 * 1_000 / BUCKETS
