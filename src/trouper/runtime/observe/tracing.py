"""Tracing: the messages that one actor handles, with duration and outcome.

It uses the kernel's ``Observer`` port and costs nothing when it is not used.  A traced actor leaves the fast path: each
of its messages costs a few microseconds more.

Laws of this file:
1. Several observers of one actor are independent of one another.
2. Nothing is unbounded: a ``Trace`` ends after its number of messages, and counts what a slow reader has missed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, Self

import msgspec

from ..kernel.ask import content
from ..kernel.cell import Cell
from ..kernel.confined import confine
