"""Handlers of failures, and the suspicion of sessions, on whole nodes."""

import asyncio
from typing import cast

import pytest

from tests.actors.cluster.stage import PLAIN, play
from trouper import CallerError, InvalidOption, Node
from trouper.actors.cluster.detectors.failures import DeviceFailed, Failure, Kind, MemberFailed, SessionFailed
from trouper.actors.cluster.events import ClusterFailure
from trouper.actors.cluster.membership.packets import Gossip
from trouper.actors.cluster.messages import ClusterPacket
from trouper.testing import Simulation, simulate


def _told(node: Node) -> list[Failure]:
    """What the handlers of a node are told from now on."""
    told: list[Failure] = []
    node.cluster.on_failure("node", told.append)
    node.cluster.on_failure("session", told.append)
    node.cluster.on_failure("device", told.append)
    return told


def _fails(failure: Failure) -> None:
    raise RuntimeError(failure.reason)


async def _crash(sim: Simulation) -> None:
    n1 = sim["n1"]
    told = _told(n1)
    quiet: list[Failure] = []
    undo = n1.cluster.on_failure("node", quiet.append)
    undo()
    undo()
    n1.cluster.on_failure("node", _fails)
    await asyncio.sleep(20.0)
    assert n1.cluster.session_suspicion("n3") < 8.0
    assert n1.cluster.session_suspicion("nobody") == 0.0
    sim.crash("n3", silently=True)
    await asyncio.sleep(60.0)
    assert [type(failure) for failure in told].count(MemberFailed) == 1
    (failed,) = [failure for failure in told if isinstance(failure, MemberFailed)]
    assert (failed.node, quiet) == ("n3", [])


def test_the_end_of_a_node_is_told_once() -> None:
    """To each handler that is registered for it; one that fails keeps nobody from hearing."""
    play(_crash)


async def _session(sim: Simulation) -> None:
    n1 = sim["n1"]
    told = _told(n1)
    await asyncio.sleep(20.0)
    sim.partition("n1", "n2")
    await asyncio.sleep(90.0)
    failed = [failure for failure in told if isinstance(failure, SessionFailed)]
    assert [(failure.node, failure.peer) for failure in failed] == [("n1", "n2")]
    assert n1.cluster.session_suspicion("n2") > 8.0
    assert n1.cluster.session_suspicion("n3") < 8.0
    sim.repair()
    await asyncio.sleep(60.0)
    assert n1.cluster.session_suspicion("n2") < 8.0


def test_a_session_may_fail_while_its_node_is_a_healthy_member() -> None:
    """Its phi shows it, and goes down again once the session is repaired."""
    play(_session)


async def _device(sim: Simulation) -> None:
    n1, n2 = sim["n1"], sim["n2"]
    told = [_told(node) for node in (n1, n2)]
    await sim.stop("n3")
    n1.cluster.report_device_failure("gpu-0", "fell off the bus")
    n1.cluster.report_device_failure("gpu-0", "fell off the bus")
    await asyncio.sleep(1.0)
    wanted = [DeviceFailed("n1", "gpu-0", 1.0, "fell off the bus")]
    assert told == [wanted, wanted]
    n1.cluster.report_device_repair("gpu-0")
    n1.cluster.report_device_failure("gpu-1", "too hot")
    await asyncio.sleep(1.0)
    await sim.restart("n3")
    late: list[ClusterFailure] = []

    async def watch() -> None:
        with sim["n3"].events.stream(ClusterFailure) as stream:
            async for event in stream:
                note(event)

    def note(event: ClusterFailure) -> None:
        late.append(event)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(10.0)
    assert [failure.failure for failure in late] == [DeviceFailed("n1", "gpu-1", 1.0, "too hot")]
    with pytest.raises(CallerError, match="the device"):
        n1.cluster.report_device_failure("", "no name")
    watching.cancel()


def test_a_device_that_fails_is_told_to_all_members_and_to_those_who_come_later() -> None:
    """Each failure once; one that was repaired is no news."""
    play(_device)


async def _send_packets(node: Node) -> None:
    node.network.connect("sim://n1")
    peer = await node.network.wait_for_peer("n1")
    for number in range(3):
        peer.control(ClusterPacket(Gossip("another", f"stranger-{number}", ())))


def test_nothing_is_remembered_of_nodes_that_are_no_members() -> None:
    """A node of another cluster sends packets, and leaves no entry behind."""

    async def whole(sim: Simulation) -> None:
        await sim["n1"].cluster.wait_for(1)
        await sim.run_on("outsider", _send_packets)
        await asyncio.sleep(5.0)
        assert sim["n1"].cluster.failures.watched == frozenset()

    def options(name: str) -> dict[str, object]:
        return {"join": []} if name == "outsider" else {"cluster": PLAIN, "join": ["sim://n1"]}

    simulate(whole, nodes=["n1", "outsider"], joins={}, options=options)


async def _handlers(sim: Simulation) -> None:
    cluster = sim["n1"].cluster
    undo = [cluster.on_failure("node", _fails) for _ in range(1_000)]
    with pytest.raises(CallerError, match="has 1,000 handlers of node failures, which are the most: remove those"):
        cluster.on_failure("node", _fails)
    undo[0]()
    cluster.on_failure("node", _fails)
    with pytest.raises(InvalidOption, match="failures of the kind 'link': it must be one of node, session, device"):
        cluster.on_failure(cast("Kind", "link"), _fails)


def test_handlers_that_cannot_be_registered_are_refused() -> None:
    """By an error of the caller: too many of one kind, and those of a kind that there is not."""
    play(_handlers)
