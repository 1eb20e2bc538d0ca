"""The page of the laws: it has the laws of the design, and each has tests that are named after it."""

import ast
import re

import pytest

from tests.layout.sources import ROOT, read

LAWS = 18
PAGE = (ROOT / "docs" / "laws.md").read_text("utf-8")
NOT_YET = "*Not held yet"
NAMED = {
    int(found[1])
    for test in read("tests")
    for node in ast.walk(test.tree)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (found := re.match(r"test_law_(\d\d)_", node.name))
}
"""The laws that tests are named after."""


@pytest.mark.parametrize("number", range(1, LAWS + 1))
def test_each_law_has_tests_named_after_it(number: int) -> None:
    """A law has a test `test_law_NN_...`, unless the page says that it is not held yet."""
    section = re.search(rf"^## {number}\. .*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, f"law {number} is missing"
    assert number in NAMED or NOT_YET in section[0], f"no test is named test_law_{number:02}_..."


def test_the_page_has_the_laws_of_the_design() -> None:
    """The laws are numbered without a gap, and no test is named after another one."""
    assert [int(number) for number in re.findall(r"^## (\d+)\.", PAGE, re.MULTILINE)] == list(range(1, LAWS + 1))
    assert max(NAMED) <= LAWS
