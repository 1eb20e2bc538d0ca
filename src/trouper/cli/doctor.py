"""``trouper doctor``: what this machine offers to Trouper, a line for each fact, with advice for what is missing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import NamedTuple

OPEN_FILES_WANTED = 1_024
"""A node needs a file descriptor or two for each connection."""
MEMORY_BYTES_WANTED = 512 * 1024**2
DEPENDENCIES = ("msgspec", "msgpack", "pyzmq", "uvloop", "aiohttp", "psutil", "click", "rich")


class Fact(NamedTuple):
    """One line of the output.  advice: what to change; empty when nothing has to be."""

    name: str
    value: str
    advice: str = ""


def show_doctor() -> None:
    """Print all facts in three columns."""
    facts = [*_facts()]
    width = max(len(fact.name) for fact in facts)
    for fact in facts:
        print(f"{fact.name:<{width}}  {fact.value}{f'   <- {fact.advice}' if fact.advice else ''}")
    advised = sum(bool(fact.advice) for fact in facts)
    print(f"\n{advised} to look at" if advised else "\nall is well")


def _facts() -> Iterator[Fact]:
    yield Fact("trouper", metadata.version("trouper"))
    yield Fact("python", f"{platform.python_version()} ({platform.python_implementation()}, {sys.executable})")
    yield Fact("system", f"{platform.system()} {platform.release()} {platform.machine()}")
    yield _loop()
    yield _cores()
    yield _memory()
    yield _open_files()
    for name in DEPENDENCIES:
        if name != "uvloop":
            yield _version(name)


def _loop() -> Fact:
    if sys.platform == "win32":
        return Fact("event loop", "asyncio (there is no uvloop for Windows)")
    fact = _version("uvloop")
    if fact.advice:
        return Fact("event loop", "asyncio", "uvloop is faster: pip install uvloop")
    return Fact("event loop", f"uvloop {fact.value}")


def _version(name: str) -> Fact:
    try:
        return Fact(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Fact(name, "not installed", f"pip install {name}")


def _cores() -> Fact:
    there = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else there
    return Fact(
        "cores",
        f"{usable} of {there} usable",
        "" if usable > 1 else "the loop shares its core with all other processes",
    )


def _memory() -> Fact:
    import psutil

    found = psutil.virtual_memory()
    text = f"{found.available / 1024**3:.1f} of {found.total / 1024**3:.1f} GiB available"
    return Fact("memory", text, "" if found.available >= MEMORY_BYTES_WANTED else "less than 512 MiB")


def _open_files() -> Fact:
    if sys.platform == "win32":
        return Fact("open files", "no limit is known")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    known = ["unlimited" if each == resource.RLIM_INFINITY else f"{each:,}" for each in (soft, hard)]
    enough = soft == resource.RLIM_INFINITY or soft >= OPEN_FILES_WANTED
    return Fact(
        "open files", f"{known[0]} (may be raised to {known[1]})", "" if enough else f"ulimit -n {OPEN_FILES_WANTED}"
    )
