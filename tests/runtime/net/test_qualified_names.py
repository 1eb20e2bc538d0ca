import sys
from types import ModuleType

import pytest

from tests.runtime.net.stage import Clerk
from trouper.runtime.net.qualified_names import find_loaded, loaded_module, qualified_name


def test_a_name_leads_back_to_the_thing() -> None:
    """Classes inside classes and functions too."""
    for thing in (Clerk, Clerk.add, qualified_name):
        module, _, qualified = qualified_name(thing).partition(":")
        assert find_loaded(module, qualified) is thing


def test_what_is_not_there_is_none() -> None:
    """No import, no attribute of an instance, no error."""
    for module, qualified in (("antigravity", "fly"), ("os", "no.such"), ("os", ""), ("", ""), ("os", "sep.upper")):
        assert find_loaded(module, qualified) is None
    assert loaded_module("antigravity") is None


def test_a_script_is_named_by_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process imports it by that name."""
    script = ModuleType("__main__")
    script.__file__ = "some/folder/program.py"
    thing = type("Thing", (), {"__module__": "__main__"})
    vars(script)["Thing"] = thing
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert qualified_name(thing) == "program:Thing"
    assert find_loaded("program", "Thing") is thing
