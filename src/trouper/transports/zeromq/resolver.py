"""``Resolver``: looks host names up in threads of its own, so that neither the loop nor ZeroMQ's thread waits for it.

ZeroMQ would resolve names in the one thread that carries all of its connections: a name whose servers do not answer
would hold all of them up, again at each attempt.  The loop's own threads are for other work, which slow look-ups would
keep waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Final

from ...runtime.session.transport import TransportFailed

RESOLVE_S: Final = 5.0
"""Seconds that a look-up may take."""
LOOKUPS_MAX: Final = 64
"""Names that are looked up at one time; each takes a thread for as long as the operating system tries."""


class Resolver:
    """Looks host names up; make it in a running loop.  resolve_s: seconds that a look-up may take."""

    def __init__(self, resolve_s: float = RESOLVE_S) -> None:
        self._loop = asyncio.get_running_loop()
        self._resolve_s = resolve_s
        self._lookups: dict[str, asyncio.Future[list[str]]] = {}

    async def resolve(self, host: str) -> list[str]:
        """Return the addresses of a name, in the order in which the system prefers them, IPv6 in brackets.

        Look-ups of one name at one time are one.  Raises ``TransportFailed`` when it has no address, when there is no
        answer in time, and while ``LOOKUPS_MAX`` others wait for theirs.
        """
        lookup = self._lookups.get(host) or self._begin(host)
        try:
            async with asyncio.timeout(self._resolve_s):
                return await asyncio.shield(lookup)  # the thread goes on: the next call may get its answer
        except TimeoutError:
            raise TransportFailed(f"the host name {host!r} was not resolved within {self._resolve_s:g} s") from None

    def _begin(self, host: str) -> asyncio.Future[list[str]]:
        if len(self._lookups) >= LOOKUPS_MAX:
            raise TransportFailed(f"the host name {host!r} is not looked up: {LOOKUPS_MAX} others are")
        lookup: asyncio.Future[list[str]] = self._loop.create_future()
        lookup.add_done_callback(_take_exception)
        # A daemon: the end of the program does not wait for a name server.
        thread = threading.Thread(target=self._look_up, args=(host, lookup), name=f"resolve {host}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise TransportFailed(f"the host name {host!r} is not looked up: {error}") from error
        self._lookups[host] = lookup  # before the thread can end it, which the loop does
        return lookup

    def _look_up(self, host: str, lookup: asyncio.Future[list[str]]) -> None:
        try:
            found: list[str] | Exception = _addresses(host)
        except (OSError, UnicodeError) as error:
            found = TransportFailed(f"the host name {host!r} has no address: {error}")
            found.__cause__ = error
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits
            self._loop.call_soon_threadsafe(self._end, host, lookup, found)

    def _end(self, host: str, lookup: asyncio.Future[list[str]], found: list[str] | Exception) -> None:
        del self._lookups[host]
        if lookup.cancelled():
            return
        if isinstance(found, Exception):
            lookup.set_exception(found)
        else:
            lookup.set_result(found)


def _addresses(host: str) -> list[str]:
    """Look a name up, and wait for it."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    # An address with a zone, fe80::1%eth0, is left out: ZeroMQ would have to be told the zone in words of its own.
    texts = [str(place[0]) for _, _, _, _, place in found if "%" not in str(place[0])]
    if not texts:
        raise OSError("only addresses of one link were found")
    return list(dict.fromkeys(f"[{text}]" if ":" in text else text for text in texts))


def _take_exception(lookup: asyncio.Future[list[str]]) -> None:
    """Mark the error of a look-up as seen: those who waited for it may all have given up."""
    if not lookup.cancelled():
        lookup.exception()
