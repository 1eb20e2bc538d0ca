"""``trouper run SCRIPT``: run a script file on Trouper's loop.

The file is run as ``python SCRIPT`` runs it: as the module ``__main__``, with its folder first on ``sys.path`` and its
arguments in ``sys.argv``.  Then its ``async def main()`` is run by ``trouper.run``, unless the file does so itself: one
whose top-level code uses the name ``main``, as ``trouper.run(main)`` and ``asyncio.run(main())`` do, guarded by
``if __name__ == "__main__"`` or not, counts as having run it.
"""

from __future__ import annotations

import ast
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import cast

from ..runtime.node.run import run

Main = Callable[[], Coroutine[object, object, object]]


class NoMain(Exception):
    """The script has no ``async def main()`` at its top level; nothing of it was run."""


def run_script(script: Path, arguments: Sequence[str]) -> int:
    """Run a script; returns the exit code, 1 after an error of the script's, whose traceback is then printed.

    Raises ``NoMain``.  ``SystemExit`` and ``KeyboardInterrupt`` of the script pass through.
    """
    source = script.read_bytes()
    try:
        tree = ast.parse(source, str(script))
        if not has_main(tree):
            raise NoMain(
                f"{script} has no `async def main()` at its top level: add one, or run it with `python {script}`"
            )
        _execute(script, tree, arguments)
    except Exception as error:
        if isinstance(error, NoMain):
            raise
        traceback.print_exception(type(error), error, _from_script(error.__traceback__, str(script)))
        return 1
    return 0


def has_main(tree: ast.Module) -> bool:
    """Say whether there is an ``async def main`` at the top level."""
    return any(isinstance(statement, ast.AsyncFunctionDef) and statement.name == "main" for statement in tree.body)


def runs_itself(tree: ast.Module) -> bool:
    """Say whether code that runs when the file is loaded uses ``main``."""
    return any(isinstance(node, ast.Name) and node.id == "main" for node in _run_at_load(tree))


def _run_at_load(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _run_at_load(node)


def _execute(script: Path, tree: ast.Module, arguments: Sequence[str]) -> None:
    module = ModuleType("__main__")
    module.__file__ = str(script)
    sys.modules["__main__"] = module
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    code = compile(tree, str(script), "exec", dont_inherit=True)
    exec(code, vars(module))  # noqa: S102  the user asked to run this file
    if not runs_itself(tree):
        run(cast("Main", vars(module)["main"]))


def _from_script(trace: TracebackType | None, script: str) -> TracebackType | None:
    """Drop the frames above the script's first; all frames when the script has none, as for a syntax error."""
    while trace is not None and trace.tb_frame.f_code.co_filename != script:
        trace = trace.tb_next
    return trace
