"""Errors across nodes: an exception is sent as text, and raised again as its own class where that is safe.

Nothing is imported and no constructor is run for an error that came in: only a class that is loaded here already is
used, and its instance is made without its ``__init__``.  It gets those of its arguments and attributes that can travel
(``error_fields``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.errors import ActorFailed, NotPermitted, PeerOverLimit, WireError
from ..kernel.message import Message
from .control import RemoteFailure
from .error_fields import Fields, read_fields, write_fields
from .spawn_request import find_loaded, qualified_name

if TYPE_CHECKING:
    from ..kernel.system import Reporter

REFUSALS = (WireError, NotPermitted, PeerOverLimit)
"""Errors that say what the asker did wrong: a peer can cause many, and where they were raised is of no use to it."""
TEXT_CHARS_MAX = 1_000
"""Characters of an error's own text."""


class UnreadableMessage(Message[None], tag="trouper.UnreadableMessage"):
    """Stands in a dead letter for a message to or from another node of which only the wire form is known.

    node: the other node.  problem: what happened to the message.
    """

    node: str
    problem: str


def failure_of(error: BaseException, reporter: Reporter, with_trace: bool = True) -> RemoteFailure:
    """Describe an exception in a form that can be sent; ``reporter`` formats it, bounded in size."""
    only = error.args[0] if len(error.args) == 1 else None
    text = _bounded(only) if type(only) is str else reporter.brief(error).partition(": ")[2]
    trace = "" if isinstance(error, REFUSALS) or not with_trace else sendable_text(reporter.trace(error))
    return RemoteFailure(qualified_name(type(error)), sendable_text(text), trace, write_fields(error))


def raised_from(failure: RemoteFailure, node: str) -> Exception:
    """Make the exception that an asker gets, with the traceback of the other node as a note."""
    module, _, qualified = failure.kind.partition(":")
    error = _revived(find_loaded(module, qualified), failure.text, failure.fields)
    if error is None:
        error = ActorFailed(f"{qualified} on node {node}: {failure.text}")
    if failure.trace:
        error.add_note(f"Traceback on node {node}:\n{failure.trace}")
    return error


def _bounded(text: str) -> str:
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[:TEXT_CHARS_MAX]}[... {len(text)} characters in all]"


def _revived(kind: object, text: str, written: bytes) -> Exception | None:
    """Make an instance of ``kind``; None for a class that is no ``Exception``, or that needs its ``__init__`` for its
    text.
    """
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return None
    fields = read_fields(kind, written)
    tries: list[Fields] = [((text,), {})]
    if fields is not None:
        tries = [fields, ((text,), fields[1]), *tries]
    for args, attributes in tries:
        try:
            error = kind.__new__(kind, *args)
            if not isinstance(error, OSError):  # which takes its attributes out of its arguments
                error.args = args
            for name, value in attributes.items():
                setattr(error, name, value)
            if text in str(error):
                return error
        except Exception:  # noqa: BLE001, S112  a user's class may raise anything; the asker gets ActorFailed instead
            continue
    return None


def sendable_text(text: str) -> str:
    """Escape what UTF-8 cannot encode (lone surrogates), so that the text can be sent."""
    return text.encode("utf-8", "backslashreplace").decode()
