"""The code in the documents: every ```python block is run, and prints the ```text block that follows it.

The blocks of a document are files in one folder, in their order.  A first line `# NAME.py` names the file, so that a
later block may import it; a file `test_NAME.py` is run by pytest, every other one by python.  Output is stdout and
stderr together, as a terminal shows it.  A block without a ```text block after it prints nothing.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.layout.sources import ROOT
from tests.printed import matches

DOCUMENTS = [
    "README.md",
    "docs/tutorial.md",
    *sorted(f"docs/guides/{path.name}" for path in (ROOT / "docs" / "guides").glob("*.md")),
]
BLOCK_S_MAX = 120
_BLOCK = re.compile(r"^```(?P<kind>python|text)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Program(NamedTuple):
    """A block of code: the file that it becomes, its text, and what it prints."""

    name: str
    text: str
    expected: str


def programs(document: str) -> list[Program]:
    """The programs of a document, each with the output that is shown after it."""
    found: list[Program] = []
    for block in _BLOCK.finditer(document):
        if block["kind"] == "python":
            name = re.match(r"# (\w+\.py)\n", block["text"])
            found.append(Program(name[1] if name else f"block_{len(found) + 1}.py", block["text"], ""))
        elif found and not found[-1].expected:
            found[-1] = found[-1]._replace(expected=block["text"])
    return found


@pytest.mark.parametrize("path", DOCUMENTS)
def test_the_code_of_a_document_prints_what_it_shows(path: str, tmp_path: Path) -> None:
    """The programs of a document, written to files one after the other, run and print the output shown below them."""
    found = programs((ROOT / path).read_text("utf-8"))
    assert found, f"{path} has no code"
    for program in found:
        (tmp_path / program.name).write_text(program.text, "utf-8")
        output = _output(program.name, tmp_path)
        assert matches(program.expected, output), f"{program.name} printed:\n{output}\n--- shown:\n{program.expected}"


def _output(name: str, folder: Path) -> str:
    pytest_ = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if name.startswith("test_") else ["-u", "-W", "error"]
    result = subprocess.run(
        [sys.executable, *pytest_, name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=folder,
        timeout=BLOCK_S_MAX,
    )
    return result.stdout


DOCUMENT = """\
```python
# one.py
print(1)
```
```text
1
```
```console
$ ls
```
```python
x = 1
```
"""


def test_blocks_become_files_with_their_output() -> None:
    """A block is named by its first line, or numbered, and has the text after it as output; others are not run."""
    assert programs(DOCUMENT) == [
        Program("one.py", "# one.py\nprint(1)\n", "1\n"),
        Program("block_2.py", "x = 1\n", ""),
    ]
