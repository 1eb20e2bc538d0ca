"""What the nodes of a cluster say to each other can travel."""

import msgspec

from trouper.actors.cluster.membership.packets import Ack, Gossip, Ping
from trouper.actors.cluster.membership.records import Accusation, Member
from trouper.actors.cluster.messages import ClusterPacket


def test_every_kind_of_packet_comes_back_as_it_was() -> None:
    """Also members and accusations that ride on it."""
    member, accusation = Member("ada", "tcp://h:1", 5, metadata=b"x"), Accusation("ben", 4, 1, "ada")
    for packet in (Ping("c", "a", "e", "b", 1, (member, accusation)), Ack("c", "a", 2), Gossip("c", "a", (member,))):
        encoded = msgspec.msgpack.encode(ClusterPacket(packet))
        assert msgspec.msgpack.decode(encoded, type=ClusterPacket) == ClusterPacket(packet)
