"""What the figures were taken on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from .peers import OTHER_PYTHON, TITLES, erlang, installed, other_python

PACKAGES = ("uvloop", "msgspec", "pyzmq", "pykka", "xoscar")


class Machine(msgspec.Struct, frozen=True):
    """The machine, the versions and the day.  ``versions`` has None for what is not installed."""

    processor: str
    cores: int
    system: str
    python: str
    versions: dict[str, str | None]
    date: str


def look() -> Machine:
    """Ask this machine what it is."""
    versions: dict[str, str | None] = {name: _version(name) for name in PACKAGES}
    versions["Erlang"] = erlang.version() if "erlang" in installed() else None
    versions |= {TITLES[peer]: other_python.version(package) for peer, package in OTHER_PYTHON.items()}
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions=versions,
        date=datetime.now(UTC).date().isoformat(),
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the model of the processor, from /proc/cpuinfo where there is one."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for each in listing.read_text(encoding="utf-8").splitlines():
            if each.startswith("model name"):
                return each.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
