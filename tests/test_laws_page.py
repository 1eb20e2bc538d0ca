"""The page of the laws: each law is there, and every test that it names as its proof exists."""

import ast
import re

import pytest

from tests.layout.sources import ROOT

LAWS = 15
PAGE = (ROOT / "docs" / "laws.md").read_text("utf-8")
_PROOF = re.compile(r"\[`(?P<test>test_\w+)`\]\(\.\./(?P<path>tests/[\w/]+\.py)\)")


def _section(number: int) -> str:
    found = re.search(rf"^## {number}\. .*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"law {number} is missing"
    return found[0]


@pytest.mark.parametrize("number", range(1, LAWS + 1))
def test_each_law_names_tests_that_exist(number: int) -> None:
    """A law names at least one test as its proof, and each of them is defined in the file that the link leads to."""
    proofs = _PROOF.findall(_section(number))
    assert proofs, f"law {number} names no test"
    for test, path in proofs:
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert test in defined, f"law {number}: {path} has no {test}"


def test_there_is_no_sixteenth_law() -> None:
    """The page has as many laws as the design."""
    assert [int(number) for number in re.findall(r"^## (\d+)\.", PAGE, re.MULTILINE)] == list(range(1, LAWS + 1))
