"""Endpoints of ``ipc://`` and ``tcp://``: reading them, and the folder and the file of an ipc socket.

    tcp://10.0.0.5:7400    tcp://[fe80::1]:7400    tcp://*:0 (any address of the host, any free port)
    ipc:///run/app/a       ipc://a (in the default folder)     ipc://* (there, under a name that nobody has)

A host name is looked up again at each dial (``resolver``); IPv6 is written as an address in brackets.

An ipc socket is protected by its folder, which must belong to the user and be closed to group and others, since not
every system checks the permissions of the socket itself.  ZeroMQ takes over an existing socket file even if another
process listens on it; so the file is checked first, under a lock on the folder, and removed only if no process listens
on it.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import secrets
import socket
import stat
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from ...runtime.session.endpoints import ENDPOINT_CHARS_MAX, SHOWN_CHARS_MAX, is_address, read_port
from ...runtime.session.transport import EndpointInvalid, EndpointTaken, TransportFailed
from ..folders import make_private, why_replaceable

PATH_BYTES_MAX: Final = 107
"""The longest path in the address of a Unix socket, without the final zero byte."""
LOCK_S_MAX: Final = 2.0
"""How long to wait for another process that has locked the same folder."""
LOCK_PAUSE_S: Final = 0.01

_HOST_NAME: Final = re.compile(r"(?=.{1,253}$)(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_WILD_HOSTS: Final = {"*": socket.AF_INET, "0.0.0.0": socket.AF_INET, "[::]": socket.AF_INET6}  # noqa: S104  compared with
_OUTSIDE: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


class Endpoint(NamedTuple):
    """An endpoint, read and checked.

    scheme: ``ipc`` or ``tcp``.  address: as ZeroMQ takes it.  path: of an ipc socket, else None.
    host: of tcp as it was written, else empty.
    """

    scheme: str
    address: str
    path: Path | None = None
    host: str = ""

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address, in brackets."""
        return self.host.startswith("[")

    @property
    def has_name(self) -> bool:
        """Whether the host is a name, which has to be looked up."""
        return bool(self.host) and self.host != "*" and not is_address(self.host)

    def at(self, address: str) -> Endpoint:
        """Return this endpoint with an address that its host name was resolved to."""
        port = self.address.rpartition(":")[2]
        return Endpoint(self.scheme, f"tcp://{address}:{port}", host=address)


def read_endpoint(text: str, *, to_listen: bool) -> Endpoint:
    """Parse an endpoint; raises ``EndpointInvalid`` with the reason.

    to_listen: allows ``*`` for a name or a host, and port 0.
    """
    if len(text) > ENDPOINT_CHARS_MAX:
        shown = repr(text[:SHOWN_CHARS_MAX])
        raise EndpointInvalid(f"{shown}... has {len(text)} characters, an endpoint {ENDPOINT_CHARS_MAX} at most")
    scheme, _, rest = text.partition("://")
    if scheme == "tcp":
        return _read_tcp(text, rest, to_listen=to_listen)
    if scheme == "ipc":
        return _read_ipc(text, rest, to_listen=to_listen)
    raise _invalid(text, "ipc:///PATH, ipc://NAME or tcp://HOST:PORT")


def _read_tcp(text: str, rest: str, *, to_listen: bool) -> Endpoint:
    host, _, digits = rest.rpartition(":")
    port = read_port(digits)
    if not host or port is None:
        raise _invalid(text, "tcp://HOST:PORT, with a port up to 65535")
    if (":" in host or host.startswith("[")) and not is_address(host):
        raise _invalid(text, "an IPv6 address in brackets, as in tcp://[::1]:7400")
    if host != "*" and not is_address(host) and not _HOST_NAME.fullmatch(host):
        raise _invalid(text, "a host before the port")
    if not to_listen and (port == 0 or host in _WILD_HOSTS):
        raise _invalid(text, "a host and a port above 0; this is one to listen on, not to connect to")
    return Endpoint("tcp", f"tcp://{'0.0.0.0' if host == '*' else host}:{port}", host=host)  # noqa: S104  asked for


def _read_ipc(text: str, rest: str, *, to_listen: bool) -> Endpoint:
    if not rest or "\0" in rest or rest.startswith("@") or (rest == "*" and not to_listen):
        # A name that begins with @ would be an abstract socket, which no folder protects.
        raise _invalid(text, "ipc:///PATH or ipc://NAME")
    if rest == "*":
        path = default_folder() / secrets.token_hex(8)
    elif "/" not in rest and rest not in (".", ".."):
        path = default_folder() / rest
    else:
        path = Path(rest)
    if not path.is_absolute():
        raise _invalid(text, "the whole path, from the root, or a bare name")
    count = len(os.fsencode(path))
    if count > PATH_BYTES_MAX:
        raise EndpointInvalid(f"{text!r}: the path {path} has {count} bytes, a socket's has {PATH_BYTES_MAX} at most")
    return Endpoint("ipc", f"ipc://{path}", path)


def _invalid(text: str, expected: str) -> EndpointInvalid:
    return EndpointInvalid(f"{text!r} is no endpoint of this transport: expected {expected}")


def default_folder() -> Path:
    """The folder of the user's ipc sockets: below ``$XDG_RUNTIME_DIR``, or else in the folder for temporary files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(runtime) / "trouper" if runtime else Path(tempfile.gettempdir()) / f"trouper-{os.getuid()}"


def check_folder(folder: Path, *, make: bool) -> None:
    """Check that a folder of sockets is private.

    make: create a missing folder; False accepts a missing one.
    Raises ``EndpointInvalid`` when it belongs to another user, or is open to one, or could be replaced by one.
    """
    try:
        if make:
            make_private(folder)
        found, why = folder.stat(), why_replaceable(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise EndpointInvalid(f"{folder} is no folder for sockets: {error.strerror}") from error
    if found.st_uid != os.getuid():
        raise EndpointInvalid(f"the folder {folder} belongs to user {found.st_uid}, not to {os.getuid()}: use another")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise EndpointInvalid(f"the folder {folder} is open to others (mode {mode:o}): chmod 700 {folder}")
    if why is not None:
        raise EndpointInvalid(f"the folder {folder} could be replaced by another user, since {why}: use another")


@asynccontextmanager
async def free_path(path: Path, text: str) -> AsyncGenerator[None]:
    """Hold the lock on a path's folder, after removing a socket file at the path on which no process listens.

    text: the endpoint, for messages.  Raises ``EndpointTaken`` when a process listens, ``EndpointInvalid`` when the
    file there is no socket, ``TransportFailed`` when the lock is not available within ``LOCK_S_MAX``.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        await _lock(folder, path.parent)
        _remove_stale(path, text)
        yield
    finally:
        os.close(folder)  # the lock goes with it


async def _lock(folder: int, path: Path) -> None:
    for _ in range(round(LOCK_S_MAX / LOCK_PAUSE_S)):
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(LOCK_PAUSE_S)
        else:
            return
    raise TransportFailed(f"another process has held the lock on {path} for {LOCK_S_MAX} s; is it stopped?")


def _remove_stale(path: Path, text: str) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise EndpointInvalid(f"{text!r}: {path} is there, and is no socket; it is left alone")
    except FileNotFoundError:
        return
    if _is_listened_on(path):
        raise EndpointTaken(f"{text} is taken by another listener, which is alive")
    path.unlink(missing_ok=True)


def _is_listened_on(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a listener whose backlog is full would block, which is an answer too
        problem = probe.connect_ex(str(path))
    if problem in (errno.ECONNREFUSED, errno.ENOENT):
        return False
    if problem in (0, errno.EAGAIN, errno.EINPROGRESS):
        return True
    raise TransportFailed(f"cannot tell whether somebody listens on {path}: {os.strerror(problem)}")


def reachable(bound: str, host: str) -> str:
    """Return the endpoint by which peers reach a bound one: a wildcard becomes an address of this host.

    bound: as ZeroMQ reports it, with the port.  host: as it was given.
    """
    family = _WILD_HOSTS.get(host)
    if family is None:
        return bound
    port = bound.rpartition(":")[2]
    outward = _outward_address(family)
    return f"tcp://[{outward}]:{port}" if family == socket.AF_INET6 else f"tcp://{outward}:{port}"


def _outward_address(family: socket.AddressFamily) -> str:
    """The address of this host on its default route; the loopback when it has none.  Nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_OUTSIDE[family], 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "::1" if family == socket.AF_INET6 else "127.0.0.1"
