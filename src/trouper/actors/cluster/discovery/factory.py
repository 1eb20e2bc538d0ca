"""From the texts of ``join=`` to discoveries: which class finds what a ``DiscoverySpec`` names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import assert_never

from .combined import CombinedDiscovery
from .console import ConsoleDiscovery
from .dns import AddressDiscovery, ServiceDiscovery
from .file import FileDiscovery
from .launchers import MpiDiscovery, SlurmDiscovery
from .local import LocalDiscovery, runtime_folder
from .multicast import MulticastDiscovery
from .port import Discovery, DiscoveryLimits
from .specification import (
    Addresses,
    Auto,
    Console,
    DiscoverySpec,
    MpiRanks,
    Multicast,
    Seed,
    SeedFile,
    Services,
    SlurmRanks,
    parse,
)
from .static import StaticDiscovery


def open_discoveries(
    texts: Sequence[str],
    cluster: str,
    *,
    token: str = "",
    environment: Mapping[str, str] | None = None,
    limits: DiscoveryLimits | None = None,
) -> list[Discovery]:
    """Make the discoveries that the texts of ``join=`` ask for, in their order; single endpoints become one of them.

    cluster: its name, by which announcements and consoles are told apart.  token: for consoles; empty sends none.
    environment: of launchers; None takes that of this process.  Nothing is touched yet.
    Raises ``DiscoveryInvalid`` for a text that is not understood.
    """
    limits = limits or DiscoveryLimits()
    surroundings = os.environ if environment is None else environment
    specs = list(dict.fromkeys(map(parse, texts)))
    seeds = [spec.endpoint for spec in specs if isinstance(spec, Seed)]
    discoveries: list[Discovery] = [StaticDiscovery(seeds, limits=limits)] if seeds else []
    others = (spec for spec in specs if not isinstance(spec, Seed))
    return [*discoveries, *(_open(spec, cluster, token, surroundings, limits) for spec in others)]


def open_auto(cluster: str, *, limits: DiscoveryLimits | None = None) -> Discovery:
    """What ``auto`` stands for: this user's nodes on this host, and multicast DNS where zeroconf is installed."""
    ways: list[Discovery] = [LocalDiscovery(runtime_folder(cluster), limits=limits)]
    if find_spec("zeroconf") is not None:
        ways.append(MulticastDiscovery(cluster, limits=limits))
    return CombinedDiscovery(ways, limits=limits)


def _open(
    spec: DiscoverySpec, cluster: str, token: str, environment: Mapping[str, str], limits: DiscoveryLimits
) -> Discovery:
    match spec:
        case Seed(endpoint):
            return StaticDiscovery([endpoint], limits=limits)
        case SeedFile(path):
            return FileDiscovery(Path(path), limits=limits)
        case Addresses(host, port):
            return AddressDiscovery(host, port, limits=limits)
        case Services(name):
            return ServiceDiscovery(name, limits=limits)
        case Multicast():
            return MulticastDiscovery(cluster, limits=limits)
        case MpiRanks(port, head):
            return MpiDiscovery(port, environment, head=head, limits=limits)
        case SlurmRanks(port):
            return SlurmDiscovery(port, environment, limits=limits)
        case Console(url):
            return ConsoleDiscovery(url, cluster, token=token, limits=limits)
        case Auto():
            return open_auto(cluster, limits=limits)
        case _:
            assert_never(spec)
