"""Errors across nodes: an exception becomes text on one side and, where that is safe, its own class on the other.

Nothing is imported and no constructor is run for an error that came in: only a class that is loaded here already is
used, and its instance is made without its ``__init__``.  So it has the text, and no attributes beside it.
"""

from __future__ import annotations

from ..kernel.errors import ActorFailed
from ..kernel.message import Message
from ..observe.reports import BRIEF_CHARS_MAX, bounded, brief, trace
from .control import RemoteFailure
from .qualified_names import find_loaded, qualified_name


class UnreadableMessage(Message[None], tag="trouper.UnreadableMessage"):
    """Stands in a dead letter for a message to or from another node that is only known in its wire form."""

    node: str
    problem: str


def failure_of(error: BaseException) -> RemoteFailure:
    """Put an exception into words that travel."""
    only = error.args[0] if len(error.args) == 1 else None
    said = bounded(only, BRIEF_CHARS_MAX) if type(only) is str else brief(error).partition(": ")[2]
    return RemoteFailure(qualified_name(type(error)), travelling(said), travelling(trace(error)))


def raised_from(failure: RemoteFailure, node: str) -> Exception:
    """Make the exception that the asker gets, with the traceback of the other node as a note."""
    module, _, qualified = failure.kind.partition(":")
    error = _revived(find_loaded(module, qualified), failure.text)
    if error is None:
        error = ActorFailed(f"{qualified} on node {node}: {failure.text}")
    error.add_note(f"Traceback on node {node}:\n{failure.trace}")
    return error


def _revived(kind: object, text: str) -> Exception | None:
    """Make an instance; None when the class is no plain exception, or its text cannot be had without ``__init__``."""
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return None
    try:
        error = kind.__new__(kind, text)
        error.args = (text,)
        return error if text in str(error) else None
    except Exception:  # noqa: BLE001  a class of the user's may raise anything; the asker gets ActorFailed instead
        return None


def travelling(text: str) -> str:
    """Show what UTF-8 cannot carry, so that the text can be sent."""
    return text.encode("utf-8", "backslashreplace").decode()
