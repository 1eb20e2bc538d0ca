"""The examples: each runs by itself and prints the output shown at its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.layout.sources import ROOT
from tests.printed import matches

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
EXAMPLE_S_MAX = 120


def expected_output(text: str) -> str:
    """The lines after `# Output:` at the end of an example, without the `# | ` before each."""
    _, mark, block = text.rpartition("\n# Output:\n")
    assert mark, "an example ends with a comment block that begins with `# Output:`"
    return "".join(line.removeprefix("# |").removeprefix(" ") for line in block.splitlines(keepends=True))


def test_there_are_examples() -> None:
    """The examples are numbered from 01 without a gap."""
    numbers = [int(path.name[:2]) for path in EXAMPLES]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 10


def run_example(path: Path, *arguments: str) -> None:
    """Run an example alone: it prints the text at its end, nothing on stderr, and ends well."""
    result = subprocess.run(
        [sys.executable, "-W", "error", str(path), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=path.parent,
        timeout=EXAMPLE_S_MAX,
    )
    assert result.stderr == ""
    assert result.returncode == 0
    expected = expected_output(path.read_text("utf-8"))
    assert matches(expected, result.stdout), f"{result.stdout}\n--- expected ---\n{expected}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_prints_the_output_at_its_end(path: Path) -> None:
    """Run alone, an example prints the text at its end, nothing on stderr, and ends well."""
    run_example(path)


def test_the_package_with_an_extension_passes_its_own_tests() -> None:
    """It is a package of its own, beside this one, and imports public names only."""
    folder = ROOT / "examples" / "extension"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=EXAMPLE_S_MAX,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    imports = [
        line
        for path in (folder / "src").rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("from trouper")
        and not line.startswith(("from trouper import", "from trouper.lowlevel import"))
    ]
    assert imports == []


@pytest.mark.parametrize("placement", ["loop", "process", "tcp"])
def test_one_program_prints_the_same_wherever_its_actors_are(placement: str) -> None:
    """In one loop, in two processes over ipc, and over tcp with keys: the same file, the same output."""
    run_example(ROOT / "examples" / "13_placements.py", placement)
