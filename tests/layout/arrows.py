"""Who may import whom: the arrows of the design, cycles, purity.

`ARROWS` is the table, most particular first; the first entry whose `owner` is the importing module or holds it decides.
Besides what the entry allows, a module may import what is its own: the folder or file that stands directly in its wing
(`trouper.runtime.kernel`, `trouper.actors.console`), and for a wing's `__init__.py` the whole wing.
"""

import ast
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from .sources import PACKAGE, Import, Source

ANYTHING = ("*",)


@dataclass(frozen=True)
class Arrow:
    """What the modules under `owner` may import besides their own."""

    owner: str
    inside: tuple[str, ...] = ()
    """Modules of the package, each with all below it; a trailing `.*` means the module's own names only."""
    outside: tuple[str, ...] = ANYTHING
    """Third-party packages by their top name; the standard library is always allowed."""


ARROWS: Sequence[Arrow] = (
    Arrow("trouper.runtime.kernel", outside=("msgspec", "typing_extensions")),
    Arrow("trouper.runtime.session", ("trouper.runtime.kernel",)),
    # Who is told an endpoint has to know whose it is; everybody else knows the port alone.
    Arrow("trouper.runtime.node.opening", ("trouper.runtime", "trouper.transports")),
    # The one face of a feature that a node shows, for type checkers alone; what is made comes in by an argument.
    Arrow("trouper.runtime.node.node", ("trouper.runtime", "trouper.actors.cluster")),
    # The furniture stands on the kernel, the wire and other furniture; `no_cycles` keeps it a heap and not a ring.
    Arrow("trouper.runtime", ("trouper.runtime",)),
    Arrow(
        "trouper.transports",
        (
            "trouper.transports",
            "trouper.runtime.session",
            "trouper.runtime.kernel.errors",
            "trouper.runtime.kernel.clock",
        ),
    ),
    # Features stand on the runtime, each for itself; of one another they know only the messages: see `_is_messages`.
    Arrow("trouper.actors", ("trouper.runtime",)),
    Arrow("trouper.testing", ANYTHING),
    Arrow("trouper.cli", ANYTHING),
    Arrow("trouper", ANYTHING),  # the facade and `python -m trouper`
)

LEAVES = ("trouper.testing", "trouper.cli")
"""Imported by nothing but themselves and `python -m trouper`."""

IMPURE = frozenset(
    {"asyncio", "logging", "os", "random", "secrets", "selectors", "signal", "socket", "subprocess", "tempfile"}
    | {"threading", "time"}
)
"""Modules through which a file would touch the world."""

MUST_BE_PURE = (
    "src/trouper/runtime/kernel/supervision.py",
    "src/trouper/runtime/session/frames.py",
    "src/trouper/runtime/session/session.py",
)


def relative_imports_only(source: Source) -> list[str]:
    """Inside the package an absolute import of the package would find another copy of it, or none."""
    return [
        f"{source.at(found.line)}: write the import of {found.module} as a relative one"
        for found in source.imports
        if found.level == 0 and _is_in(found.module, PACKAGE)
    ]


def arrows(source: Source) -> list[str]:
    """Every import from inside the package follows the table."""
    arrow = _arrow_of(source)
    return [
        f"{source.at(found.line)}: {source.module} may not import {_target(found)}, only its own"
        f" and {', '.join(arrow.inside) or 'nothing else'}"
        for found in source.imports
        if _is_in(found.module, PACKAGE) and not _may_import(source, arrow, found)
    ]


def outside_packages(source: Source) -> list[str]:
    """Imports from outside are the standard library, and of other packages those which the table names.

    typing_extensions comes with no dependency of ours, so it is for type checkers only.
    """
    arrow = _arrow_of(source)
    problems: list[str] = []
    for found in source.imports:
        top = found.module.partition(".")[0]
        if top in sys.stdlib_module_names or top in {PACKAGE, "__future__"}:
            continue
        if arrow.outside != ANYTHING and top not in arrow.outside:
            problems.append(f"{source.at(found.line)}: {source.module} may not import {top}")
        elif top == "typing_extensions" and found.at_run_time:
            problems.append(f"{source.at(found.line)}: typing_extensions is not installed with us; guard the import")
    return problems


def leaves_stay_leaves(source: Source) -> list[str]:
    """What is at the end of the arrows is imported by nothing."""
    return [
        f"{source.at(found.line)}: nothing may import {leaf}, which is at the end of the arrows"
        for leaf in LEAVES
        for found in source.imports
        if _is_in(_target(found), leaf) and not _is_in(source.module, leaf) and source.module != f"{PACKAGE}.__main__"
    ]


def no_cycles(sources: Iterable[Source]) -> list[str]:
    """Modules that import each other at run time load in one order only, and no reader finds a beginning."""
    known = {source.module: source for source in sources}
    graph = {
        module: {target for found in source.imports if (target := _imported_module(found, known)) and target != module}
        for module, source in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"modules import each other in a ring: {' -> '.join(error.args[1])}"]
    return []


def purity(source: Source, must_be_pure: Sequence[str] = MUST_BE_PURE) -> list[str]:
    """A file marked "(PURE)" decides and touches nothing; some files have to be so marked."""
    if not is_pure(source):
        wanted = source.path in must_be_pure
        return [f"{source.at(1)}: the first line of the docstring has to end with '(PURE)'"] if wanted else []
    problems = [
        f"{source.at(found.line)}: a pure file may not import {found.module}"
        for found in source.imports
        if found.module.partition(".")[0] in IMPURE
    ]
    return problems + [
        f"{source.at(node.lineno)}: a pure file may not call {node.func.id}()"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "print", "input"}
    ]


def is_pure(source: Source) -> bool:
    """Whether the file says of itself that it is pure."""
    return source.docstring_line.rstrip(".").endswith("(PURE)")


def _arrow_of(source: Source) -> Arrow:
    """The table's entry for this file."""
    return next(arrow for arrow in ARROWS if _is_in(source.module, arrow.owner))


def _may_import(source: Source, arrow: Arrow, found: Import) -> bool:
    """Whether the import is of the importer's own or allowed by the table."""
    own = ".".join(source.module.split(".")[:3])
    if arrow.inside == ANYTHING or _is_in(_target(found), own):
        return True
    if _is_in(source.module, "trouper.actors") and _is_messages(found):
        return True
    return any(
        found.module == allowed.removesuffix(".*") if allowed.endswith(".*") else _is_in(_target(found), allowed)
        for allowed in arrow.inside
    )


def _is_messages(found: Import) -> bool:
    """One feature knows of another only what it says and hears: `trouper.actors.NAME.messages`."""
    parts = _target(found).split(".")
    return parts[:2] == ["trouper", "actors"] and len(parts) > 3 and parts[3] == "messages"


def _target(found: Import) -> str:
    """What is imported, as one dotted name."""
    return found.module if found.name is None else f"{found.module}.{found.name}"


def _imported_module(found: Import, known: dict[str, Source]) -> str | None:
    """Which of the known modules is loaded by this import; None for all others, and for imports that come late."""
    if not found.at_run_time:
        return None
    return next((module for module in (_target(found), found.module) if module in known), None)


def _is_in(module: str, owner: str) -> bool:
    return module == owner or module.startswith(f"{owner}.")
