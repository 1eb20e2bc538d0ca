"""What a worker takes over of its parent's program: ``sys.path``, arguments, the script, the levels of loggers.

A worker finds classes by their names, so it searches the same ``sys.path`` and imports the parent's script, as a module
named by the stem of its file, which is the name in the tags of messages.  A call of ``trouper.run`` ends the import,
so a script needs no ``if __name__ == "__main__"``.  The import happens inside a running loop, so that a script that
starts a loop in another way fails instead of starting a second node.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from ..kernel.errors import StartFailed
from ..kernel.program import program_names
from ..node.run import ImportEnds, importing_program
from ..observe.reports import brief
from .protocol import Program

LEVELS_MAX = 1_000
"""The most loggers whose levels are taken over."""
STARTED_IN = Path.cwd()
"""The working directory when the node was made: relative entries of ``sys.path`` mean this one, also after a chdir."""
BOOT = """\
import os, signal, sys
for each in map(int, os.listdir("/dev/fd")):  # copies of the pipe that the parent's loop has made for its own use
    try:
        if each > 2 and os.get_inheritable(each):
            os.close(each)
    except OSError:
        pass
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
sys.path[:] = sys.argv[1:]
from trouper.node import Node
from trouper.runtime.workers.worker import main
main(Node)
"""


def command(python: str | None = None) -> list[str]:
    """Return the command line of a worker: the interpreter, with the same options and the same ``sys.path``.

    python: None is this interpreter.  Another one keeps its own standard library and packages, and gets the rest of
    the path.  ``-P`` keeps the working directory out of the path until that is set: a file there that is called like a
    module of the standard library is not imported.
    """
    options = [f"-W{option}" for option in sys.warnoptions]
    options += [] if sys.flags.optimize == 0 else [f"-{'O' * sys.flags.optimize}"]
    options += [f"-X{key}" if value is True else f"-X{key}={value}" for key, value in sys._xoptions.items()]  # noqa: SLF001  documented so
    for flag in ("-B" if sys.flags.dont_write_bytecode else "", "-I" if sys.flags.isolated else ""):
        options += [flag] if flag else []
    path = [str(STARTED_IN / each) for each in sys.path]
    if python is not None and Path(python) != Path(sys.executable):
        own = (sys.prefix, sys.base_prefix, sys.exec_prefix)
        source = str(Path(__file__).parents[3])
        path = [each for each in path if each == source or not each.startswith(own)]
        return [python, "-P", *options, "-c", BOOT.replace("sys.path[:] =", "sys.path[:0] ="), *path]
    return [sys.executable, "-P", *options, "-c", BOOT, *path]


def environment(changes: Mapping[str, str | None]) -> dict[str, str] | None:
    """Return the environment of a worker; None for that of this process.  changes: None removes a variable."""
    if not changes:
        return None
    return {name: value for name, value in {**os.environ, **changes}.items() if value is not None}


def this_program() -> Program:
    """Describe the running program, for a worker."""
    names = program_names()
    script = _script_of(names)
    return Program(
        arguments=list(sys.argv),
        script=None if script is None else str(script),
        script_name="" if script is None else script.stem,
        package=str(names.get("__package__") or ""),
        levels=_levels(),
    )


def _script_of(names: Mapping[str, object]) -> Path | None:
    """Return the file to import; None when the program is a command without .py, is not a file, or is a package's.

    The latter is imported by its name, ``package.__main__``, when the first actor of it is placed on a worker.
    """
    if str(getattr(names.get("__spec__"), "name", "")).endswith(".__main__"):
        return None
    script = STARTED_IN / str(names.get("__file__") or "")
    return script if script.suffix == ".py" and script.is_file() else None


def _levels() -> dict[str, int]:
    known = {
        name: logger for name, logger in logging.root.manager.loggerDict.items() if isinstance(logger, logging.Logger)
    }
    levels = {name: logger.level for name, logger in known.items() if logger.level}
    return {"": logging.root.level, **dict(list(levels.items())[:LEVELS_MAX])}


def load_program(program: Program, preload: Sequence[str] = ()) -> None:
    """In a worker: set ``sys.argv``, import the script and the modules of ``preload``.

    Raises ``StartFailed`` with the error of the script or the module.
    """
    sys.argv[:] = program.arguments
    for module in preload:
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise StartFailed(f"a worker cannot import {module}, named in preload: {brief(error)}") from error
    _load_script(program)


def _load_script(program: Program) -> None:
    if program.script is None:
        return
    if program.script_name in sys.modules:
        raise StartFailed(
            f"the script {program.script} has the name of the module {program.script_name!r}: rename the script"
        )
    module = ModuleType(program.script_name)
    module.__file__ = program.script
    module.__package__ = program.package
    sys.modules[program.script_name] = module
    try:
        code = compile(Path(program.script).read_bytes(), program.script, "exec", dont_inherit=True)
        with importing_program():
            exec(code, vars(module))  # noqa: S102  the program's own script
    except ImportEnds:
        pass
    except (Exception, SystemExit) as error:
        raise StartFailed(
            f"a worker imports the script {program.script}, to find its classes, and that failed: {brief(error)}; "
            "what starts the program in another way than by trouper.run() must stand under "
            '`if __name__ == "__main__":`'
        ) from error
