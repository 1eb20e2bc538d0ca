"""One module for each peer.  Each has ``WORKLOADS``: names, and functions from a size to figures.

A figure is a number by name; ``value`` is the one of the table.  Names end with their unit.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import shutil
from collections.abc import Callable, Coroutine, Mapping

Figures = dict[str, float]
Workloads = Mapping[str, Callable[[int], Figures]]

OURS = "trouper"
MODULES: Mapping[str, tuple[str, str]] = {
    # peer -> (module in this package, attribute that contains its workloads)
    "trouper": ("trouper", "ON_UVLOOP"),
    "trouper_asyncio": ("trouper", "ON_ASYNCIO"),
    "baseline": ("baseline", "WORKLOADS"),
    "asyncio": ("asyncio_queue", "WORKLOADS"),
    "pykka": ("pykka", "WORKLOADS"),
    "xoscar": ("xoscar", "WORKLOADS"),
    "erlang": ("erlang", "ON_ONE_CORE"),
    "erlang_all_cores": ("erlang", "ON_ALL_CORES"),
    "trouper_direct": ("trouper_nodes", "DIRECT"),
    "zeromq": ("zeromq", "ZEROMQ"),
    "pipe": ("zeromq", "PIPE"),
    "monarch": ("other_python", "MONARCH"),
    "ray": ("other_python", "RAY"),
}
TITLES: Mapping[str, str] = {
    "trouper": "Trouper",
    "trouper_asyncio": "Trouper, no uvloop",
    "baseline": "baseline",
    "asyncio": "asyncio task + Queue",
    "pykka": "pykka",
    "xoscar": "xoscar",
    "erlang": "Erlang, one core",
    "erlang_all_cores": "Erlang, all cores",
    "trouper_direct": "Trouper, direct ref",
    "zeromq": "raw ZeroMQ",
    "pipe": "a pipe",
    "monarch": "Monarch",
    "ray": "Ray",
}
OTHER_PYTHON: Mapping[str, str] = {"monarch": "torchmonarch", "ray": "ray"}
"""Peers that may be installed for another Python, and the names of their packages."""


def on_asyncio(work: Callable[[int], Coroutine[object, object, Figures]]) -> Callable[[int], Figures]:
    """Turn a workload that is a coroutine function into a plain function, run by the loop of asyncio."""
    return lambda size: asyncio.run(work(size))


def workloads_of(peer: str) -> Workloads:
    """Import a peer and return its workloads; raises ``ImportError`` where it is not installed."""
    module, attribute = MODULES[peer]
    workloads: Workloads = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return workloads


def installed() -> list[str]:
    """Return the peers that are installed, without importing them."""
    from . import other_python  # it needs the types of this module

    absent = {name for name in ("pykka", "xoscar") if importlib.util.find_spec(name) is None}
    absent |= {name for name, package in OTHER_PYTHON.items() if other_python.version(package) is None}
    if shutil.which("erl") is None or shutil.which("erlc") is None:
        absent |= {"erlang", "erlang_all_cores"}
    if importlib.util.find_spec("uvloop") is None:
        absent.add("trouper_asyncio")  # then ``trouper`` itself runs on the loop of asyncio
    return [peer for peer in MODULES if peer not in absent]
