import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transports.laws import Owner
from tests.transports.zeromq.scenes import ipc_endpoint, play
from trouper.runtime.session.transport import EndpointInvalid, EndpointTaken
from trouper.transports.zeromq import ZeroMQTransport
from trouper.transports.zeromq.endpoints import Endpoint, check_folder, free_path, reachable, read_endpoint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://10.0.0.5:7400", Endpoint("tcp", "tcp://10.0.0.5:7400", host="10.0.0.5")),
        ("tcp://host.example:1", Endpoint("tcp", "tcp://host.example:1", host="host.example")),
        ("tcp://[fe80::1]:7400", Endpoint("tcp", "tcp://[fe80::1]:7400", host="[fe80::1]")),
        ("ipc:///run/app/a", Endpoint("ipc", "ipc:///run/app/a", Path("/run/app/a"))),
    ],
)
def test_endpoints_are_read(text: str, expected: Endpoint) -> None:
    """An endpoint to connect to is one to listen on as well."""
    assert read_endpoint(text, to_listen=False) == read_endpoint(text, to_listen=True) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tcp://10.0.0.5", "tcp://HOST:PORT, with a port up to 65535"),
        ("tcp://10.0.0.5:" + "1" * 400, "tcp://HOST:PORT, with a port up to 65535"),
        ("tcp://[fe80::zz]:1", "an IPv6 address in brackets, as in tcp://[::1]:7400"),
        ("tcp://a..b:1", "a host before the port"),
        (f"tcp://{'a' * 254}:1", "a host before the port"),
        ("tcp://10.0.0.5:65536", "tcp://HOST:PORT, with a port up to 65535"),
        ("tcp://10.0.0.5:-1", "tcp://HOST:PORT, with a port up to 65535"),
        ("tcp://:7400", "tcp://HOST:PORT, with a port up to 65535"),
        ("tcp://fe80::1:7400", "an IPv6 address in brackets, as in tcp://[::1]:7400"),
        ("tcp://eth0;10.0.0.5:7400", "a host before the port"),
        ("tcp://a b:7400", "a host before the port"),
        ("tcp://10.0.0.5:0", "a host and a port above 0; this is one to listen on, not to connect to"),
        ("tcp://*:7400", "a host and a port above 0; this is one to listen on, not to connect to"),
        ("tcp://0.0.0.0:7400", "a host and a port above 0; this is one to listen on, not to connect to"),
        ("tcp://[::]:7400", "a host and a port above 0; this is one to listen on, not to connect to"),
        ("ipc://", "ipc:///PATH or ipc://NAME"),
        ("ipc://*", "ipc:///PATH or ipc://NAME"),
        ("ipc://@abstract", "ipc:///PATH or ipc://NAME"),
        ("ipc:///a\0b", "ipc:///PATH or ipc://NAME"),
        ("ipc://a/b", "the whole path, from the root, or a bare name"),
        ("ipc://..", "the whole path, from the root, or a bare name"),
        ("inproc://a", "ipc:///PATH, ipc://NAME or tcp://HOST:PORT"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_what_would_be_one(text: str, problem: str) -> None:
    """The error shows what was given and what is expected."""
    with pytest.raises(EndpointInvalid) as caught:
        read_endpoint(text, to_listen=False)
    assert str(caught.value) == f"{text!r} is no endpoint of this transport: expected {problem}"


@given(scheme=st.sampled_from(["", "ipc://", "tcp://", "tcp://a:", "ipc:///"]), rest=st.text(), to_listen=st.booleans())
def test_any_text_is_an_endpoint_or_is_refused(scheme: str, rest: str, to_listen: bool) -> None:
    """Nothing but ``EndpointInvalid`` is raised, whatever the text."""
    try:
        read = read_endpoint(scheme + rest, to_listen=to_listen)
    except EndpointInvalid:
        return
    assert read.address.startswith(f"{read.scheme}://")


def test_a_path_too_long_for_a_socket_is_refused_with_its_length() -> None:
    """107 bytes are the most; the error has the number that was seen."""
    longest = "/" + "x" * 106
    assert read_endpoint(f"ipc://{longest}", to_listen=False).path == Path(longest)
    with pytest.raises(EndpointInvalid, match=r": the path /x+ has 108 bytes, a socket's has 107 at most$"):
        read_endpoint(f"ipc://{longest}x", to_listen=False)
    with pytest.raises(EndpointInvalid, match=r" has 121 bytes, "):
        read_endpoint(f"ipc:///{'ä' * 60}", to_listen=False)


@pytest.mark.parametrize("mode", [0o755, 0o701, 0o770, 0o1777])
def test_a_folder_that_is_open_to_others_is_refused(mode: int, tmp_path: Path) -> None:
    """Both ends look: to listen there would let others in, to connect would trust them."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)

    async def scene() -> None:
        transport = ZeroMQTransport(Owner())
        problem = rf"^the folder {folder} is open to others \(mode {mode:o}\): chmod 700 {folder}$"
        with pytest.raises(EndpointInvalid, match=problem):
            await transport.listen(f"ipc://{folder}/a")
        with pytest.raises(EndpointInvalid, match=problem):
            transport.connect(f"ipc://{folder}/a")
        await transport.close()

    play(scene)


def test_a_folder_is_made_private(tmp_path: Path) -> None:
    """A missing one is made with mode 0700 to listen, and is no problem to connect to."""
    folder = tmp_path / "new"
    check_folder(folder, make=False)
    assert not folder.exists()
    check_folder(folder, make=True)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(EndpointInvalid, match=r"^.*/file is no folder for sockets: File exists$"):
        check_folder(tmp_path / "file", make=True)


def test_the_folder_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It says whose it is."""
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(EndpointInvalid, match=rf"^the folder {tmp_path} belongs to user {owner}, not to {owner + 1}: "):
        check_folder(tmp_path, make=False)


def test_a_file_left_behind_is_removed_and_a_living_listener_is_not(tmp_path: Path) -> None:
    """Only a socket on which nobody listens gives way."""
    path = tmp_path / "a"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()

    async def scene() -> None:
        b = Owner()
        transport, other = ZeroMQTransport(b), ZeroMQTransport(Owner())
        assert await transport.listen(f"ipc://{path}") == f"ipc://{path}"
        with pytest.raises(EndpointTaken, match=rf"^ipc://{path} is taken by another listener, which is alive$"):
            await other.listen(f"ipc://{path}")
        other.connect(f"ipc://{path}").send_nowait([b"still there"])
        assert await b.until_frames(1) == [(b"still there",)]
        await transport.close()
        await other.close()
        assert not path.exists()

    play(scene)


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """A file, or a link that leads to a listener, is not removed."""
    path = tmp_path / "notes"
    path.write_text("keep me")
    link = tmp_path / "link"
    link.symlink_to(path)

    async def scene() -> None:
        for each in (path, link):
            with pytest.raises(EndpointInvalid, match=r" is there, and is no socket; it is left alone$"):
                async with free_path(each, f"ipc://{each}"):
                    pytest.fail("it was taken for free")

    play(scene)
    assert path.read_text() == "keep me"


def test_a_file_that_is_not_ours_any_more_is_not_removed(tmp_path: Path) -> None:
    """Somebody may have removed the socket and put something else in its place."""

    async def scene() -> None:
        transport = ZeroMQTransport(Owner())
        endpoint = await transport.listen(ipc_endpoint(tmp_path))
        path = Path(endpoint.removeprefix("ipc://"))
        (tmp_path / "new").write_text("somebody's")
        (tmp_path / "new").rename(path)
        await transport.close()

    play(scene)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["somebody's"]


def test_an_endpoint_of_any_address_becomes_one_that_others_reach() -> None:
    """The port stays; a certain address stays as it is."""
    assert reachable("tcp://10.0.0.5:7400", "10.0.0.5") == "tcp://10.0.0.5:7400"
    for bound, host in (("tcp://0.0.0.0:7400", "*"), ("tcp://0.0.0.0:7400", "0.0.0.0"), ("tcp://[::]:7400", "[::]")):
        found = read_endpoint(reachable(bound, host), to_listen=False)
        assert found.address.endswith(":7400")
        assert found.is_ipv6 == (host == "[::]")
