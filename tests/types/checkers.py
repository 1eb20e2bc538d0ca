"""What mypy and pyright say about a file, and what the file says they should: both as lines that can be compared.

A case says in a comment what is expected of the line it stands on:

* `# E: text` : both checkers report an error that contains the text;
* `# E(mypy): text` and `# E(pyright): text` : the same for one of them, when they use different words;
* `# T: type` : the line is a `reveal_type(...)` and both reveal this type.

Several may follow each other on a line. Any error on a line that expects none is a failure too.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from tests.layout.sources import ROOT

Checker = Literal["mypy", "pyright"]
CHECKERS: Sequence[Checker] = ("mypy", "pyright")

_EXPECTATION = re.compile(
    r"#\s(?P<kind>[ET])(?:\((?P<checker>mypy|pyright)\))?:\s(?P<text>.*?)(?=\s+#\s[ET](?:\(|:)|$)"
)
_REVEALED = re.compile(r'(?:Revealed type is|Type of ".*" is) "(?P<type>.*)"', re.DOTALL)
_MYPY_LINE = re.compile(r"(?P<path>.*?):(?P<line>\d+): (?P<severity>error|note): (?P<text>.*)")


@dataclass(frozen=True, order=True)
class Said:
    """One finding of a checker, or one expectation of it: E is an error, T a revealed type."""

    path: str
    line: int
    kind: Literal["E", "T"]
    text: str


def expectations(path: str, source: str, checker: Checker) -> list[Said]:
    """What the comments of a file expect of one checker."""
    return [
        Said(path, number, "E" if found["kind"] == "E" else "T", found["text"].strip())
        for number, line in enumerate(source.splitlines(), start=1)
        for found in _EXPECTATION.finditer(line)
        if found["checker"] in {None, checker}
    ]


def differences(expected: Iterable[Said], found: Iterable[Said]) -> list[str]:
    """Sentences about each expectation that nothing met, and each finding that nobody expected; none if all is well."""
    open_findings = sorted(found)
    problems: list[str] = []
    for wanted in sorted(expected):
        met = [said for said in open_findings if _meets(said, wanted)]
        if not met:
            problems.append(f"{wanted.path}:{wanted.line}: expected {wanted.kind}: {wanted.text}")
        open_findings = [said for said in open_findings if said not in met]
    return problems + [f"{said.path}:{said.line}: unexpected {said.kind}: {said.text}" for said in open_findings]


def check(checker: Checker, folder: Path) -> list[Said]:
    """Run one checker, as strict as the project is, on every file in `folder/cases`.

    The folder holds a `pyrightconfig.json` too: what the project's configuration leaves out, pyright leaves out even
    when it is named.
    """
    return _mypy(folder) if checker == "mypy" else _pyright(folder)


def _meets(said: Said, wanted: Said) -> bool:
    if (said.path, said.line, said.kind) != (wanted.path, wanted.line, wanted.kind):
        return False
    return said.text == wanted.text if wanted.kind == "T" else wanted.text in said.text


def _mypy(folder: Path) -> list[Said]:
    """What mypy finds: one finding a line; the types it reveals are notes, and carry the module of each name."""
    options = ["--no-error-summary", "--hide-error-context", "--no-color-output", "--no-pretty", "--show-error-codes"]
    options += ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    output = _run(
        ["mypy", *options, *(f"cases/{path.name}" for path in sorted((folder / "cases").glob("*.py")))], folder
    )
    said: list[Said] = []
    for line in output.splitlines():
        match = _MYPY_LINE.fullmatch(line)
        assert match is not None, f"mypy said something else than findings:\n{output}"
        path = Path(match["path"]).name
        if revealed := _REVEALED.match(match["text"]):
            said.append(Said(path, int(match["line"]), "T", _short(revealed["type"])))
        elif match["severity"] == "error":
            said.append(Said(path, int(match["line"]), "E", match["text"]))
    return said


class _Position(TypedDict):
    line: int


class _Range(TypedDict):
    start: _Position


class _Diagnostic(TypedDict):
    file: str
    severity: str
    message: str
    range: _Range


class _Report(TypedDict):
    generalDiagnostics: list[_Diagnostic]


def _pyright(folder: Path) -> list[Said]:
    """What pyright finds: in JSON, lines counted from 0; the types it reveals are of the severity "information"."""
    output = _run(["pyright", "--outputjson", "--pythonpath", sys.executable], folder)
    report: _Report = json.loads(output)
    said: list[Said] = []
    for finding in report["generalDiagnostics"]:
        path, line, text = Path(finding["file"]).name, finding["range"]["start"]["line"] + 1, finding["message"]
        if revealed := _REVEALED.match(text):
            said.append(Said(path, line, "T", _short(revealed["type"])))
        elif finding["severity"] in {"error", "warning"}:
            said.append(Said(path, line, "E", text))
    return said


def _short(revealed: str) -> str:
    """A type as both checkers write it: without modules and without mypy's marks for inferred literals."""
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", revealed).replace("?", "")


def _run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    """The standard output of a module run as a program. That it found something is no error of ours, a crash is."""
    quiet = {**environment, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, "-m", *arguments]
    result = subprocess.run(command, cwd=folder, env=quiet, capture_output=True, text=True, check=False)
    assert result.returncode in {0, 1}, f"{' '.join(command)} ended with {result.returncode}:\n{result.stderr}"
    return result.stdout
