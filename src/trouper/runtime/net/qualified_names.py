"""Naming: classes and functions by ``module:qualified.name``, and back.

Law of this file: to look a name up imports nothing and calls nothing.  A script's ``__main__`` is named by its file's
stem, as in the tags of messages, so that a process which imports the script agrees on the name.
"""

from __future__ import annotations

import sys
from pathlib import PurePath


def qualified_name(thing: object) -> str:
    """Return ``module:qualified.name`` of a class or function; what is not at the top of a module has ``<`` in it."""
    module = str(getattr(thing, "__module__", "<none>"))
    if module == "__main__":
        module = _main_stem() or module
    return f"{module}:{getattr(thing, '__qualname__', '<none>')}"


def find_loaded(module: str, qualified: str) -> object:
    """Return what a loaded module has under a qualified name; None when it has no such thing."""
    found = loaded_module(module)
    for part in qualified.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found


def loaded_module(module: str) -> object:
    """Return a module that is loaded already; None when it is not."""
    return sys.modules.get("__main__" if module == _main_stem() else module)


def _main_stem() -> str | None:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return PurePath(file).stem if file else None
