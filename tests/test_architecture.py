"""The map in ARCHITECTURE.md: every place that it names is there, and every part of the runtime is on it."""

import re
import subprocess

from tests.layout.sources import ROOT

NAMED = re.findall(r"`([\w/.]+(?:/|\.py|\.md))`", (ROOT / "ARCHITECTURE.md").read_text("utf-8"))
"""Folders and files in backticks. A name alone stands for one in the package or in the runtime."""
STARTS = ("", "src/trouper/", "src/trouper/runtime/")
PATTERNS = {"examples/NN_name.py"}


def test_what_the_map_names_is_there() -> None:
    """No path in backticks leads nowhere."""
    assert NAMED
    assert [
        name for name in NAMED if name not in PATTERNS and not any((ROOT / at / name).exists() for at in STARTS)
    ] == []


def test_every_part_of_the_runtime_is_on_the_map() -> None:
    """Each file and folder of the runtime is named; in a checkout, each that is committed."""
    folder = ROOT / "src/trouper/runtime"
    paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*.py")]
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "."]
        paths = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()
    parts = {path.split("/")[0] for path in paths if path != "__init__.py"}
    assert parts - {name.rstrip("/").rpartition("/")[2] for name in NAMED} == set()


def test_the_life_of_a_message_names_what_is_there() -> None:
    """Each `file.function` in the long version is defined in that file of the kernel or the runtime."""
    text = (ROOT / "docs/internals/life-of-a-message.md").read_text("utf-8")
    named = re.findall(r"`(cell|handling|lane|lifecycle|supervising|ask|dispatcher|ref)\.(\w+)`", text)
    assert named
    missing = [f"{file}.{name}" for file, name in named if name not in _defined(file)]
    assert missing == []


def _defined(file: str) -> set[str]:
    """Names that a file of the kernel, or of the runtime, defines or gives to the instances of its classes."""
    found = [ROOT / at / f"{file}.py" for at in ("src/trouper/runtime/kernel", "src/trouper/runtime")]
    text = next(path for path in found if path.exists()).read_text("utf-8")
    return set(re.findall(r"(?:def |self\.)(\w+)", text))
