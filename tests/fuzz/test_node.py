"""A whole node is sent what an admitted peer may make up: some seconds of it here, hours by ``make fuzz``."""

from random import Random

import pytest

from tests.fuzz.made_up import Choices, struct_of
from tests.fuzz.node_scene import NodeScene
from tests.runtime.net.intruder import Intruder, attacked
from trouper import Node
from trouper.runtime.net.control import CONTROLS
from trouper.runtime.session import frames
from trouper.testing import settle


@pytest.mark.parametrize("seed", range(10))
def test_a_node_withstands_what_a_peer_makes_up(seed: int) -> None:
    """No error but those that are told and counted, no restart, no growth; the other peer is answered."""
    NodeScene().play(Random(seed).randbytes(2_000))


def test_the_values_that_are_made_up_are_mostly_of_their_types() -> None:
    """Otherwise all would be refused at the door: without bytes each message has fields that can be read."""
    for type_ in CONTROLS:
        made = struct_of(type_, Choices(b""))
        assert isinstance(made, dict)
        assert set(made) - {"$type"} == set(type_.__struct_fields__)


@attacked()
async def test_an_answer_to_no_greeting_makes_no_session(node: Node) -> None:
    """A WELCOME of a node that was never greeted made a handshake that did not end; found by the fuzzer."""
    eve = Intruder(node)
    await eve.connect()
    eve.greet("eva", "inprocess://nowhere", kind=frames.WELCOME)
    await settle()
    assert node.network.budget.held["handshakes"] == 0
    assert node.network._sessions.unknown_session_frames == 1  # noqa: SLF001  nothing else shows it
    await eve.close()
