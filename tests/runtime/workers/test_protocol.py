"""The messages on the pipe between a node and a worker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper import WireError
from trouper.runtime.workers.protocol import (
    MESSAGE_BYTES_MAX,
    ConnectPeers,
    FatalError,
    Ready,
    Stop,
    Unpacker,
    WorkerAddress,
    WorkerEnded,
    pack,
    read_from_worker,
    read_to_worker,
)

TO = [Stop(), WorkerEnded("worker-1", 7, "killed"), ConnectPeers((WorkerAddress("a.worker-2", 9, ("ipc:///x",)),), 0.5)]


@given(st.lists(st.sampled_from(TO), max_size=8), st.lists(st.integers(1, 9), max_size=40))
def test_messages_are_the_same_however_the_bytes_come(
    messages: list[Stop | WorkerEnded | ConnectPeers], cuts: list[int]
) -> None:
    """Split anywhere, each comes out complete and in order."""
    data = b"".join(map(pack, messages))
    unpacker = Unpacker()
    found: list[object] = []
    for size in [*cuts, len(data)]:
        found += map(read_to_worker, unpacker.feed(data[:size]))
        data = data[size:]
    assert found == messages


def test_a_message_that_is_too_long_is_refused_on_both_sides() -> None:
    """It is refused before it is buffered."""
    with pytest.raises(WireError, match=f"a FatalError of .* bytes is too long: the limit is {MESSAGE_BYTES_MAX}"):
        pack(FatalError("x" * MESSAGE_BYTES_MAX))
    with pytest.raises(WireError, match="a message of 4294967295 bytes is too long"):
        Unpacker().feed(b"\xff\xff\xff\xff")


@given(st.binary(max_size=60))
def test_bytes_that_are_not_a_message_are_an_error(body: bytes) -> None:
    """Any bytes are a message or an error of the decoder."""
    try:
        assert read_from_worker(body) is not None
    except WireError:
        pass


def test_the_two_directions_have_their_own_messages() -> None:
    """A worker cannot send its parent a stop request."""
    with pytest.raises(WireError):
        read_from_worker(pack(Stop())[4:])
    assert read_from_worker(pack(Ready())[4:]) == Ready()
