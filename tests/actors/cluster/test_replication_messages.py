"""What replicators say to each other travels, with the refs in it."""

from trouper import Node
from trouper.actors.cluster.names import Claim
from trouper.actors.cluster.replication_messages import TableChecksums, TableDeltas, TableDigest
from trouper.actors.cluster.services import MessageShape, Offer
from trouper.runtime.gossip.versioned_table import Delta
from trouper.runtime.session.copier import WireCopier
from trouper.testing import run_virtual

from .test_replication_actor import Parrot


def test_every_table_travels() -> None:
    """Whatever its keys and values are, and entries that are gone."""

    async def scene() -> None:
        async with Node("a") as node:
            ref = await node.spawn(Parrot)
            offer = Offer({"currency": "eur"}, ("market",), (MessageShape("Price", ("article: str",), "float"),))
            news = TableDeltas(
                names=(Delta("a", 7, 0, 1, (("ada", Claim(3, ref)),), 1),),
                groups=(Delta("a", 7, 1, 2, ((("default", "band", ref), 2), (("default", "choir", ref), None))),),
                topics=(Delta("a", 7, 0, 1, (("news", True),), 1),),
                services=(Delta("a", 7, 0, 1, ((("pricing", ref), offer),), 1),),
                devices=(Delta("a", 7, 3, 4, (("gpu", None),)),),
                reach=(Delta("a", 7, 0, 1, (("b", "unreachable"),), 1),),
                statuses=(Delta("a", 7, 0, 1, (("up", 1),), 1),),
            )
            assert WireCopier().message(news) == news

    run_virtual(scene)


def test_digests_and_sums_travel() -> None:
    """By table and owner."""
    for message in (
        TableChecksums({"names": 2**32 - 1}),
        TableDigest({"names": {"a": (7, 3)}, "groups": {}}, answer=True),
    ):
        assert WireCopier().message(message) == message
