"""What a worker takes over of its parent's program."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from trouper.runtime.workers.program import command, load_program, this_program


def _main(file: str | None, spec: str | None = None) -> ModuleType:
    module = ModuleType("__main__")
    if file is not None:
        module.__file__ = file
    module.__spec__ = None if spec is None else ModuleSpec(spec, None)
    return module


def test_a_worker_is_this_interpreter_with_this_path() -> None:
    """The command line contains the module search path, and no secret."""
    words = command()
    assert words[0] == sys.executable
    assert "" not in words
    assert words[-1] == str(Path(sys.path[-1]).absolute())


@pytest.mark.parametrize(
    ("file", "spec", "is_script"),
    [
        ("shop.py", None, True),
        ("shop.py", "shops.shop", True),
        ("shop.py", "shops.__main__", False),
        ("command", None, False),
        ("gone.py", None, False),
        (None, None, False),
    ],
)
def test_the_script_is_the_file_that_python_was_told_to_run(
    file: str | None, spec: str | None, is_script: bool, tmp_path: Path, run_as: Callable[[ModuleType], None]
) -> None:
    """A package's __main__, an installed command and an interactive session are not scripts."""
    for name in ("shop.py", "command"):
        (tmp_path / name).write_text("")
    run_as(_main(None if file is None else str(tmp_path / file), spec))
    program = this_program()
    assert program.script == (str(tmp_path / "shop.py") if is_script else None)
    assert program.script_name == ("shop" if is_script else "")


def test_levels_of_loggers_are_taken_over() -> None:
    """Those that were set; the root's name is empty."""
    logging.getLogger("carried.over").setLevel(logging.ERROR)
    levels = this_program().levels
    assert levels["carried.over"] == logging.ERROR
    assert levels[""] == logging.root.level
    logging.getLogger("carried.over").setLevel(logging.NOTSET)


def test_a_script_is_imported_under_the_name_of_its_file(tmp_path: Path, run_as: Callable[[ModuleType], None]) -> None:
    """So that its classes have the names that the parent gives them; relative imports still work."""
    (tmp_path / "shop_script.py").write_text("from .decoder import JSONDecoder\nif __name__ == '__main__': 1 / 0\n")
    run_as(_main(str(tmp_path / "shop_script.py"), "json.shop_script"))
    sys.modules["__main__"].__package__ = "json"
    program = this_program()
    load_program(program)
    try:
        assert sys.modules["shop_script"].JSONDecoder.__module__ == "json.decoder"
    finally:
        del sys.modules["shop_script"]


def test_a_relative_path_means_the_folder_in_which_the_program_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a worker that is started again after the program has changed its working directory."""
    started_in = Path.cwd()
    monkeypatch.setattr(sys, "path", ["lib", "", *sys.path])
    monkeypatch.chdir(tmp_path)
    words = command()
    assert [word for word in words if word in (str(started_in / "lib"), str(started_in))][:2] == [
        str(started_in / "lib"),
        str(started_in),
    ]
    assert str(tmp_path / "lib") not in words
