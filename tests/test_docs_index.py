"""The index of the documents lists all of them."""

import re

import pytest

from tests.layout.sources import ROOT

DOCS = ROOT / "docs"
LINKED = set(re.findall(r"\]\(([\w/.-]+\.md)\)", (DOCS / "index.md").read_text("utf-8")))


@pytest.mark.parametrize("path", [path.relative_to(DOCS).as_posix() for path in sorted(DOCS.rglob("*.md"))])
def test_every_document_is_in_the_index(path: str) -> None:
    """`docs/index.md` has a link to each page."""
    assert path == "index.md" or path in LINKED
