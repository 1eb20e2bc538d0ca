"""Errors across nodes: an exception becomes text on one side and, where that is safe, its own class on the other.

Nothing is imported and no constructor is run for an error that came in: only a class that is loaded here already is
used, and its instance is made without its ``__init__``.
"""

from __future__ import annotations

import builtins
import sys

from ..kernel.errors import ActorFailed
from ..reports import brief, trace
from .control import Failure


def failure_of(error: BaseException) -> Failure:
    """Put an exception into words that travel."""
    kind = type(error)
    return Failure(f"{kind.__module__}:{kind.__qualname__}", brief(error).partition(": ")[2], trace(error))


def raised_from(failure: Failure, node: str) -> Exception:
    """Make the exception that the asker gets, with the traceback of the other node as a note."""
    kind = _loaded(failure.kind)
    if kind is None:
        error: Exception = ActorFailed(f"{failure.kind.partition(':')[2]} on node {node}: {failure.text}")
    else:
        error = kind.__new__(kind, failure.text)
        error.args = (failure.text,)
    error.add_note(f"Traceback on node {node}:\n{failure.trace}")
    return error


def _loaded(name: str) -> type[Exception] | None:
    """Find an exception class that is loaded here already."""
    module, _, qualified = name.partition(":")
    found: object = builtins if module == "builtins" else sys.modules.get(module)
    for part in qualified.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found if isinstance(found, type) and issubclass(found, Exception) else None
