"""Ranks of a parallel job, and the endpoints at which they listen (PURE).

A launcher such as mpiexec or srun starts the same program many times and tells each process its rank.  If rank i of a
host (its *local* rank, from 0) listens on ``port + i``, every process can compute the endpoints of all others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from .addresses import PORT_MAX, gather, shown, tcp_endpoint
from .port import DiscoveryFailed

RANKS_MAX: Final = 1_000_000
"""The most ranks of a job; a larger number in an environment is an error."""
LOOPBACK: Final = "127.0.0.1"


class Ranks(msgspec.Struct, frozen=True):
    """Where the processes of a job run.

    rank: of this process, from 0 to size - 1.  local_rank: among the processes on its host, from 0.
    hosts: each host with the number of its processes, in the launcher's order.
    """

    rank: int
    size: int
    local_rank: int
    hosts: tuple[tuple[str, int], ...]


def own_port(ranks: Ranks, port: int) -> int:
    """Return the port on which this process listens; raises ``DiscoveryFailed`` when it would be above 65535."""
    if port + ranks.local_rank > PORT_MAX:
        raise DiscoveryFailed(
            f"rank {ranks.rank} is number {ranks.local_rank} on its host, and would listen on port"
            f" {port + ranks.local_rank}: begin with a lower port than {port}"
        )
    return port + ranks.local_rank


def endpoints(ranks: Ranks, port: int, endpoints_max: int) -> tuple[str, ...]:
    """Return the endpoints of the processes: the first of every host, then the second of every host, and so on.

    So the first ``endpoints_max`` of them are on as many hosts as possible.
    """
    return gather(_endpoints(ranks, port), endpoints_max)


def _endpoints(ranks: Ranks, port: int) -> Iterator[str]:
    left = [(host, min(count, PORT_MAX - port + 1)) for host, count in ranks.hosts]
    local_rank = 0
    while left:
        for host, _ in left:
            yield tcp_endpoint(host, port + local_rank)
        local_rank += 1
        left = [(host, count) for host, count in left if count > local_rank]


def number(environment: Mapping[str, str], names: tuple[str, ...], default: int | None = None) -> int:
    """Return the first of these variables that is set, as a number; raises ``DiscoveryFailed`` when it is not one.

    default: the result when none is set; None raises ``DiscoveryFailed``.
    """
    for name in names:
        text = environment.get(name)
        if text is None:
            continue
        if text.isascii() and text.isdecimal() and len(text) <= len(str(RANKS_MAX)) and int(text) <= RANKS_MAX:
            return int(text)
        raise DiscoveryFailed(f"the environment has {name}={shown(text)}, which is not a number up to {RANKS_MAX}")
    if default is None:
        raise DiscoveryFailed(f"the environment has none of {', '.join(names)}")
    return default


def checked(ranks: Ranks) -> Ranks:
    """Return the ranks; raises ``DiscoveryFailed`` when their numbers contradict each other."""
    if not (0 <= ranks.rank < ranks.size and 0 <= ranks.local_rank < ranks.size):
        raise DiscoveryFailed(
            f"the environment says rank {ranks.rank}, number {ranks.local_rank} on its host, of {ranks.size} ranks:"
            " that cannot be"
        )
    return ranks
