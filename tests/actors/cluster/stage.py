"""What the tests of the cluster's actors share: whole nodes in one simulation, which join through the first of them."""

from collections.abc import Callable, Coroutine

from msgspec.structs import replace

from trouper import Actor, Message, Node, handler
from trouper.actors.cluster.config import ClusterConfig
from trouper.actors.cluster.events import ClusterEvent, ClusterNotice, MemberEvent, MemberInfo
from trouper.testing import Simulation, simulate

PLAIN = ClusterConfig(name="tests", detect=False)
"""What every node of these tests is configured with, unless the test says otherwise."""
REJOINING = replace(PLAIN, when_downed="rejoin")


class Seen(Message[list[str]]):
    """The reply is what was heard, in words."""


class Witness(Actor):
    """Writes down what happens in the cluster, in the eyes of its node."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_start(self) -> None:
        self.node.events.subscribe(ClusterEvent, self.ref)

    @handler
    def member(self, msg: MemberEvent) -> None:
        self.seen.append(f"{type(msg).__name__} {msg.member.name}")

    @handler
    def notice(self, msg: ClusterNotice) -> None:
        if msg.kind != "health":
            self.seen.append(f"{msg.kind}: {msg.text}")

    @handler
    def other(self, msg: ClusterEvent) -> None:
        pass  # failures and the like have tests of their own

    @handler
    def reply(self, msg: Seen) -> list[str]:
        return self.seen


def play(
    scene: Callable[[Simulation], Coroutine[object, object, None]],
    *,
    nodes: int = 3,
    seed: int = 1,
    config: ClusterConfig | Callable[[str], ClusterConfig] = PLAIN,
) -> None:
    """Run a scene with so many nodes n1, n2, ..., all of which have joined."""

    async def whole(simulation: Simulation) -> None:
        for node in simulation.nodes:
            await node.cluster.wait_for(nodes)
        await scene(simulation)

    simulate(
        whole,
        seed=seed,
        nodes=nodes,
        joins={f"n{number}": ["n1"] for number in range(2, nodes + 1)},
        options=lambda name: {"cluster": config if isinstance(config, ClusterConfig) else config(name)},
    )


def view(node: Node) -> str:
    """Who belongs to the cluster in the eyes of a node; a sign stands before who is not alive."""
    signs = {"suspect": "?", "unreachable": "!"}
    return " ".join(f"{signs.get(member.status, '')}{member.name}" for member in node.cluster.members())


def found(node: Node, name: str) -> MemberInfo:
    """A member, which must be there."""
    member = node.cluster.member(name)
    assert member is not None
    return member
