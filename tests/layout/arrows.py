"""The import rules: which package may import which, rings of imports, purity.

`ARROWS` is the table of DESIGN section 3 for the packages of `src/trouper/`, most particular first; the first entry
whose `owner` is the importing module, or contains it, decides.  Every import counts: at the top of a file, under
`if TYPE_CHECKING:`, and inside a function.  A module may always import its own package.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from .sources import PACKAGE, Import, Source

ANYTHING = ("*",)
FACADES = ("trouper", "trouper.lowlevel", "trouper.cluster", "trouper.delivery", "trouper.node")
"""Modules that re-export what is public.  What they import themselves is not restricted."""
RUNTIME = "trouper.runtime"


@dataclass(frozen=True)
class Arrow:
    """What the modules of a package may import besides the package itself.

    owner: the package, or one module.  inside: packages or modules of ours, each with everything below it.
    facades: whether it may import public names from `FACADES`.
    outside: third-party packages by their top-level name; the standard library is always allowed.
    """

    owner: str
    inside: tuple[str, ...] = ()
    facades: bool = False
    outside: tuple[str, ...] = ANYTHING


def _runtime(*names: str) -> tuple[str, ...]:
    return tuple(f"{RUNTIME}.{name}" for name in names)


ARROWS: Sequence[Arrow] = (
    Arrow(f"{RUNTIME}.kernel", outside=("msgspec", "typing_extensions")),
    Arrow(f"{RUNTIME}.actor", _runtime("kernel")),
    Arrow(f"{RUNTIME}.journal", _runtime("kernel")),
    Arrow(f"{RUNTIME}.observe", _runtime("kernel")),
    Arrow(f"{RUNTIME}.session", _runtime("kernel")),
    Arrow(f"{RUNTIME}.net", _runtime("kernel", "session")),
    Arrow(f"{RUNTIME}.gossip", _runtime("kernel", "session", "net")),
    Arrow(
        f"{RUNTIME}.node",
        (*_runtime("kernel", "actor", "journal", "observe", "session", "net", "gossip"), "trouper.transports"),
    ),
    Arrow(
        f"{RUNTIME}.workers",
        (
            *_runtime("kernel", "actor", "journal", "observe", "session", "net", "gossip", "node"),
            "trouper.transports",
        ),
    ),
    Arrow(RUNTIME),  # the package's own `__init__.py`
    Arrow(
        "trouper.transports",
        (
            *_runtime(
                "session.transport",
                "session.endpoints",
                "session.identity",
                "kernel.errors",
                "kernel.logs",
                "kernel.forks",
            ),
        ),
    ),
    Arrow("trouper.actors", facades=True),
    Arrow("trouper.testing", ANYTHING),
    Arrow("trouper.cli", ANYTHING),
    Arrow(PACKAGE, ANYTHING),  # the facades and `python -m trouper`
)

LEAVES = ("trouper.testing", "trouper.cli")
"""Imported by nothing but themselves and `python -m trouper`."""

IMPURE = frozenset(
    {"asyncio", "logging", "os", "random", "secrets", "selectors", "signal", "socket", "subprocess", "tempfile"}
    | {"threading", "time"}
)
"""Modules that give access to a clock, the loop, the network, files or randomness."""

MUST_BE_PURE = ("src/trouper/runtime/kernel/supervision.py", "src/trouper/runtime/session/frames.py")


@dataclass(frozen=True)
class Crossing:
    """One import that the table forbids: where it stands, the two packages and the module that is imported."""

    at: str
    importer: str
    imported: str
    target: str

    @property
    def key(self) -> str:
        """The pair of packages, as the ratchet lists it."""
        return f"{self.importer} -> {self.imported}"


def relative_imports_only(source: Source) -> list[str]:
    """Inside the package, imports are relative: an absolute one may find another installed copy."""
    return [
        f"{source.at(found.line)}: write the import of {found.module} as a relative one"
        for found in source.imports
        if found.level == 0 and _is_in(found.module, PACKAGE)
    ]


def crossings(source: Source) -> list[Crossing]:
    """The imports of one file that the table forbids; type-only and late imports are included."""
    arrow = next(arrow for arrow in ARROWS if _is_in(source.module, arrow.owner))
    return [
        Crossing(source.at(found.line), package_of(source.module), package_of(_target(found)), _target(found))
        for found in source.imports
        if _is_in(found.module, PACKAGE) and not _may_import(source, arrow, found)
    ]


def arrows(source: Source) -> list[str]:
    """Every import from inside the package follows the table."""
    return [f"{found.at}: {found.importer} may not import {found.target}" for found in crossings(source)]


def table_is_acyclic(table: Sequence[Arrow] = ARROWS) -> list[str]:
    """The table itself has no ring, so a program that follows it has none across packages."""
    graph = {arrow.owner: {_owner(target, table) for target in arrow.inside} - {arrow.owner} for arrow in table}
    return _ring(graph)


def package_rings(sources: Iterable[Source], excepted: Collection[str] = ()) -> list[str]:
    """No two packages import each other, directly or through others; type-only and late imports are included.

    excepted: pairs `a -> b` that are left out, because the ratchet lists them as violations of the table.
    """
    graph: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        importer = package_of(source.module)
        for found in source.imports:
            if not _is_in(found.module, PACKAGE):
                continue
            imported = package_of(_target(found))
            exempt = importer == PACKAGE or imported == PACKAGE or f"{importer} -> {imported}" in excepted
            if importer != imported and not exempt:
                graph[importer].add(imported)
    return _ring(graph)


def outside_packages(source: Source) -> list[str]:
    """Imports from outside are the standard library, and those third-party packages that the table names."""
    arrow = next(arrow for arrow in ARROWS if _is_in(source.module, arrow.owner))
    if arrow.outside == ANYTHING:
        return []
    known = {PACKAGE, "__future__", *sys.stdlib_module_names, *arrow.outside}
    return [
        f"{source.at(found.line)}: {source.module} may not import {top}"
        for found in source.imports
        if (top := found.module.partition(".")[0]) not in known
    ]


def leaves_stay_leaves(source: Source) -> list[str]:
    """The testing kit and the command line are imported by no other package."""
    return [
        f"{source.at(found.line)}: nothing may import {leaf}"
        for leaf in LEAVES
        for found in source.imports
        if _is_in(_target(found), leaf) and not _is_in(source.module, leaf) and source.module != f"{PACKAGE}.__main__"
    ]


def no_cycles(sources: Iterable[Source]) -> list[str]:
    """No ring of modules at load time: such modules can be loaded in one order only."""
    known = {source.module: source for source in sources}
    return _ring(
        {
            module: {target for found in source.imports if (target := _loaded(found, known)) and target != module}
            for module, source in known.items()
        }
    )


def purity(source: Source, must_be_pure: Sequence[str] = MUST_BE_PURE) -> list[str]:
    """A file marked "(PURE)" imports no clock, loop, network or log; the files of `must_be_pure` are marked."""
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
    """Whether the first line of the file's docstring ends with the mark "(PURE)"."""
    return source.docstring_line.rstrip(".").endswith("(PURE)")


def package_of(module: str) -> str:
    """The package that the rules speak of: `trouper.runtime.kernel`, `trouper.transports`, `trouper.actors.cluster`.

    A facade, and whatever else stands directly in `trouper`, belongs to `trouper`.
    """
    parts = module.split(".")
    if parts[:2] in (["trouper", "runtime"], ["trouper", "actors"]):
        return ".".join(parts[:3])
    if parts[:2] in (["trouper", "transports"], ["trouper", "testing"], ["trouper", "cli"]):
        return ".".join(parts[:2])
    return PACKAGE


def _may_import(source: Source, arrow: Arrow, found: Import) -> bool:
    target = _target(found)
    own = package_of(source.module)
    if arrow.inside == ANYTHING or (own != PACKAGE and package_of(target) == own):
        return True
    if arrow.facades and package_of(target) == PACKAGE:
        return True
    return any(_is_in(target, allowed) for allowed in arrow.inside)


def _owner(target: str, table: Sequence[Arrow]) -> str:
    return next((arrow.owner for arrow in table if _is_in(target, arrow.owner)), target)


def _ring(graph: Mapping[str, Collection[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"these import each other in a ring: {' -> '.join(error.args[1])}"]
    return []


def _target(found: Import) -> str:
    """What is imported, as one dotted name."""
    return found.module if found.name is None else f"{found.module}.{found.name}"


def _loaded(found: Import, known: Mapping[str, Source]) -> str | None:
    """The known module that this import loads when the importer is loaded; None for all others."""
    if not found.at_run_time:
        return None
    return next((module for module in (_target(found), found.module) if module in known), None)


def _is_in(module: str, owner: str) -> bool:
    return module == owner or module.startswith(f"{owner}.")
