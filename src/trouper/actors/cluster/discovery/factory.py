"""Makes the discoveries that the texts of ``join=`` name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import assert_never

from .combined import CombinedDiscovery
from .dns import AddressDiscovery, ServiceDiscovery
from .file import FileDiscovery
from .launchers import MpiDiscovery, SlurmDiscovery
from .local import LocalDiscovery, runtime_folder
from .multicast import MulticastDiscovery
from .port import Discovery, DiscoveryLimits
from .specification import (
    Addresses,
    Auto,
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
    environment: Mapping[str, str] | None = None,
    limits: DiscoveryLimits | None = None,
) -> list[Discovery]:
    """Make the discoveries for the texts of ``join=``, in their order; all endpoints together make one discovery.

    cluster: its name, which selects the announcements.  environment: the variables of a launcher; None for those of
    this process.  limits: None for the defaults.  No file is opened and no network used before the first ``find``.
    Raises ``DiscoveryInvalid`` for a text that cannot be read.
    """
    limits = limits or DiscoveryLimits()
    variables = os.environ if environment is None else environment
    specs = list(dict.fromkeys(map(parse, texts)))
    seeds = [spec.endpoint for spec in specs if isinstance(spec, Seed)]
    discoveries: list[Discovery] = [StaticDiscovery(seeds, limits=limits)] if seeds else []
    others = (spec for spec in specs if not isinstance(spec, Seed))
    return [*discoveries, *(_open(spec, cluster, variables, limits) for spec in others)]


def open_auto(cluster: str, *, limits: DiscoveryLimits | None = None) -> Discovery:
    """Return the discovery for ``auto``: this user's nodes on this host, and multicast DNS if zeroconf is installed."""
    parts: list[Discovery] = [LocalDiscovery(runtime_folder(cluster), limits=limits)]
    if find_spec("zeroconf") is not None:
        parts.append(MulticastDiscovery(cluster, limits=limits))
    return CombinedDiscovery(parts, limits=limits)


def _open(spec: DiscoverySpec, cluster: str, environment: Mapping[str, str], limits: DiscoveryLimits) -> Discovery:
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
        case Auto():
            return open_auto(cluster, limits=limits)
        case _:
            assert_never(spec)
