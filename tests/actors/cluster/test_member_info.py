"""A member's record, and what the runtime makes of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster import member_info
from trouper.actors.cluster.events import MemberDown, MemberJoined, MemberSuspected
from trouper.actors.cluster.membership import effects
from trouper.actors.cluster.membership.records import Member, Status
from trouper.actors.cluster.metadata import Facts, Metadata, MetadataInvalid, make_metadata

FULL = make_metadata(Facts(cores=8, host="h"), roles=frozenset({"train"}), labels={"gpu": "a100"})


def test_what_is_written_on_a_card_is_read_from_it() -> None:
    """The incarnation of the process and its metadata."""
    card = member_info.write(17, FULL, 1_024)
    info = member_info.read(Member("ada", "tcp://10.0.0.5:7400", 5, status=Status.SUSPECT, metadata=card))
    assert (info.name, info.generation, info.membership_id, info.status) == ("ada", 17, 5, "suspect")
    assert info.metadata == FULL


def test_a_card_over_the_limit_is_refused() -> None:
    """The error says how large it is."""
    with pytest.raises(MetadataInvalid, match=r"the metadata of this node has \d+ bytes, more than 4"):
        member_info.write(17, FULL, 20)


@given(st.binary(max_size=200))
def test_a_card_that_is_none_is_an_empty_one(blob: bytes) -> None:
    """Another version of the program may write what this one does not know: the member is there all the same."""
    info = member_info.read(Member("ada", "e", 5, metadata=blob))
    assert (info.name, info.membership_id) == ("ada", 5)
    assert info.generation or info.metadata == Metadata()


def test_metadata_that_nests_beyond_the_stack_is_empty() -> None:
    """One packet with such metadata ended the manager, the resolver and the node of each member that read it."""
    for depth in (1_015, 4_000, 100_000):
        nested = msgspec.msgpack.encode(member_info.MemberPayload(7, b"\x81\xa6labels" + b"\x91" * depth))
        for payload in (nested, b"\x91" * depth):
            found = member_info.read(Member("mallory", "sim://mallory", 1, metadata=payload))
            assert found.metadata == Metadata()


def test_each_event_has_its_word() -> None:
    """What the membership tells becomes what users see."""
    record = Member("ada", "e", 5)
    info = member_info.read(record)
    assert member_info.event_of(effects.Joined(record), info) == MemberJoined(info)
    assert member_info.event_of(effects.Suspected(record, "ben"), info) == MemberSuspected(info, "ben")
    assert member_info.event_of(effects.Downed(record, "too old"), info) == MemberDown(info, "too old")


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        (effects.Ended("downed", "why"), "downed", "why"),
        (
            effects.AdmissionRefused("ben", "full", "no room"),
            "refused",
            "ben refuses this node as a member (full): no room",
        ),
        (
            effects.OtherCluster("ben", "b"),
            "other_cluster",
            "ben belongs to the cluster 'b': its messages are ignored",
        ),
        (
            effects.SeedsSilent(("e",), 3, 2.0),
            "seeds_silent",
            "no answer from e after 3 attempts; next attempt in 2.0 s",
        ),
        (effects.HealthChanged(2), "health", "the health score of this node is 2; 0 is healthy"),
    ],
)
def test_a_notice_is_a_sentence(event: effects.LocalEvent, kind: str, text: str) -> None:
    """It names the nodes and the reason."""
    assert member_info.notice_of(event) == (kind, text)
