"""Topics of the whole cluster: three replicas, an unreliable network, and each subscriber reached once."""

from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.cluster.replica_network import NODES, Network, lone_table
from trouper.actors.cluster.topics import FanOut, TopicTable
from trouper.runtime.gossip.versioned_table import RowFull, TableLimits

Topics = TopicTable[str]
Step = tuple[str, str, str, int]
VERBS = ("subscribe", "subscribe", "unsubscribe", "end", "deliver", "deliver", "lose", "sync", "restart", "hear")
STEPS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.sampled_from(NODES), st.sampled_from("tu"), st.integers(0, 99)), max_size=60
)
Model = dict[str, dict[tuple[str, str], None]]
"""By node, the topics and their subscribers, in the order of subscribing."""


def _play(network: Network[Topics], steps: list[Step]) -> Model:
    model: Model = {node: {} for node in NODES}
    for verb, node, topic, number in steps:
        topics, ref = network.at[node], f"{node}/{number % 3}"
        match verb:
            case "subscribe":
                model[node][topic, ref] = None
                topics.subscribe(topic, ref)
            case "unsubscribe":
                model[node].pop((topic, ref), None)
                topics.unsubscribe(topic, ref)
            case "end":
                model[node] = {key: None for key in model[node] if key[1] != ref}
                topics.actor_ended(ref)
            case "restart":
                model[node] = {}
                network.restart(node)
            case "deliver":
                network.deliver(number)
            case "lose":
                network.lose(number)
            case "hear":
                network.hear(number)
            case _:
                network.sync(node, NODES[number % 3])
    return model


@given(STEPS, st.integers(0, 99))
def test_a_message_reaches_every_subscriber_once_in_the_end(steps: list[Step], seed: int) -> None:
    """After any history a message reaches exactly the subscribers, each once; no node sends to itself.

    While things change nobody is reached twice either: a node is named once, and the publisher's own never.
    """
    network = Network(Topics, seed)
    model = _play(network, steps)
    for node in NODES:
        nodes = network.at[node].publish("t").nodes
        assert len(nodes) == len(set(nodes))
        assert node not in nodes
    network.heal()
    for topic in "tu":
        subscribers = {node: [ref for at, ref in model[node] if at == topic] for node in NODES}
        for node in NODES:
            fan_out = network.at[node].publish(topic)
            reached = list(fan_out.local)
            for other in fan_out.nodes:
                assert network.at[other].receive(topic), "a node without subscribers was sent to"
                reached += network.at[other].receive(topic)
            assert sorted(reached) == sorted(ref for refs in subscribers.values() for ref in refs)


def test_a_node_tells_the_others_of_its_first_and_its_last_subscriber_only() -> None:
    """The others need to know whether the node wants the topic, not for which actors."""
    topics: TopicTable[str] = TopicTable(lone_table())
    versions: list[int] = []
    for change in (topics.subscribe, topics.unsubscribe):
        for ref in ("r", "q", "q"):
            change("t", ref)
            versions.append(topics.table.copies.stamp("a")[1])
    assert versions == [1, 1, 1, 1, 2, 2]
    assert topics.publish("t") == FanOut((), ())


def test_nothing_is_sent_to_a_node_that_went_down() -> None:
    """Until it is back and wants the topic again."""
    network = Network(Topics)
    network.at["a"].subscribe("t", "r")
    network.heal()
    publisher = network.at["b"]
    assert publisher.publish("t") == FanOut((), ("a",))
    network.down("b", "a")
    assert publisher.publish("t") == FanOut((), ())
    network.up("b", "a")
    network.sync("b", "a")
    assert publisher.publish("t") == FanOut((), ("a",))


def test_the_topics_of_a_node_are_limited() -> None:
    """The limit is told by its name, and the subscriber is not in."""
    topics: TopicTable[str] = TopicTable(lone_table(TableLimits(rows_max=1)))
    topics.subscribe("t", "r")
    with pytest.raises(RowFull, match="1 rows are the limit"):
        topics.subscribe("u", "r")
    assert topics.receive("u") == ()


def test_the_end_of_an_actor_costs_no_search_of_all_topics() -> None:
    """Its topics are found by the actor: those of the others are not looked at."""
    topics: TopicTable[str] = TopicTable(lone_table())
    for number in range(1_000):
        topics.subscribe(f"topic-{number}", f"actor-{number}")
    topics._local = _Unsearchable(topics._local)  # noqa: SLF001  to see what is read of it
    for number in range(1_000):
        topics.actor_ended(f"actor-{number}")
        assert len(topics.table.own) == 999 - number
    topics.actor_ended("actor-0")


class _Unsearchable(dict[str, dict[str, None]]):
    """A dictionary that may be read by key only."""

    def items(self) -> NoReturn:
        raise AssertionError("all topics are searched")

    def __iter__(self) -> NoReturn:
        raise AssertionError("all topics are searched")
