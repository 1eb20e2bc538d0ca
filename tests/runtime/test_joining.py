import pytest

from tests.runtime.stage import play
from trouper import InvalidOption, Node
from trouper.runtime.joining import Joining


def test_to_join_one_must_listen() -> None:
    """Peers send to a node at an endpoint of its own."""
    with pytest.raises(InvalidOption) as caught:
        Joining((), ("inprocess://b",))
    assert str(caught.value) == (
        "join=('inprocess://b',) needs listen: peers send to this node at an endpoint of its own"
    )


def test_an_endpoint_of_no_known_transport_is_refused() -> None:
    """The error says what there is."""

    async def main() -> None:
        with pytest.raises(InvalidOption, match=r"^no transport knows carrier-pigeon://; known are: inprocess://NAME"):
            await Node("a", listen="carrier-pigeon://a").__aenter__()

    play(main)


def test_a_node_may_listen_at_several_endpoints() -> None:
    """The first is the one that peers connect back to."""
    a = Node("a", listen=["inprocess://one", "inprocess://two"])
    b = Node("b", listen="inprocess://b", join=["inprocess://two"])

    async def main() -> None:
        async with a, b:
            await b.network.wait_for_peer("a")
            assert a.network.endpoint == "inprocess://one"

    play(main)
