"""Logs: no text of a peer or a user reaches a log as it is.  Every call of a logger in the package is driven here."""

import ast
import io
import logging
import re
from collections.abc import Iterator

import pytest

from tests.layout.sources import Source, read
from trouper.runtime.kernel.logs import Lines, get_log

HOSTILE = "ada\n2026-01-01 ERROR forged\x1b[2J\r\u202egnp.exe\u2028\x07\ud800"
FORGED = ("\x1b", "\r", "\u202e", "\u2028", "\x07", "\ud800")
METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
WHERE = ("runtime", "actors", "transports")


class Hostile:
    """A value whose ``str`` and ``repr`` are what an attacker wants to see in a log."""

    def __str__(self) -> str:
        return HOSTILE

    def __repr__(self) -> str:
        return f"<{HOSTILE}>"

    def __int__(self) -> int:
        return 7

    def __float__(self) -> float:
        return 7.0


class Wordless:
    """A value whose ``str`` and ``repr`` raise."""

    def __str__(self) -> str:
        raise ValueError(HOSTILE)

    __repr__ = __str__


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    """Return each call of a logger in the package, with its place."""
    for source in read(*(f"src/trouper/{folder}" for folder in WHERE)):
        for node in ast.walk(source.tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in METHODS
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("log", "logger")
            ):
                yield source.at(node.lineno), node


CALLS = dict(log_calls())


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """What a plain handler writes of the logger ``trouper.test``."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("LINE %(message)s"))
    log = get_log("trouper.test")
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


def check(written: str) -> None:
    """Every record begins with LINE, every further line with the bar, and nothing in them is hostile."""
    assert written
    lines = written.removesuffix("\n").split("\n")
    assert all(line.startswith(("LINE ", "  | ")) for line in lines), lines
    assert not [sign for sign in FORGED if sign in written]


def test_the_package_has_log_calls() -> None:
    """The search finds the calls that the other tests drive; every one has a constant text."""
    assert len(CALLS) >= 12
    assert all(call.args and isinstance(call.args[0], ast.Constant) for call in CALLS.values())


@pytest.mark.parametrize("place", CALLS)
def test_a_log_call_escapes_hostile_texts(place: str, output: io.StringIO) -> None:
    """The call's own format, filled with hostile values, writes one record without control characters."""
    call = CALLS[place]
    assert isinstance(call.func, ast.Attribute)
    form = ast.literal_eval(call.args[0])
    arguments = [
        Lines(HOSTILE) if isinstance(argument, ast.Call) and ast.unparse(argument.func) == "Lines" else Hostile()
        for argument in call.args[1:]
    ]
    numbers = [7 if kind in "dfg" else value for kind, value in zip(kinds(form), arguments, strict=True)]
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        has_trace = call.func.attr == "exception" or any(keyword.arg == "exc_info" for keyword in call.keywords)
        get_log("trouper.test").warning(form, *numbers, exc_info=has_trace)
    check(output.getvalue())


def kinds(form: str) -> list[str]:
    """Return the letters of the conversions of a format, in order."""
    return [found[-1] for found in re.findall(r"%(?!%)[-+ #0]*\d*(?:\.\d+)?[a-z]", form)]


def test_a_value_whose_text_raises_is_named(output: io.StringIO) -> None:
    """The record says of which class the value is, and the error of its text goes no further."""
    get_log("trouper.test").warning("%s and %r", Wordless(), Wordless())
    check(output.getvalue())
    assert "Wordless" in output.getvalue()


def test_only_one_file_makes_loggers() -> None:
    """No module of the package takes a logger that escapes nothing, but for the one that sets levels for workers."""
    allowed = {"src/trouper/runtime/kernel/logs.py", "src/trouper/runtime/workers/log_forwarding.py"}
    sources = [source for source in read(*(f"src/trouper/{folder}" for folder in WHERE)) if source.path not in allowed]
    assert [source.path for source in sources if takes_a_logger(source)] == []


def takes_a_logger(source: Source) -> bool:
    """Whether a file calls ``logging.getLogger``."""
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func).endswith("getLogger") for node in ast.walk(source.tree)
    )
