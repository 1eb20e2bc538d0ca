"""The floor as a peer: a deque, a dict look-up and a method call in one callback (see ``trouper.cli.floor``)."""

from __future__ import annotations

import sys

from trouper.cli import floor

from ..cold import milliseconds
from . import Figures, Works, on_asyncio


def start(repeats: int) -> Figures:
    """How long Python itself takes to start and end."""
    return {"value": milliseconds([sys.executable, "-c", "pass"], repeats)}


WORKS: Works = {**{name: on_asyncio(run) for name, run in floor.WORKS.items()}, "start": start}
