"""The baseline as a peer: a deque, a dict look-up and a method call in one callback (``trouper.cli.baseline``)."""

from __future__ import annotations

import sys

from trouper.cli import baseline

from ..cold import milliseconds
from . import Figures, Workloads, on_asyncio


def start(repeats: int) -> Figures:
    """How long Python itself takes to start and end."""
    return {"value": milliseconds([sys.executable, "-c", "pass"], repeats)}


WORKLOADS: Workloads = {**{name: on_asyncio(run) for name, run in baseline.WORKLOADS.items()}, "start": start}
