"""``trouper.lowlevel``: whatever an author of extensions meets in it can be imported from a public module."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from types import ModuleType

import pytest

import trouper
from trouper import lowlevel

PUBLIC = {*trouper.__all__, *lowlevel.__all__}
NOT_NAMED = {
    "NodeBase": "the class of `ctx.node`; an author names `trouper.Node`, which is it with its features",
    "ExtensionRun": "made by the runtime alone, which gives it to `__bind__` and to a `NodeContext`",
    "RequestHandlers": "as ExtensionRun",
    "Cell": "as ExtensionRun",
    "System": "as ExtensionRun, to `Instruments`",
    "Reports": "as System",
    "VersionedTable": "as ExtensionRun, to a `ReplicatedTable`",
    "Network": "the class of `ctx.network`, which nobody makes",
}


def _annotations(thing: object) -> list[str]:
    """The annotations of a function, or of the public methods and attributes of a class, as text."""
    found: list[str] = []
    members = [thing]
    if inspect.isclass(thing):
        found += [str(each) for name, each in inspect.get_annotations(thing).items() if not name.startswith("_")]
        members = [
            member.fget if isinstance(member, property) else member
            for name, member in vars(thing).items()
            if not name.startswith("_") or name == "__init__"
        ]
    for member in members:
        if inspect.isfunction(member):
            found += [str(each) for each in inspect.get_annotations(member).values()]
    return found


def _classes_of_ours() -> set[str]:
    """The names of all classes that modules of the package define which are loaded."""
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "trouper"]
    return {name for module in modules for name in _defined_in(module)}


def _defined_in(module: ModuleType) -> list[str]:
    return [
        name for name, value in vars(module).items() if inspect.isclass(value) and value.__module__ == module.__name__
    ]


@pytest.mark.parametrize("name", lowlevel.__all__)
def test_every_type_in_a_signature_is_public(name: str) -> None:
    """Of what lowlevel exports: an author can write down the type of everything that is passed and returned."""
    words = {word for text in _annotations(getattr(lowlevel, name)) for word in re.findall(r"[A-Za-z_]\w*", text)}
    missing = (words & _classes_of_ours()) - PUBLIC - NOT_NAMED.keys()
    assert not missing, f"trouper.lowlevel.{name} names {sorted(missing)}, which no public module exports"


def test_the_exceptions_are_needed() -> None:
    """Each name that is excused from being public stands in some signature."""
    named = {
        word
        for name in lowlevel.__all__
        for text in _annotations(getattr(lowlevel, name))
        for word in re.findall(r"[A-Za-z_]\w*", text)
    }
    assert NOT_NAMED.keys() <= named


def test_what_lowlevel_exports_is_all_that_it_imports() -> None:
    """No name comes in that is not public, and none that the package exports already."""
    names = {name for name, value in vars(lowlevel).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert names == set(lowlevel.__all__)
    assert not set(lowlevel.__all__) & set(trouper.__all__)


def test_the_package_does_not_load_it() -> None:
    """`import trouper` stays light."""
    code = "import sys, trouper; sys.exit('trouper.lowlevel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
