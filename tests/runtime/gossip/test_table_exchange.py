"""Copies of all tables agree once they have been compared, and only the word of an owner counts about its rows."""

import random
from typing import cast

import pytest

from tests.runtime.gossip.exchange_stage import Nodes, decoded
from trouper import CallerError, InvalidOption
from trouper.runtime.gossip.messages import (
    ENDED_MAX,
    MESSAGE_BYTES_MAX,
    VERSION_MAX,
    TableChecksums,
    TableDeltas,
    TableDigest,
)
from trouper.runtime.gossip.table_exchange import ExchangeSettings
from trouper.runtime.gossip.versioned_table import VERSIONS_AHEAD_MAX, Delta, TableLimits

SMALL = ExchangeSettings()
LARGE = ExchangeSettings(direct_max=2, fan_out=2)


def _play(nodes: Nodes, chance: random.Random) -> None:
    """Write, lose, delay and cut, at random."""
    names = list(nodes.at)
    for _ in range(60):
        match chance.choice(("put", "put", "deliver", "deliver", "lose", "cut", "compare")):
            case "put":
                value = chance.choice((None, 1, 2, 3))
                nodes.put(chance.choice(names), chance.choice("xyz"), value, chance.choice("tu"))
            case "deliver" if nodes.transit:
                nodes.deliver(chance.randrange(100))
            case "lose" if nodes.transit:
                nodes.transit.pop(chance.randrange(len(nodes.transit)))
            case "cut":
                pair = frozenset(chance.sample(names, 2))
                nodes.cut ^= {pair}
            case _:
                one = chance.choice(names)
                nodes.send(one, nodes.at[one].compare())


@pytest.mark.parametrize("settings", [SMALL, LARGE, None])
def test_after_comparing_all_have_the_rows_of_the_owners(settings: ExchangeSettings | None) -> None:
    """Whatever was written, lost, late or out of order, and whichever nodes could not reach each other."""
    for seed in range(60):
        chance = random.Random(seed)
        nodes = Nodes("a b c d e", settings, seed)
        _play(nodes, chance)
        nodes.cut.clear()
        nodes.transit.clear()
        nodes.compare(10)
        for owner in nodes.at:
            for name in "tu":
                copies = nodes.copies(owner, name)
                assert all(copy == copies[owner] for copy in copies.values()), (seed, owner, copies)
        assert settings is None or len({repr(one.checksums()) for one in nodes.at.values()}) == 1


def test_a_change_of_a_small_cluster_goes_to_all_members_and_of_a_large_one_to_a_few() -> None:
    """Those pass on what is new to them, until all have it."""
    small, large = Nodes("a b c d e", SMALL), Nodes("a b c d e f g h", LARGE)
    for nodes, receivers in ((small, 4), (large, 2)):
        nodes.put("a", "x", 1)
        assert len(nodes.transit) == receivers
        nodes.settle()
        nodes.compare(4)
        assert all(copy == {"x": 1} for copy in nodes.copies("a").values())
    per_node = [sum(source == node for source, _, _ in large.sent) for node in large.at]
    assert max(per_node) < 30


def test_rows_of_a_member_in_reach_are_not_taken_from_another_node() -> None:
    """The owner is asked instead; what the other one says has no effect."""
    nodes = Nodes("a b c", SMALL)
    nodes.put("a", "x", 1)
    nodes.settle()
    sends = nodes.at["c"].merge("b", [("t", Delta("a", 1, 0, 9, (("forged", 1),), 1))])
    assert [(to, type(message)) for to, message in sends] == [("a", TableDigest)]
    assert nodes.copies("a")["c"] == {"x": 1}
    nodes.send("c", sends)
    nodes.settle()
    assert nodes.copies("a")["c"] == {"x": 1}
    assert nodes.at["c"].merge("b", [("t", Delta("a", 1, 0, 9, (("forged", 1),), 1))]) == [], "asked once a round"


def test_a_member_that_is_connected_and_does_not_answer_is_out_of_reach() -> None:
    """After two rounds, until it is heard; an honest answer, though it has nothing new, keeps the forgery out."""
    nodes = Nodes("a b c", SMALL)
    forged = [("t", Delta("a", 1, 0, 9, (("forged", 1),), 1))]
    for _ in range(5):
        nodes.send("c", nodes.at["c"].merge("b", forged))
        nodes.settle()
        nodes.at["c"].compare()
    assert nodes.copies("a")["c"] == {}
    for taken in (False, False, True):
        nodes.at["c"].merge("b", forged)  # what it asks of a is lost
        assert bool(nodes.copies("a")["c"]) == taken
        nodes.at["c"].compare()


@pytest.mark.parametrize("version", [1, 2, 40, VERSIONS_AHEAD_MAX])
def test_rows_that_were_passed_on_wrongly_last_until_their_owner_is_heard(version: int) -> None:
    """Whatever version they claim, they keep no later row of the owner from being seen."""
    nodes = Nodes("a b c", SMALL)
    nodes.put("a", "x", 1)
    nodes.cut_off("a", "c")
    nodes.transit.clear()
    nodes.at["c"].merge("b", [("t", Delta("a", 1, 0, version, (("forged", 1),), 1))])
    assert nodes.copies("a")["c"] == {"forged": 1}
    nodes.cut.clear()
    nodes.put("a", "y", 2)
    nodes.settle()
    assert nodes.copies("a")["c"] == {"x": 1, "y": 2}
    assert not nodes.table("c").copies.unconfirmed


def test_rows_that_were_passed_on_rightly_are_confirmed_by_their_owner_without_being_sent_again() -> None:
    """The owner compares the content digest."""
    nodes = Nodes("a b c", SMALL)
    nodes.cut_off("a", "c")
    nodes.put("a", "x", 1)
    nodes.settle()
    nodes.compare(4)
    assert nodes.copies("a")["c"] == {"x": 1}
    assert nodes.table("c").copies.unconfirmed == {"a"}
    nodes.cut.clear()
    nodes.sent.clear()
    nodes.send("c", nodes.at["c"].heard("a"))
    nodes.settle()
    assert not nodes.table("c").copies.unconfirmed
    answers = [message for source, _, message in nodes.sent if source == "a" and isinstance(message, TableDeltas)]
    assert [delta.changes for answer in answers for _, delta in decoded(answer)] == [()]


def test_a_version_out_of_reach_is_refused() -> None:
    """From the owner above the limit of the wire, from others above what they can be ahead."""
    nodes = Nodes("a b c", SMALL)
    nodes.cut_off("a", "c")
    for source, version in (("b", VERSIONS_AHEAD_MAX + 1), ("a", VERSION_MAX + 1)):
        nodes.at["c"].merge(source, [("t", Delta("a", 1, 0, version, (("forged", 1),), 1))])
    assert nodes.copies("a")["c"] == {}
    assert nodes.at["c"].refused == {"delta": 2}


def test_a_worker_hears_all_from_its_parent_and_is_vouched_for_by_it() -> None:
    """Rows of the worker reach the members through the parent, and theirs the worker."""
    nodes = Nodes("a b a.worker-1", SMALL)
    nodes.cut_off("b", "a.worker-1")
    nodes.put("a.worker-1", "x", 1)
    nodes.put("b", "y", 2)
    nodes.settle()
    assert set(map(str, nodes.copies("a.worker-1").values())) == {"{'x': 1}"}
    assert set(map(str, nodes.copies("b").values())) == {"{'y': 2}"}
    assert not any(nodes.table(node).copies.unconfirmed for node in nodes.at)
    nodes.cut_off("a", "b")
    nodes.at["b"].merge("a.worker-1", [("t", Delta("a", 1, 0, 9, (("forged", 1),), 1))])
    assert nodes.table("b").copies.unconfirmed == {"a"}


def test_nodes_without_a_cluster_tell_their_own_rows_and_believe_no_others() -> None:
    """A node that comes is told all of them."""
    nodes = Nodes("a b c")
    nodes.put("a", "x", 1)
    assert {to for _, to, _ in nodes.transit} == {"b", "c"}
    nodes.settle()
    nodes.cut_off("a", "c")
    assert nodes.at["c"].merge("b", [("t", Delta("a", 1, 0, 9, (("forged", 1),), 1))]) == []
    assert nodes.copies("a")["c"] == {"x": 1}
    nodes.at["c"].set_members({"c": 1})
    assert nodes.copies("a")["c"] == {}
    nodes.at["c"].set_members({"a": 1, "c": 1})
    nodes.cut.clear()
    nodes.send("a", nodes.at["a"].greet("c"))
    nodes.settle()
    assert nodes.copies("a")["c"] == {"x": 1}


def test_what_an_unknown_table_or_no_member_sends_is_counted() -> None:
    """And has no effect."""
    one = Nodes("a b", SMALL).at["a"]
    delta = Delta("b", 1, 0, 1, (("x", 1),), 1)
    assert one.merge("b", [("unknown", delta)]) == []
    assert one.merge("stranger", [("t", delta)]) == []
    assert one.checksums_from("b", TableChecksums({"unknown": 5})) == []
    assert one.digest_from("b", TableDigest({"unknown": {}}, False, {}, ()), 0.0) == []
    assert one.digest_from("stranger", TableDigest({"t": {}}, False, {}, ()), 0.0) == []
    assert one.refused == {"unknown_table": 3, "not_member": 2}


def test_a_table_that_ends_takes_its_rows_with_it_and_may_begin_anew() -> None:
    """On all nodes; the rows of its second life are newer than those of the first."""
    nodes = Nodes("a b", SMALL)
    nodes.put("a", "x", 1)
    nodes.settle()
    nodes.send("a", nodes.at["a"].remove("t"))
    nodes.settle()
    assert nodes.copies("a", "u") == {"a": {}, "b": {}}
    assert dict(nodes.table("b").rows_of("a")) == {}
    nodes.add("a", "t")
    nodes.put("b", "z", 3)
    nodes.put("a", "y", 2)
    nodes.settle()
    assert nodes.copies("a") == {"a": {"y": 2}, "b": {"y": 2}}
    assert nodes.copies("b") == {"a": {"z": 3}, "b": {"z": 3}}


@pytest.mark.parametrize("settings", [SMALL, LARGE, None])
def test_the_end_of_a_table_that_was_not_heard_of_is_told_again(settings: ExchangeSettings | None) -> None:
    """Its rows are gone on all nodes once copies have been compared, and it costs no answer after that."""
    nodes = Nodes("a b c", settings)
    for key in "xy":
        nodes.put("a", key, 1)
        nodes.settle()
    nodes.compare(5)
    assert nodes.copies("a")["b"] == {"x": 1, "y": 1}
    nodes.at["a"].remove("t")  # what it sends is lost
    nodes.compare(20)
    assert [dict(nodes.table(node).rows_of("a")) for node in "bc"] == [{}, {}]
    nodes.sent.clear()
    nodes.send("a", nodes.at["a"].compare(with_all=settings is None))
    nodes.settle()
    assert {type(message) for source, _, message in nodes.sent if source == "a"} == {TableChecksums}
    nodes.add("a", "t")
    nodes.compare(5)
    nodes.put("a", "z", 2)
    nodes.compare(5)
    assert nodes.copies("a") == {node: {"z": 2} for node in "abc"}


def test_of_tables_that_have_ended_only_the_latest_names_are_kept() -> None:
    """However many a program makes and ends."""
    one = Nodes("a b", SMALL).at["a"]
    for number in range(5 * ENDED_MAX):
        one.add(f"table {number}", tuple, TableLimits(), lambda: None).put("x", 1)
        one.flush()
        one.compare()
        one.remove(f"table {number}")
    kept = {
        key for value in vars(one).values() if isinstance(value, dict) for key in cast("dict[object, object]", value)
    }
    assert len([key for key in kept if str(key).startswith("table ")]) == ENDED_MAX
    assert [len(message.ended) for _, message in one.compare() if isinstance(message, TableChecksums)] == [ENDED_MAX]


def test_a_table_that_begins_late_gets_the_rows_of_the_others() -> None:
    """It asks for them."""
    nodes = Nodes("a b", SMALL)
    nodes.add("b", "late").put("x", 1)
    nodes.send("b", nodes.at["b"].flush())
    nodes.settle()
    assert nodes.at["a"].refused["unknown_table"] == 1
    nodes.add("a", "late")
    nodes.send("a", nodes.at["a"].ask_for("late"))
    nodes.settle()
    assert nodes.copies("b", "late") == {"a": {"x": 1}, "b": {"x": 1}}


def test_another_generation_of_a_node_begins_with_the_rows_that_it_has() -> None:
    """The members hold only those; what was said of the former generation is ignored."""
    nodes = Nodes("a b", SMALL)
    nodes.put("a", "x", 1)
    late = nodes.transit.pop()[2]
    nodes.at["a"].set_members({"a": 2, "b": 1})
    nodes.at["b"].set_members({"a": 2, "b": 1})
    assert isinstance(late, TableDeltas)
    nodes.at["b"].merge("a", decoded(late))
    assert nodes.copies("a") == {"a": {"x": 1}, "b": {}}
    nodes.send("a", nodes.at["a"].flush())
    nodes.settle()
    assert nodes.copies("a") == {"a": {"x": 1}, "b": {"x": 1}}


def test_a_flood_of_digests_is_answered_a_few_times_a_second() -> None:
    """What an answer costs is not repeated without limit."""
    nodes = Nodes("a b", ExchangeSettings(answer_max=5))
    nodes.put("a", "x", 1)
    digest = TableDigest({"t": {}}, False, {}, ())
    answers = [len(nodes.at["a"].digest_from("b", digest, 0.0)) for _ in range(20)]
    assert (sum(answers), nodes.at["a"].refused) == (5, {"digest": 15})
    assert nodes.at["a"].digest_from("b", digest, 1.0)


@pytest.mark.parametrize("settings", [ExchangeSettings(answer_max=3), ExchangeSettings(2, 2, answer_max=3)])
@pytest.mark.parametrize("writes", [False, True])
def test_rows_of_more_messages_than_an_answer_may_have_are_copied(settings: ExchangeSettings, writes: bool) -> None:
    """Also while their owners write all the time; each owner has 100 rows here, and a message takes 10."""
    nodes = Nodes("a b c", settings)
    for node in nodes.at:
        nodes.add(node, "large", row_bytes_max=MESSAGE_BYTES_MAX // 10)
    for node in "ab":
        for number in range(100):
            nodes.put(node, f"key {number}", number, "large")
    nodes.transit.clear()
    for step in range(40):
        if writes:
            nodes.put("a", "key 1", -step - 1, "large")
            nodes.transit.clear()
        nodes.compare()
    for owner in "ab":
        copies = nodes.copies(owner, "large")
        assert len(copies[owner]) == 100
        assert copies == dict.fromkeys("abc", copies[owner])


def test_an_answer_above_the_limit_is_paid_for_by_a_pause() -> None:
    """Rows of an owner, once begun, are sent to their end; later digests wait until the mean is within the limit."""
    nodes = Nodes("a b", ExchangeSettings(answer_max=3))
    table = nodes.add("a", "large", row_bytes_max=MESSAGE_BYTES_MAX // 10)
    for number in range(100):
        table.put(f"key {number}", number)
    digest = TableDigest({"large": {}}, False, {}, ())
    answers = [len(nodes.at["a"].digest_from("b", digest, second / 4)) for second in range(41)]
    assert [answer for answer in answers if answer] == [10] * 4, "of 10 messages; 3 are the limit of a second"
    assert answers[10] == 10


def test_rows_that_a_copy_refuses_keep_no_others_from_it() -> None:
    """An answer does not always begin with the same owner."""
    nodes = Nodes("a b c", ExchangeSettings(answer_max=1))
    for node in "ab":
        nodes.add(node, "large", row_bytes_max=MESSAGE_BYTES_MAX // 10)
    for number in range(100):
        nodes.put("a", f"key {number}", number, "large")
    nodes.put("b", "x", 1, "large")
    nodes.settle()
    digest = TableDigest({"large": {}}, False, {}, None)
    answers = [nodes.at["a"].digest_from("c", digest, float(second)) for second in range(200)]
    sent = [message for sends in answers for _, message in sends if isinstance(message, TableDeltas)]
    assert {delta.owner for message in sent for _, delta in decoded(message)} == {"a", "b"}


def test_a_table_has_a_name_of_its_own() -> None:
    """Errors say what is wrong."""
    nodes = Nodes("a", SMALL)
    with pytest.raises(CallerError, match="another table 't'"):
        nodes.add("a", "t")
    for name in ("", "x" * 300, "a\nb"):
        with pytest.raises(InvalidOption, match="1 to 256 printable"):
            nodes.add("a", name)
    with pytest.raises(InvalidOption, match="every limit must be 1 or more"):
        TableLimits(rows_max=0)
    with pytest.raises(InvalidOption, match="row_bytes_max"):
        TableLimits(row_bytes_max=10_000_000)
