"""Members are asked for their load when an actor is placed, and not before."""

import asyncio
from collections.abc import Mapping
from functools import partial

import pytest

from tests.actors.cluster.stage import play
from trouper import Node
from trouper.actors.cluster.metrics_poller import UNKNOWN_METRICS, MetricsPoller
from trouper.actors.cluster.node_metrics import METRICS_AGE_S_MAX, NodeMetrics
from trouper.actors.cluster.placement import least_loaded
from trouper.testing import Simulation

LOADS = {"n1": 0.2, "n2": 0.9, "n3": 0.1}


@pytest.fixture(autouse=True)
def _loads(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(metrics_poller: MetricsPoller) -> NodeMetrics:
        return NodeMetrics(LOADS[metrics_poller._cluster.ctx.node_id.name])  # noqa: SLF001  hosts of a test have no load

    monkeypatch.setattr(MetricsPoller, "measure", measure)


async def _poll_metrics(timeout_s: float, node: Node) -> Mapping[str, NodeMetrics]:
    return await node.cluster.poll_metrics(timeout_s)


async def _asked(sim: Simulation) -> None:
    await asyncio.sleep(30.0)
    metrics_poller = sim["n1"].cluster.metrics_poller
    assert [metrics_poller.of(name) for name in LOADS] == [UNKNOWN_METRICS] * 3, "an idle cluster tells nothing"

    async def choose(node: Node) -> str:
        return node.cluster.choose(least_loaded())

    assert await sim.run_on("n1", choose) in LOADS, "it is by chance, since nobody knows yet"
    await asyncio.sleep(0.5)
    assert await sim.run_on("n1", choose) == "n3"
    assert {name: metrics_poller.of(name).load for name in LOADS} == LOADS


def test_a_choice_has_the_members_asked() -> None:
    """So the next one knows."""
    play(_asked)


async def _in_time(sim: Simulation) -> None:
    sim.partition("n3")
    began = sim.now_s
    told = await sim.run_on("n1", partial(_poll_metrics, 0.5))
    assert sim.now_s == pytest.approx(began + 0.5, abs=0.01)
    assert {name: metrics.load for name, metrics in told.items()} == {"n1": 0.2, "n2": 0.9}
    assert sim["n1"].cluster.metrics_poller._waiting == {}  # noqa: SLF001  nothing is kept of an answer that does not come
    began = sim.now_s
    assert await sim.run_on("n1", partial(_poll_metrics, 0.5)) == told
    assert sim.now_s == pytest.approx(began, abs=0.01), "nobody is asked again so soon"
    sim.repair()
    await asyncio.sleep(METRICS_AGE_S_MAX)
    told = await sim.run_on("n1", partial(_poll_metrics, 0.5))
    assert {name: metrics.load for name, metrics in told.items()} == LOADS


def test_who_does_not_answer_is_not_waited_for_longer_than_that() -> None:
    """A member that has never answered is not in the result."""
    play(_in_time)


async def _alone(sim: Simulation) -> None:
    assert await sim.run_on("n1", partial(_poll_metrics, 60.0)) == {"n1": NodeMetrics(0.2)}


def test_a_node_that_is_alone_waits_for_nobody() -> None:
    """It has its own figures."""
    play(_alone, nodes=1)
