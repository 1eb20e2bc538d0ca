import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.runtime.session.vectors import Vector, read_vectors
from trouper import ActorRef, Message
from trouper.runtime.session.buffers import BUFFER_CODE, OutOfBandBuffer, extract, is_array, may_carry, read, write
from trouper.runtime.session.schemas import fields_of

SMALL = 8
"""Bytes from which on a buffer leaves the payload, in these tests."""


class Plain(Message[int], tag="buffers.Plain"):
    """A message that cannot carry a buffer."""

    n: int
    names: dict[str, list[str | None]]
    who: ActorRef | None = None
    how: Literal["a", "b"] = "a"


class Photo(Message[bytes], tag="buffers.Photo"):
    """One that can."""

    pixels: bytes
    name: str = ""


class Album(msgspec.Struct, array_like=True):
    """Photos, in a struct that travels as an array."""

    first: Photo
    rest: list[Photo]


@dataclass
class Point:
    """A value of the standard library."""

    where: memoryview


class Ring(msgspec.Struct):
    """A type within itself."""

    rest: "Ring | None"
    n: int


@pytest.mark.parametrize("type_", [Plain, int, None, str | None, list[int], tuple[int, ...], Ring, Annotated[int, "x"]])
def test_what_has_no_room_for_a_buffer_is_never_searched(type_: object) -> None:
    """Its messages cost nothing more than before."""
    assert not may_carry(type_)


@pytest.mark.parametrize(
    "type_", [Photo, Album, Point, bytes, object, Any, list[bytes], dict[str, memoryview | None], list, np.ndarray]
)
def test_what_may_hold_a_buffer_is_searched(type_: object) -> None:
    """So is everything that cannot be told."""
    assert may_carry(type_)


def test_only_large_buffers_leave_a_message() -> None:
    """A message without any comes back as it is; one with some becomes the map that it is on the wire."""
    small = Photo(b"1234567", "ada")
    assert extract(small, SMALL) == (small, [])
    payload, found = extract(Photo(b"12345678", "ada"), SMALL)
    assert [bytes(out_of_band.view) for out_of_band in found] == [b"12345678"]
    assert payload == {"$type": "buffers.Photo", "pixels": found[0], "name": "ada"}


def test_buffers_are_found_wherever_they_are() -> None:
    """In structs, arrays, maps, tuples, dataclasses; in their order; what is beside them is left alone."""
    album = Album(Photo(b"b" * 9), [Photo(b"c" * 9), Photo(b"small")])
    value: dict[str, object] = {
        "a": (1, bytearray(b"a" * 9)),
        "b": album,
        "c": Point(memoryview(b"d" * 9)),
        "d": [np.arange(9), 3],
    }
    payload, found = extract(value, SMALL)
    assert [bytes(out_of_band.view)[:1] for out_of_band in found] == [b"a", b"b", b"c", b"d", b"\0"]
    assert isinstance(payload, dict)
    assert payload["b"][1][1] is album.rest[1]
    assert payload["d"] == [found[4], 3]


def carried(value: object, *, out_of_band: bool) -> object:
    """What becomes of a buffer on its way: in the payload, or beside it."""
    if not out_of_band:
        return read(memoryview(write(value)), _nothing)
    payload, found = extract(value, 0)
    assert payload is found[0]
    found[0].number = 7
    return read(memoryview(write(payload)), {7: found[0].view}.__getitem__)


def _nothing(number: int) -> memoryview:
    raise ValueError(f"buffer {number} did not come")


@given(st.binary(), st.sampled_from([bytes, bytearray, memoryview]))
def test_bytes_come_as_what_they_were(data: bytes, kind: type) -> None:
    """A memoryview comes as one that is read-only."""
    came = carried(kind(data), out_of_band=True)
    assert type(came) is kind
    assert came == data
    assert getattr(came, "readonly", True)


DTYPES = st.one_of(
    arrays.integer_dtypes(), arrays.floating_dtypes(), arrays.complex_number_dtypes(), arrays.boolean_dtypes(),
    arrays.datetime64_dtypes(), arrays.byte_string_dtypes(), arrays.unicode_string_dtypes(max_len=9),
)  # fmt: skip


@given(arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, min_side=0, max_dims=4)), st.booleans(), st.booleans())
def test_arrays_come_as_they_were_and_read_only(array: npt.NDArray[Any], turned: bool, out_of_band: bool) -> None:
    """Of any shape, order and dtype that travels, also those that do not lie in one piece."""
    array = array.T if turned else array[..., ::-1] if array.ndim else array
    came = carried(array, out_of_band=out_of_band)
    assert is_array(came)
    assert (came.dtype, came.shape, came.flags.writeable) == (array.dtype, array.shape, False)
    assert came.tobytes() == array.tobytes()


@pytest.mark.parametrize("array", [np.array([object()]), np.zeros(2, [("a", int), ("b", float)]), np.zeros(3, "V8")])
def test_arrays_of_anything_but_numbers_times_and_text_are_refused(array: npt.NDArray[Any]) -> None:
    """Nothing is pickled; the error says what would travel."""
    for send in (lambda: extract(array, 0), lambda: write(array)):
        with pytest.raises(TypeError, match=r"^an array of dtype .* cannot travel: only of numbers, times and fixed"):
            send()


def test_a_class_derived_from_array_is_no_array() -> None:
    """It would come as something else than it was."""
    masked: object = np.ma.masked_array([1, 2])
    assert not is_array(masked)
    with pytest.raises(TypeError, match=r"^MaskedArray is no type that the wire knows$"):
        write(masked)


def test_a_view_that_does_not_lie_in_one_piece_is_copied() -> None:
    """The receiver gets its bytes in order."""
    assert carried(memoryview(b"abcdefgh")[::2], out_of_band=True) == b"aceg"
    assert carried(np.arange(4, dtype="<u2").data, out_of_band=True) == np.arange(4, dtype="<u2").tobytes()


NAMES_NO_BUFFER = r"^the extension 2 came in wrong: "


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([0], NAMES_NO_BUFFER),
        ([4, 1], NAMES_NO_BUFFER),
        ([0, -1], NAMES_NO_BUFFER),
        ({"kind": 0}, NAMES_NO_BUFFER),
        ([3, 1, "<f8", [-1], "C"], NAMES_NO_BUFFER),
        ([3, 1, "<f8", [1], "K"], NAMES_NO_BUFFER),
        ([3, 1, "<f8", [1] * 33, "C"], NAMES_NO_BUFFER),
        ([0, 2], r"^buffer 2 did not come$"),
        ([3, 1, "|O", [2], "C"], r"^an array of dtype '\|O': only of numbers, times and fixed text$"),
        ([3, 1, "<f8, O", [2], "C"], r"^an array of dtype '<f8, O': only"),
        ([3, 1, "<f7", [2], "C"], r"^an array of dtype '<f7', which numpy does not know: "),
        ([3, 1, "<f8", [3], "C"], r"^an array of <f8 and shape \(3,\) has 24 bytes, 16 came$"),
        ([3, 1, "<f8", [2**61, 2**61], "C"], r"^an array of <f8 and shape \(.*\) has \d+ bytes, 16 came$"),
        ([3, 1, "<f8", [0, 2**61], "C"], r"^an array of <f8 and shape \(0, .*\) has 0 bytes, 16 came$"),
        ([3, 1, "<U0", [2], "C"], r"^an array of "),
    ],
)
def test_a_wrong_extension_says_what_is_wrong(content: object, why: str) -> None:
    """Shape and dtype must account for every byte, and no dtype is read that could hold objects."""
    with pytest.raises(ValueError, match=why):
        read(
            memoryview(msgspec.msgpack.encode(content)),
            lambda number: {1: memoryview(bytes(16))}.get(number) or _nothing(number),
        )


@given(st.binary(max_size=60))
def test_garbage_is_a_value_error_and_nothing_else(data: bytes) -> None:
    """Whatever stands in an extension."""
    with pytest.raises(ValueError, match=r"^the extension 2 came in wrong: "):
        read(memoryview(b"\x92\x05" + data), _nothing)
    with suppress(ValueError):
        assert isinstance(read(memoryview(data), _nothing), bytes | bytearray | memoryview | np.ndarray)


def test_an_array_is_not_read_where_numpy_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes from outside import nothing."""
    data = memoryview(write(np.arange(3)))
    monkeypatch.delitem(sys.modules, "numpy")
    with pytest.raises(ValueError, match=r"pip install 'trouper\[numpy\]', and import it$"):
        read(data, _nothing)
    assert "numpy" not in sys.modules


def test_fingerprints_know_arrays() -> None:
    """Two nodes with other dtypes in an annotation notice."""

    class Grid(Message[None], tag="buffers.Grid"):
        cells: npt.NDArray[np.float64]
        raw: np.ndarray[Any, Any]

    assert fields_of(Grid) == ["cells: NDArray[float64]", "raw: ndarray[Any,Any]"]


def test_a_beside_has_no_number_at_first() -> None:
    """Its sender gives it one."""
    assert OutOfBandBuffer(0, memoryview(b"")).number == 0


def _came(vector: Vector) -> tuple[msgspec.msgpack.Ext, dict[int, memoryview]]:
    extension = msgspec.msgpack.decode(vector.buffers[0])
    assert isinstance(extension, msgspec.msgpack.Ext)
    assert extension.code == BUFFER_CODE
    return extension, dict(zip([7], [memoryview(each) for each in vector.buffers[1:]], strict=False))


VECTORS = read_vectors("buffers.txt")


@pytest.mark.parametrize("vector", [each for each in VECTORS if "means" in each.lines], ids=lambda vector: vector.name)
def test_a_vector_is_read_and_written_byte_for_byte(vector: Vector) -> None:
    """Another language may be held against the same file."""
    extension, out_of_band = _came(vector)
    value = read(memoryview(extension.data), out_of_band.__getitem__)
    kind, *rest = vector.lines["means"].split(" ")
    if is_array(value):
        order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        shape = ",".join(map(str, value.shape))
        assert [kind, *rest] == ["array", value.dtype.str, shape, order, value.tobytes("A").hex()]
    else:
        assert (kind, rest) == (type(value).__name__, [bytes(value).hex()])
    payload, found = extract(value, 1) if out_of_band else (value, [])
    for each in found:
        each.number = 7
    assert write(payload) == extension.data


@pytest.mark.parametrize("vector", [each for each in VECTORS if "fault" in each.lines], ids=lambda vector: vector.name)
def test_a_faulty_vector_is_refused_with_its_message(vector: Vector) -> None:
    """It says what is wrong."""
    extension, out_of_band = _came(vector)
    with pytest.raises(ValueError, match=f"^{re.escape(vector.lines['fault'])}$"):
        read(
            memoryview(extension.data),
            lambda number: out_of_band[number] if number in out_of_band else _nothing(number),
        )
