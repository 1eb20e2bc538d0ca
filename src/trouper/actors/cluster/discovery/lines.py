"""Texts with one entry a line: seed files, announcements of nodes on this host, host files of mpiexec (PURE).

An empty line, and what follows a ``#`` at the beginning of a line or after a blank, is for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from .addresses import SCHEMES, check_host, read_endpoint, shown
from .port import DiscoveryInvalid

PROBLEMS_SHOWN_MAX: Final = 5
"""Bad lines that an error names; of the others it gives the number."""
SLOTS_MAX: Final = 100_000
"""Ranks that a line of a host file can ask for."""
_COMMENT: Final = re.compile(r"(?:^|\s)#.*")
_HOST_LINE: Final = re.compile(r"(?P<host>[^\s:]+)(?::(?P<count>\d{1,6}))?(?:\s.*)?", re.ASCII)
_SLOTS: Final = re.compile(r"\sslots\s*=\s*(\d{1,6})", re.ASCII)


class SeedLines(NamedTuple):
    """What a text of seeds says: the endpoints in their order, and for each bad line a sentence with its number."""

    endpoints: tuple[str, ...]
    problems: tuple[str, ...]

    def explain(self) -> str:
        """The problems as one text, the first few in full."""
        more = len(self.problems) - PROBLEMS_SHOWN_MAX
        return "; ".join((*self.problems[:PROBLEMS_SHOWN_MAX], *((f"and {more} more bad lines",) if more > 0 else ())))


def read_seeds(text: str, endpoints_max: int, schemes: Sequence[str] = SCHEMES) -> SeedLines:
    """Read endpoints, one a line; a bad line is named and left out.  Never raises.

    endpoints_max: the lines behind so many endpoints are not read.
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
    """Read a host file as mpiexec takes it: ``HOST``, ``HOST:RANKS`` or ``HOST slots=RANKS`` a line.

    Returns each host with its ranks, as often as it is named; 0 for one without a number.  Raises ``DiscoveryInvalid``
    with the number of the first bad line.  hosts_max: the lines behind so many are not read.
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
    """The lines that hold an entry, with their numbers from 1."""
    for number, line in enumerate(text.split("\n"), 1):
        entry = _COMMENT.sub("", line).strip()
        if entry:
            yield number, entry
