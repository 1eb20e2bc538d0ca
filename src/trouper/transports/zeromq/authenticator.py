"""``Authenticator``: decides which peers may connect, by ZeroMQ's authentication protocol (ZAP, RFC 27).

ZeroMQ asks it about each connection that has proved to own its key.  Every listener asks, also those without keys: a
connection that is asked about has to speak the current protocol, so that any other program, whose bytes an old version
would have taken for frames, is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import zmq
from zmq.utils import z85

from ..keys import KeyRing, shown
from .rejection_log import RejectionLog, network_of
from .sockets import DOMAIN_LOCKED, DOMAIN_OPEN, Sockets

ENDPOINT: Final = "inproc://zeromq.zap.01"
VERSION: Final = b"1.0"


class AuthenticationResult(NamedTuple):
    """The answer to one request.  user: empty for a peer without a key.  text: why the peer was refused."""

    is_admitted: bool
    user: str = ""
    text: str = ""


class Authenticator:
    """Answers ZeroMQ's requests from the loop, one at a time.  keys: None when no listener has any."""

    def __init__(self, sockets: Sockets, keys: KeyRing | None, rejections: RejectionLog) -> None:
        self._keys, self._rejections = keys, rejections
        self._loop = asyncio.get_running_loop()
        self._socket = sockets.inner(zmq.ROUTER)
        self._socket.bind(ENDPOINT)
        self._descriptor = self._socket.fileno()
        self._loop.add_reader(self._descriptor, self._read)
        self._loop.call_soon(self._read)

    def close(self) -> None:
        """Answer no more; the listeners have to be closed first."""
        if not self._socket.closed:
            self._loop.remove_reader(self._descriptor)
            self._socket.close()

    def _read(self) -> None:
        while not self._socket.closed:
            try:
                request = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(request) >= 8 and request[2] == VERSION:
                self._answer(request)

    def _answer(self, request: Sequence[bytes]) -> None:
        sender, gap, version, number, domain, address, _, mechanism, *credentials = request
        verdict = judge(self._keys, domain, mechanism, credentials)
        if not verdict.is_admitted:
            place = address.decode("utf-8", "replace")
            refused = f"a connection from {place or 'this host'} was refused: {verdict.text}"
            self._rejections.note("not_admitted", network_of(place), refused)
        code, text = (b"200", b"OK") if verdict.is_admitted else (b"400", b"not admitted")
        try:
            self._socket.send_multipart(
                [sender, gap, version, number, code, text, verdict.user.encode(), b""], zmq.NOBLOCK
            )
        except zmq.ZMQError:
            pass  # the socket that asked is gone: without an answer it admits no peer


def judge(keys: KeyRing | None, domain: bytes, mechanism: bytes, credentials: Sequence[bytes]) -> AuthenticationResult:
    """Decide about a peer.

    keys: None when no listener has any.  domain: whether its listener has keys.
    mechanism, credentials: how it was authenticated, such as CURVE, and as what, such as its public key of 32 bytes.
    """
    if domain == DOMAIN_OPEN and mechanism == b"NULL":
        return AuthenticationResult(is_admitted=True)
    if domain != DOMAIN_LOCKED or mechanism != b"CURVE" or keys is None or [len(key) for key in credentials] != [32]:
        return AuthenticationResult(is_admitted=False, text=f"it came by {mechanism!r}, which is not used here")
    public = z85.encode(credentials[0]).decode()
    if keys.admits(public):
        return AuthenticationResult(is_admitted=True, user=public)
    why = "is not the cluster's" if keys.allowed is None else "is not among the allowed ones"
    return AuthenticationResult(is_admitted=False, text=f"its public key {shown(public)} {why}")
