import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.metadata import (
    METADATA_BYTES_MAX,
    Facts,
    Gpu,
    Location,
    Metadata,
    MetadataInvalid,
    check,
    decode,
    encode,
    is_same_host,
    make_metadata,
)
from trouper.runtime.kernel.errors import InvalidOption

FACTS = Facts(cores=8, memory_bytes=2**34, gpus=(Gpu(name="A100", memory_bytes=2**36),), host="n1", boot_id="x")


def test_metadata_is_put_together_and_read_back() -> None:
    """What one node encodes, another reads as equal; the location has the detected host."""
    made = make_metadata(
        FACTS,
        location=Location(region="eu", zone="a"),
        roles=frozenset({"web", "batch"}),
        labels={"gpu": "a100"},
        versions={"prices": "2.3"},
    )
    assert made.location == Location(region="eu", zone="a", host="n1")
    assert decode(encode(made)) == made
    assert make_metadata(FACTS, location=Location(host="named")).location.host == "named"


def test_equal_metadata_is_encoded_equally() -> None:
    """Sets and dicts have no order, so that a comparison of bytes is one of metadata."""
    one = make_metadata(FACTS, roles=frozenset(["a", "b", "c"]), labels={"a": "1", "b": "2"})
    other = make_metadata(FACTS, roles=frozenset(["c", "b", "a"]), labels={"b": "2", "a": "1"})
    assert encode(one) == encode(other)


def test_an_empty_default_is_not_shared() -> None:
    """A label of one node is none of another."""
    one, other = Metadata(), Metadata()
    one.labels["a"] = "1"
    assert other.labels == {}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"labels": {str(n): "" for n in range(33)}}, "a node has 33 labels; 32 are the limit"),
        ({"labels": {"": "a"}}, "a name among the labels is empty"),
        (
            {"labels": {"a": "x" * 65}},
            "the value of 'a' among the labels, 'xxxxxxxxxxxxxxxxxxxx'..., has 65 characters; 64 are the limit",
        ),
        ({"versions": {"a\n": ""}}, "a name among the versions, 'a\\n', has characters that cannot be printed"),
        ({"roles": frozenset({""})}, "a role is empty"),
        ({"roles": frozenset(map(str, range(17)))}, "a node has 17 roles; 16 are the limit"),
        (
            {"location": Location(zone="z" * 65)},
            "the zone of the location, 'zzzzzzzzzzzzzzzzzzzz'..., has 65 characters; 64 are the limit",
        ),
        ({"facts": Facts(cores=0)}, "a node must have 1 core or more and 0 bytes of memory or more, not 0, 0"),
        ({"facts": Facts(memory_bytes=-1)}, "a node must have 1 core or more and 0 bytes of memory or more, not 1, -1"),
        ({"facts": Facts(devices=("d",) * 33)}, "a node has 33 devices; 32 are the limit"),
        ({"facts": Facts(gpus=(Gpu(name=""),))}, "the name of a device is empty"),
    ],
)
def test_metadata_over_a_limit_is_refused(change: dict[str, object], problem: str) -> None:
    """At the node that says it, and at every node that hears it."""
    wrong = msgspec.structs.replace(Metadata(), **change)
    with pytest.raises(MetadataInvalid) as caught:
        check(wrong)
    assert str(caught.value) == problem
    with pytest.raises(MetadataInvalid, match=r"^received metadata came in wrong: "):
        decode(msgspec.msgpack.encode(wrong), 100_000)


def test_the_whole_is_limited_too() -> None:
    """Each label may be within its limit and all of them together too large to be gossiped."""
    large = make_metadata(FACTS, labels={f"{n:02}" + "x" * 60: "y" * 64 for n in range(32)})
    with pytest.raises(MetadataInvalid, match=rf"has \d+ bytes, more than {METADATA_BYTES_MAX}: use fewer or shorter"):
        encode(large)
    encoded = encode(large, 10_000)
    with pytest.raises(MetadataInvalid, match=rf"^received metadata of \d+ bytes; {METADATA_BYTES_MAX} are the limit$"):
        decode(encoded)
    with pytest.raises(InvalidOption, match=r"^bytes_max=0 must be 1 or more$"):
        encode(large, 0)


@given(st.binary(max_size=200) | st.dictionaries(st.text(), st.text() | st.integers(0, 9)).map(msgspec.msgpack.encode))
def test_any_bytes_are_metadata_or_refused(encoded: bytes) -> None:
    """Whatever a peer says, it is read or refused by the one error, and what was read is within the limits."""
    try:
        read = decode(encoded)
    except MetadataInvalid:
        return
    check(read)


def test_one_host_has_one_name_and_one_life() -> None:
    """Containers share the boot id of their host and differ by name; a host that says nothing is like no other."""
    assert is_same_host(FACTS, msgspec.structs.replace(FACTS, cores=1))
    assert not is_same_host(FACTS, msgspec.structs.replace(FACTS, boot_id="y"))
    assert not is_same_host(FACTS, msgspec.structs.replace(FACTS, host="n2"))
    assert not is_same_host(Facts(host="n1"), Facts(host="n1"))
