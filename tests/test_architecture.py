"""The map in ARCHITECTURE.md: each path on it exists, and each package of the runtime is on it."""

import re

from tests.layout.sources import ROOT, read

NAMED = re.findall(r"`([\w/.]+(?:/|\.py|\.md))`", (ROOT / "ARCHITECTURE.md").read_text("utf-8"))
"""Folders and files in backticks, from the root, from the package or from the runtime."""
STARTS = ("", "src/trouper/", "src/trouper/runtime/", "src/trouper/actors/cluster/")
PATTERNS = {"examples/NN_name.py", "x.py", "x_actor.py", "x_api.py", "__init__.py"}


def test_what_the_map_names_exists() -> None:
    """Each path in backticks is a file or folder of the repository."""
    assert NAMED
    missing = [name for name in NAMED if name not in PATTERNS and not any((ROOT / at / name).exists() for at in STARTS)]
    assert missing == []


def test_every_package_of_the_runtime_is_on_the_map() -> None:
    """Each folder of the runtime is named."""
    packages = {source.module.split(".")[2] for source in read("src/trouper/runtime") if source.module.count(".") > 1}
    assert packages - {name.rstrip("/").rpartition("/")[2] for name in NAMED} == set()


def test_the_life_of_a_message_names_what_exists() -> None:
    """Each `file.name` on the page, where the file is one of the runtime's, is a function, class or attribute there."""
    text = (ROOT / "docs/internals/life-of-a-message.md").read_text("utf-8")
    sources = read("src/trouper/runtime", "src/trouper/transports")
    stems = {source.stem for source in sources}
    defined = {name for source in sources for name in re.findall(r"(?:def |class |self\.)(\w+)", source.text)}
    named = [(file, name) for file, name in re.findall(r"`(\w+)\.(\w+)`", text) if file in stems and name != "py"]
    assert named
    assert [f"{file}.{name}" for file, name in named if name not in defined] == []
