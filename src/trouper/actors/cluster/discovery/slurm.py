"""Slurm's environment: which hosts a job has, and how many of its tasks run on each (PURE).

The variables are those of sbatch(1) and srun(1), "OUTPUT ENVIRONMENT VARIABLES"; a step's (``SLURM_STEP_...``) take
precedence over those of its job.  Lists of hosts are abbreviated, as scontrol(1) ``show hostnames`` reads them::

    node[01-04,07],gpu3            node01 node02 node03 node04 node07 gpu3
    rack[0-1]n[1-2]                rack0n1 rack0n2 rack1n1 rack1n2

Numbers keep the width of the first number of the range.  A short text can expand to very many hosts, so the number is
checked before the expansion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from math import prod
from typing import Final

from .addresses import check_host, shown
from .port import DiscoveryFailed, DiscoveryInvalid
from .ranks import RANKS_MAX, Ranks, checked, number

HOSTS_MAX: Final = 65_536
"""The most hosts of a list; Slurm's own limit for one range is the same."""
LIST_CHARS_MAX: Final = 262_144
_BRACKETS: Final = re.compile(r"\[([^\[\]]*)\]")
_RANGE: Final = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)
_COUNT: Final = re.compile(r"(\d{1,7})(?:\(x(\d{1,7})\))?", re.ASCII)


def is_job(environment: Mapping[str, str]) -> bool:
    """Return whether this environment is that of a task of Slurm."""
    return "SLURM_PROCID" in environment


def read_slurm(environment: Mapping[str, str]) -> Ranks:
    """Return where the tasks of this job run; raises ``DiscoveryFailed`` when the environment does not tell."""
    if not is_job(environment):
        raise DiscoveryFailed("SLURM_PROCID is not set: this process was not started by srun or sbatch")
    hosts = hosts_of(environment)
    if hosts is None:
        raise DiscoveryFailed("none of SLURM_STEP_NODELIST, SLURM_JOB_NODELIST, SLURM_NODELIST is set")
    size = number(environment, ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS"), 1)
    announced = number(environment, ("SLURM_STEP_NUM_NODES", "SLURM_JOB_NUM_NODES", "SLURM_NNODES"), len(hosts))
    if announced != len(hosts):
        raise DiscoveryFailed(f"the environment of Slurm announces {announced} nodes and names {len(hosts)}")
    return checked(
        Ranks(
            number(environment, ("SLURM_PROCID",)),
            size,
            number(environment, ("SLURM_LOCALID",), 0),
            tuple(zip(hosts, _counts(environment, len(hosts), size), strict=True)),
        )
    )


def hosts_of(environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the hosts of this step, or else of its job; None when Slurm names none.  Raises ``DiscoveryFailed``."""
    for name in ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"):
        text = environment.get(name)
        if text:
            try:
                return expand_hosts(text)
            except DiscoveryInvalid as error:
                raise DiscoveryFailed(f"{name}: {error}") from error
    return None


def expand_hosts(text: str, hosts_max: int = HOSTS_MAX) -> tuple[str, ...]:
    """Expand a list of hosts; raises ``DiscoveryInvalid`` when it is invalid or has more than ``hosts_max`` hosts."""
    if len(text) > LIST_CHARS_MAX:
        raise DiscoveryInvalid(f"a list of hosts has {len(text)} characters; {LIST_CHARS_MAX} are the limit")
    hosts: list[str] = []
    for entry in _split(text):
        parts = [
            _expand_ranges(part, text, hosts_max) if index % 2 else [part]
            for index, part in enumerate(_BRACKETS.split(entry))
        ]
        if len(hosts) + prod(map(len, parts)) > hosts_max:
            raise DiscoveryInvalid(f"{shown(text)} has more than {hosts_max} hosts")
        hosts.extend(check_host("".join(names), text) for names in product(*parts))
    return tuple(hosts)


def _split(text: str) -> list[str]:
    """Return the entries between the commas that are outside of brackets."""
    entries, depth, begin = list[str](), 0, 0
    for at, sign in enumerate(text):
        depth += (sign == "[") - (sign == "]")
        if sign == "," and depth == 0:
            entries.append(text[begin:at])
            begin = at + 1
        elif depth not in (0, 1):
            raise DiscoveryInvalid(f"{shown(text)} is not a list of hosts: its brackets do not match")
    if depth:
        raise DiscoveryInvalid(f"{shown(text)} is not a list of hosts: its brackets do not match")
    return [*entries, text[begin:]]


def _expand_ranges(ranges: str, text: str, hosts_max: int) -> list[str]:
    """Return the numbers of one pair of brackets, such as ``01-04,07``, each as wide as the first of its range."""
    found: list[str] = []
    for entry in ranges.split(","):
        match = _RANGE.fullmatch(entry)
        if match is None:
            raise DiscoveryInvalid(
                f"{shown(text)} is not a list of hosts: [{ranges[:40]}] does not hold ranges such as 01-04,07"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise DiscoveryInvalid(f"{shown(text)} is not a list of hosts: the range {entry} runs backwards")
        if len(found) + last - first + 1 > hosts_max:
            raise DiscoveryInvalid(f"{shown(text)} has more than {hosts_max} hosts")
        found.extend(f"{value:0{len(match[1])}}" for value in range(first, last + 1))
    return found


def expand_counts(text: str, hosts: int) -> tuple[int, ...]:
    """Expand the tasks of each host, as in ``2(x3),1``; raises ``DiscoveryInvalid`` unless they are for ``hosts``."""
    counts: list[int] = []
    for entry in text[:LIST_CHARS_MAX].split(","):
        match = _COUNT.fullmatch(entry)
        if match is None or int(match[1]) > RANKS_MAX:
            raise DiscoveryInvalid(f"{shown(text)} is not a list of tasks per node, such as 2(x3),1")
        times = int(match[2] or 1)
        if len(counts) + times > hosts:
            raise DiscoveryInvalid(f"{shown(text)} has the tasks of more than {hosts} nodes")
        counts.extend([int(match[1])] * times)
    if len(counts) != hosts:
        raise DiscoveryInvalid(f"{shown(text)} has the tasks of {len(counts)} nodes, not of {hosts}")
    return tuple(counts)


def _counts(environment: Mapping[str, str], hosts: int, size: int) -> tuple[int, ...]:
    for name in ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"):
        text = environment.get(name)
        if text:
            try:
                return expand_counts(text, hosts)
            except DiscoveryInvalid as error:
                raise DiscoveryFailed(f"{name}: {error}") from error
    return (-(-size // hosts),) * hosts
