"""Packets: they come back from msgpack as they were, and are no larger than their computed size."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trouper import Message
from trouper.actors.cluster.membership import Accusation, Member, Packet, Status, packet_bytes
from trouper.actors.cluster.membership.packets import (
    Ack,
    Digest,
    Gossip,
    IndirectPing,
    Nack,
    Ping,
    Refusal,
    Sync,
    update_bytes,
)

TEXT = st.text(max_size=300)
NUMBER = st.integers(0, 2**63 - 1)
MEMBER = st.builds(
    Member, TEXT, TEXT, NUMBER, NUMBER, st.sampled_from(Status), st.binary(max_size=600),
    st.tuples(st.just(1), st.just(2)),
)  # fmt: skip
UPDATE = st.one_of(MEMBER, st.builds(Accusation, TEXT, NUMBER, NUMBER, TEXT, st.booleans()))
UPDATES = st.lists(UPDATE, max_size=4).map(tuple)
PACKET: st.SearchStrategy[Packet] = st.one_of(
    st.builds(Ping, TEXT, TEXT, TEXT, TEXT, NUMBER, UPDATES, st.booleans()),
    st.builds(Ack, TEXT, TEXT, NUMBER, UPDATES),
    st.builds(Nack, TEXT, TEXT, NUMBER),
    st.builds(IndirectPing, TEXT, TEXT, TEXT, TEXT, TEXT, NUMBER, UPDATES),
    st.builds(Gossip, TEXT, TEXT, UPDATES),
    st.builds(Sync, TEXT, TEXT, TEXT, NUMBER, st.lists(MEMBER, max_size=3).map(tuple), st.booleans(), st.booleans()),
    st.builds(Digest, TEXT, TEXT, TEXT, NUMBER, st.binary(max_size=300)),
    st.builds(Refusal, TEXT, TEXT, st.just("name"), TEXT),
)


class Carrying(Message):
    packet: Packet


@given(PACKET)
def test_a_packet_travels_as_a_field_of_a_message(packet: Packet) -> None:
    """It is decoded as what it was, types and all."""
    body = msgspec.msgpack.encode(Carrying(packet))
    assert msgspec.msgpack.decode(body, type=Carrying).packet == packet


@given(PACKET)
def test_no_packet_is_larger_than_its_computed_size(packet: Packet) -> None:
    """The size is a bound from above, and no wild one."""
    real = len(msgspec.msgpack.encode(packet))
    assert real <= packet_bytes(packet) <= 3 * real + 200


@given(UPDATE)
def test_no_update_is_larger_than_its_computed_size(update: Member | Accusation) -> None:
    """What the gossip queue counts with is a bound from above."""
    assert len(msgspec.msgpack.encode(update)) <= update_bytes(update)
