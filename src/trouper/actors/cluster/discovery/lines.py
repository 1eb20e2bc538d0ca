"""Texts with one entry a line: seed files, announcements of nodes on this host, host files of mpiexec (PURE).

Empty lines are ignored, and so is a comment: a ``#`` at the beginning of a line or after a blank, to the end of the
line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from .addresses import check_host, read_endpoint, shown
from .port import DiscoveryInvalid

PROBLEMS_SHOWN_MAX: Final = 5
"""The most bad lines that an error names; it gives the number of the others."""
SLOTS_MAX: Final = 100_000
"""The most ranks in one line of a host file."""
_COMMENT: Final = re.compile(r"(?:^|\s)#.*")
_HOST_LINE: Final = re.compile(r"(?P<host>[^\s:]+)(?::(?P<count>\d{1,6}))?(?:\s.*)?", re.ASCII)
_SLOTS: Final = re.compile(r"\sslots\s*=\s*(\d{1,6})", re.ASCII)


class SeedLines(NamedTuple):
    """A parsed text of seeds.  endpoints: in their order.  problems: the number and the error of each bad line."""

    endpoints: tuple[str, ...]
    problems: tuple[str, ...]

    def explain(self) -> str:
        """Return the problems as one text, the first ``PROBLEMS_SHOWN_MAX`` in full."""
        more = len(self.problems) - PROBLEMS_SHOWN_MAX
        return "; ".join((*self.problems[:PROBLEMS_SHOWN_MAX], *((f"and {more} more bad lines",) if more > 0 else ())))


def read_seeds(text: str, endpoints_max: int, schemes: Collection[str] | None = None) -> SeedLines:
    """Parse endpoints, one a line; a bad line becomes one of the ``problems``.

    endpoints_max: lines after this number of endpoints are not read.  schemes: as in ``read_endpoint``.
    """
    found: dict[str, None] = {}
    problems: list[str] = []
    for number, entry in _entries(text):
        if len(found) >= endpoints_max:
            break
        try:
            found[read_endpoint(entry, schemes)] = None
        except DiscoveryInvalid as error:
            problems.append(f"line {number}: {error}")
    return SeedLines(tuple(found), tuple(problems))


def read_hosts(text: str, hosts_max: int) -> tuple[tuple[str, int], ...]:
    """Parse a host file of mpiexec: ``HOST``, ``HOST:RANKS`` or ``HOST slots=RANKS`` a line.

    Returns each line's host and its number of ranks, 0 where none is given.  Raises ``DiscoveryInvalid``
    with the number of the first bad line.  hosts_max: lines after this number of hosts are not read.
    """
    hosts: list[tuple[str, int]] = []
    for number, entry in _entries(text):
        if len(hosts) >= hosts_max:
            break
        match = _HOST_LINE.fullmatch(entry)
        if match is None:
            raise DiscoveryInvalid(f"line {number}: {shown(entry)} is not HOST, HOST:RANKS or HOST slots=RANKS")
        slots = _SLOTS.search(entry)
        count = match["count"] or (slots[1] if slots else "0")
        if int(count) > SLOTS_MAX:
            raise DiscoveryInvalid(f"line {number}: {count} ranks on one host; {SLOTS_MAX} are the limit")
        try:
            hosts.append((check_host(match["host"], entry), int(count)))
        except DiscoveryInvalid as error:
            raise DiscoveryInvalid(f"line {number}: {error}") from None
    return tuple(hosts)


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with an entry, with their numbers from 1."""
    for number, line in enumerate(text.split("\n"), 1):
        entry = _COMMENT.sub("", line).strip()
        if entry:
            yield number, entry
