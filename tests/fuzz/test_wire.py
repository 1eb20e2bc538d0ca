from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.scene import BUILT, LATER, OPENED, OURS, Scene, parse_alone
from tests.runtime.session.vectors import read_vectors

CORPUS = sorted((Path(__file__).parents[1] / "data" / "fuzz").iterdir())
VECTORS = [b"".join(vector.buffers) for vector in read_vectors("frames.txt") + read_vectors("faults.txt")]


def _record(flags: int, piece: bytes) -> bytes:
    return bytes([flags]) + len(piece).to_bytes(2, "big") + piece


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A valid frame with bytes changed, cut off, added, or said twice."""
    frame = bytearray(draw(st.sampled_from(VECTORS)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(frame)))
        frame[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(frame)


fields = st.tuples(st.integers(0, 15), st.binary(min_size=4, max_size=60)).map(lambda pair: bytes([pair[0]]) + pair[1])
records = st.one_of(
    st.builds(_record, st.integers(0, 63).map(lambda flags: flags & ~BUILT), st.binary(max_size=120)),
    st.builds(_record, st.integers(0, 63).map(lambda flags: flags & ~BUILT), _mutated()),
    st.builds(_record, st.sampled_from([BUILT | OURS, BUILT | OURS | LATER, BUILT | OPENED | LATER]), fields),
)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_what_a_fuzzer_found_worth_keeping_does_no_harm(path: Path) -> None:
    """Each file of tests/data/fuzz is taken without an error, tables stay small, and another peer is heard."""
    data = path.read_bytes()
    parse_alone(data)
    Scene().play(data)


@given(st.lists(records, max_size=30))
def test_no_frames_of_an_impostor_hurt_anybody_else(rows: list[bytes]) -> None:
    """Garbage, mutated and repeated frames, and well-formed ones with a stolen token: the other peer goes on."""
    Scene().play(b"".join(rows))


@given(st.lists(records, min_size=1, max_size=5))
def test_what_is_said_again_and_again_makes_nothing_grow(rows: list[bytes]) -> None:
    """The same row of frames forty times leaves the tables as small as once."""
    Scene().play(b"".join(rows) * 40)
