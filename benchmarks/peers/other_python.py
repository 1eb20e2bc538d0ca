"""Peers in another installation of Python: Ray and Monarch have many dependencies, so they get one of their own.

``TROUPER_BENCHMARKS_PYTHON`` is the path of its interpreter; without it they are looked for in this one.  Their
workloads are plain scripts in ``scripts/``, which import nothing from here and print a line ``figure KEY VALUE`` each.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from . import Figures, Workloads

VARIABLE = "TROUPER_BENCHMARKS_PYTHON"
SCRIPTS = Path(__file__).parent / "scripts"
NAMES = ("node_tell", "node_ask", "node_ask_many")


def interpreter() -> str:
    """The Python that has the peers."""
    return os.environ.get(VARIABLE) or sys.executable


@functools.cache
def version(package: str) -> str | None:
    """Return the version of a package over there; None where it is not installed."""
    ask = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([interpreter(), "-c", ask], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _run(script: str, name: str, size: int) -> Figures:
    command = [interpreter(), str(SCRIPTS / script), name, str(size)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}; it said:\n{done.stderr[-2_000:]}")
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("figure ")]
    return {key: float(value) for key, value in lines}


def _workloads(script: str) -> Workloads:
    return {name: partial(_run, script, name) for name in NAMES}


RAY = _workloads("ray_workloads.py")
MONARCH = _workloads("monarch_workloads.py")
