"""The program that this process runs: its global names, and the name by which another process imports it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import PurePath
from types import FrameType

_beside: Mapping[str, object] | None = None  # the program's names, where a tool runs it beside its own ``__main__``


def program_names() -> Mapping[str, object]:
    """Return the global names of the program.

    A profiler or a tracer (``python -m cProfile prog.py``) is ``__main__`` itself and executes the program with names
    of its own: those of the innermost frame of a ``__main__`` that the tool called.
    """
    global _beside  # noqa: PLW0603  of the process: it runs one program
    main = vars(sys.modules["__main__"])
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  the only access to those names
    inner: Mapping[str, object] | None = None
    while _beside is None and frame is not None:
        if frame.f_globals is main:
            _beside = inner
            break
        if frame.f_globals.get("__name__") == "__main__":
            inner = inner or frame.f_globals
        frame = frame.f_back
    return main if _beside is None else _beside


def program_name() -> str | None:
    """Return the name of the module as which another process finds the program; None when it has no file.

    It is the stem of a script's file, and ``package.__main__`` for ``python -m package``.  A program that is read from
    stdin, or given by ``-c``, has no file.
    """
    names = program_names()
    file = str(names.get("__file__") or "")
    stem = PurePath(file).stem if file and not file.startswith("<") else None
    spec_name = str(getattr(names.get("__spec__"), "name", ""))
    return spec_name if stem == "__main__" and spec_name.endswith(".__main__") else stem
