import random
from collections import Counter
from collections.abc import Sequence
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.metadata import Facts, Gpu, Location, Metadata
from trouper.actors.cluster.placement import (
    NAMED_MAX,
    Candidate,
    NoNodeFits,
    Policy,
    any_node,
    choose,
    labels,
    least_loaded,
    near,
    needs,
    power_of_two_choices,
    roles,
    same_host,
    spread,
)
from trouper.runtime.kernel.errors import InvalidOption


def candidate(name: str, zone: str = "a", **fields: object) -> Candidate:
    """A node with 4 cores in a zone, on a host of its own name."""
    metadata = Metadata(
        facts=Facts(cores=4, host=name, boot_id=f"boot of {name}"),
        location=Location(zone=zone, host=name),
        roles=frozenset({"web"}),
        labels={"disk": "fast"},
    )
    return Candidate(**{"name": name, "metadata": metadata, **fields})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  a table of all kinds


def chosen(policy: Policy, candidates: Sequence[Candidate], origin: str = "") -> set[str]:
    """All candidates that may be chosen."""
    draws = [n / 97 for n in range(97)]
    found = set[str]()
    for first in draws:
        rng = random.Random(first)
        numbers = iter([first, *(rng.random() for _ in range(10))])
        found.add(choose(policy, candidates, numbers.__next__, origin=origin).name)
    return found


A, B, C = candidate("a", load=0.5), candidate("b", load=0.1), candidate("c", "b", load=0.1)
ALL = (A, B, C)


def test_any_node_is_any_that_can_be_reached() -> None:
    """Chance takes one; who cannot be reached is never taken."""
    assert chosen(any_node(), ALL) == {"a", "b", "c"}
    assert chosen(any_node(), [A, candidate("x", reachable=False)]) == {"a"}


def test_the_least_loaded_are_equally_good() -> None:
    """A load that is not known, or is no number, comes last, and is better than nobody."""
    assert chosen(least_loaded(), ALL) == {"b", "c"}
    unknown = candidate("x"), candidate("y", load=nan)
    assert chosen(least_loaded(), [*ALL, *unknown]) == {"b", "c"}
    assert chosen(least_loaded(), unknown) == {"x", "y"}


def test_of_two_choices_the_better_one_is_taken() -> None:
    """The most loaded of all is never taken, since any other node that is drawn with it has less."""
    loads = [candidate(str(n), load=float(n)) for n in range(5)]
    assert chosen(power_of_two_choices(), loads) == {"0", "1", "2", "3"}
    assert chosen(power_of_two_choices(), loads[:1]) == {"0"}


def test_two_choices_fill_nodes_far_more_evenly_than_one() -> None:
    """Mitzenmacher 2001: the gap of the fullest is of the order of log log n, not of log n over log log n."""

    def fullest(policy: Policy) -> int:
        rng, counts = random.Random(1), Counter[str]()
        for _ in range(300):
            nodes = [candidate(str(n), load=float(counts[str(n)])) for n in range(100)]
            counts[choose(policy, nodes, rng.random).name] += 1
        return max(counts.values()) - 3

    assert fullest(power_of_two_choices()) <= 2 < fullest(any_node())


def test_spread_takes_the_emptiest_zone() -> None:
    """What counts is the zone as a whole, not the node in it."""
    nodes = candidate("a", placed=0), candidate("b", placed=2), candidate("c", "b", placed=1)
    assert chosen(spread(by="zone"), nodes) == {"c"}
    assert chosen(spread(by="host"), nodes) == {"a"}
    assert chosen(spread(), nodes) == {"a"}
    with pytest.raises(InvalidOption, match=r"^spread\(by='cell'\): use one of region, zone, rack, host$"):
        spread(by="cell")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  wrong on purpose


def test_labels_roles_and_needs_are_conditions() -> None:
    """All that is asked for has to be there."""
    gpu = Metadata(
        facts=Facts(cores=64, memory_bytes=2**40, gpus=(Gpu(name="A100"),)),
        roles=frozenset({"web", "batch"}),
        labels={"gpu": "a100", "disk": "fast"},
    )
    nodes = [*ALL, Candidate(name="g", metadata=gpu)]
    assert chosen(labels(gpu="a100"), nodes) == {"g"}
    assert chosen(labels(disk="fast"), nodes) == {"a", "b", "c", "g"}
    assert chosen(roles("web", "batch"), nodes) == {"g"}
    assert chosen(needs(cores=5, memory_bytes=1, gpus=1), nodes) == {"g"}
    assert chosen(labels() | roles() | needs(), nodes) == {"a", "b", "c", "g"}


def test_policies_are_put_together_and_the_first_counts_most() -> None:
    """The same by ``|`` and by ``then``."""
    nodes = [candidate("a", placed=1, load=0.0), candidate("b", load=0.9), candidate("c", load=0.2)]
    assert chosen(labels(disk="fast") | spread() | least_loaded(), nodes) == {"c"}
    assert chosen(labels(disk="fast").then(least_loaded().then(spread())), nodes) == {"a"}


def test_otherwise_is_for_when_nobody_fits() -> None:
    """A wish is no condition."""
    assert chosen(labels(gpu="a100").otherwise(least_loaded()), ALL) == {"b", "c"}
    assert chosen(labels(disk="fast").otherwise(roles("none")), [A]) == {"a"}
    with pytest.raises(NoNodeFits) as caught:
        choose(labels(gpu="a100").otherwise(roles("batch")), [A], lambda: 0.0)
    assert str(caught.value) == (
        "no node fits (labels(gpu='a100')).otherwise(roles('batch')):"
        " a (it has no label gpu; it does not have the role batch)"
    )


def test_same_host_is_that_of_a_node_or_of_the_one_that_asks() -> None:
    """Two nodes on one host are told by its name and its life."""
    beside = candidate("a2", metadata=A.metadata)
    nodes = [*ALL, beside]
    assert chosen(same_host("a"), nodes) == {"a", "a2"}
    assert chosen(same_host(), nodes, origin="b") == {"b"}
    with pytest.raises(NoNodeFits, match="the node 'x', whose host is wanted, is not known here"):
        choose(same_host("x"), nodes, lambda: 0.0)


def test_near_goes_by_measured_times() -> None:
    """Within the margin all are as good; the node itself is the nearest; who has not measured is refused."""
    nodes = [
        candidate("a", round_trips_s={"x": 0.0100}),
        candidate("b", round_trips_s={"x": 0.0120}),
        candidate("c", round_trips_s={"x": 0.0130}),
        candidate("d"),
    ]
    assert chosen(near("x"), nodes) == {"a", "b"}
    assert chosen(near(), nodes, origin="d") == {"d"}
    close = [candidate("a", round_trips_s={"x": 0.0001}), candidate("b", round_trips_s={"x": 0.0003})]
    assert chosen(near("x"), close) == {"a", "b"}


def test_near_goes_by_location_where_nobody_has_measured() -> None:
    """A node that cannot be reached has a location all the same."""
    x = candidate("x", "b", reachable=False)
    assert chosen(near("x"), [*ALL, x]) == {"c"}
    with pytest.raises(NoNodeFits, match="it has measured no round trip to 'y', whose location is not known here"):
        choose(near("y"), ALL, lambda: 0.0)


def test_who_fits_nowhere_is_told_why_of_each_candidate() -> None:
    """Each is named once, with every condition that it fails, or with what else kept it out."""
    nodes = [
        candidate("a", load=0.0),
        candidate("b", load=1.0),
        candidate("z", reachable=False),
        candidate("n", load=0.0, metadata=Metadata()),
    ]
    policy = roles("web") | least_loaded() | labels(disk="slow", gpu="a100") | needs(cores=8)
    with pytest.raises(NoNodeFits) as caught:
        choose(policy, nodes, lambda: 0.0)
    assert str(caught.value) == (
        "no node fits roles('web') | least_loaded() | labels(disk='slow', gpu='a100') | needs(cores=8):"
        " a (its label disk is 'fast', it has no label gpu), b (others were preferred),"
        " n (it does not have the role web),"
        " z (cannot be reached)"
    )
    assert set(caught.value.refusals) == {"a", "b", "n", "z"}
    with pytest.raises(NoNodeFits, match=r"^no node fits any_node\(\): there is no node at all$"):
        choose(any_node(), [], lambda: 0.0)
    with pytest.raises(NoNodeFits, match=r"a \(it has 4 cores of 8, it has 0 GPUs of 1\)"):
        choose(needs(cores=8, gpus=1), [A], lambda: 0.0)


def test_a_thousand_refusals_are_cut() -> None:
    """The text names some, the error holds all."""
    with pytest.raises(NoNodeFits) as caught:
        choose(labels(gpu="a100"), [candidate(f"n{n:04}") for n in range(1_000)], lambda: 0.0)
    assert str(caught.value).count("no label gpu") == NAMED_MAX
    assert str(caught.value).endswith(" and 950 more")
    assert len(caught.value.refusals) == 1_000


NODES = st.lists(
    st.builds(
        candidate,
        st.sampled_from("abcdefgh"),
        st.sampled_from("xyz"),
        load=st.none() | st.floats(0, 1),
        placed=st.integers(0, 3),
        reachable=st.booleans(),
        round_trips_s=st.dictionaries(st.sampled_from("abc"), st.floats(0, 1)),
    ),
    unique_by=lambda each: each.name,
)
ATOMS = (
    any_node(), least_loaded(), power_of_two_choices(), spread("zone"), spread(), near("a"), same_host("b"),
    labels(disk="fast"), labels(gpu="a100"), roles("web"), needs(cores=4), needs(gpus=1),
)  # fmt: skip
POLICIES = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.builds(Policy.then, inner, inner) | st.builds(Policy.otherwise, inner, inner),
    max_leaves=5,
)
PREFERENCES = st.lists(st.sampled_from(ATOMS[:5]), min_size=1, max_size=4)


def outcome(policy: Policy, nodes: Sequence[Candidate], seed: int) -> Candidate | dict[str, str]:
    """Who is chosen, or the refusals."""
    try:
        return choose(policy, nodes, random.Random(seed).random, origin="c")
    except NoNodeFits as error:
        return error.refusals


@given(POLICIES, NODES, st.integers(0, 99), st.randoms(use_true_random=False))
def test_whatever_the_policy_the_laws_hold(
    policy: Policy, nodes: list[Candidate], seed: int, rng: random.Random
) -> None:
    """Who is chosen can be reached; the order of the candidates does not matter; who is refused knows why."""
    found = outcome(policy, nodes, seed)
    assert outcome(policy, rng.sample(nodes, len(nodes)), seed) == found
    if isinstance(found, Candidate):
        assert found.reachable
    else:
        assert set(found) == {node.name for node in nodes}
        assert all(found.values())


@given(PREFERENCES, NODES.filter(lambda nodes: any(node.reachable for node in nodes)))
def test_preferences_refuse_nobody(preferences: list[Policy], nodes: list[Candidate]) -> None:
    """However many are combined, a candidate is chosen as long as there is one."""
    policy = preferences[0]
    for other in preferences[1:]:
        policy |= other
    assert choose(policy, nodes, lambda: 0.5).reachable
