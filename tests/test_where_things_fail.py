"""The page of what can fail names a test for each row, and the test exists."""

import ast
import re

from tests.layout.sources import ROOT

PAGE = (ROOT / "docs" / "internals" / "where-things-fail.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| what |")]


def test_each_row_names_a_test_that_exists() -> None:
    """By its file and its name."""
    assert len(ROWS) > 50
    missing: list[str] = []
    for row in ROWS:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        if not named:
            missing.append(f"no test is named in: {row}")
        for path, name in named:
            file = ROOT / path
            tree = ast.parse(file.read_text("utf-8")) if file.is_file() else ast.Module([], [])
            found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
            if name not in found:
                missing.append(f"{path} has no {name}")
    assert not missing, "\n".join(missing)
