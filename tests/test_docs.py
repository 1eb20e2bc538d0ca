"""The documents: the reference is made from the present docstrings, and every link works."""

from pathlib import Path

import pytest

from docs import build_permissions, build_reference
from tests.layout.document_links import anchors, broken_links
from tests.layout.sources import ROOT

SAMPLE = {
    "__init__.py": 'from .inner import Thing as Thing, make as make\n__all__ = ["Thing", "make"]\n',
    "inner.py": '''
class _Base:
    def inherited(self) -> int:
        """From ``_Base``."""

class Thing(_Base):
    """A thing.

    >>> Thing(1)
    """
    def __init__(self, size: int, /, *, name: str = "a, b") -> None: ...
    @property
    def bare(self) -> int: ...
    def _hidden(self) -> None: ...

async def make(count: int, where: dict[str, tuple[int, int]], colour: str = "red", *, strict: bool = False) -> Thing:
    """Make some."""
''',
}

SAMPLE_PAGE = """\
## `sample`

### `make`

```python
async def make(
    count: int,
    where: dict[str, tuple[int, int]],
    colour: str = 'red',
    *,
    strict: bool = False,
) -> Thing
```

Make some.

### `Thing`

```python
class Thing(_Base)
Thing(size: int, /, *, name: str = 'a, b')
```

A thing.

```pycon
>>> Thing(1)
```

#### `Thing.bare`

```python
bare: int
```

#### `Thing.inherited`

```python
def inherited() -> int
```

From `_Base`.
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A folder with a small package in it."""
    (tmp_path / "sample").mkdir()
    for name, text in SAMPLE.items():
        (tmp_path / "sample" / name).write_text(text, "utf-8")
    return tmp_path


def _documents() -> dict[str, str]:
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted(paths)}


def _linkable() -> frozenset[str]:
    """Files and folders to which a document may link: all but what tools make and hide."""
    roots = ["src", "tests", "examples", "benchmarks", "docs"]
    below = [path for root in roots for path in (ROOT / root).rglob("*") if "__pycache__" not in path.parts]
    every = [*ROOT.glob("*"), *ROOT.glob(".ci/*"), *below]
    return frozenset(path.relative_to(ROOT).as_posix() for path in every)


def test_the_reference_that_is_committed_is_current() -> None:
    """`docs/reference/api.md` equals what `make docs` would write."""
    assert build_reference.PAGE.is_file(), "there is no reference: run `make docs`"
    assert build_reference.PAGE.read_text("utf-8") == build_reference.build(), "the reference is old: run `make docs`"


def test_the_table_of_permissions_that_is_committed_is_current() -> None:
    """`docs/reference/permissions.md` equals what `make docs` would write."""
    assert build_permissions.PAGE.read_text("utf-8") == build_permissions.build(), "the table is old: run `make docs`"


def test_everything_public_is_documented() -> None:
    """Every public name, and every public method of it, has a docstring."""
    assert build_reference.undocumented() == []


def test_the_reference_shows_signatures_texts_and_inherited_members(sample: Path) -> None:
    """A page has the public names in alphabetical order, long signatures a parameter a line, and no private name."""
    page = build_reference.build(["sample"], sample)
    assert page.partition("\n## ")[2] == SAMPLE_PAGE.partition("## ")[2]


def test_a_public_name_without_a_docstring_is_found(sample: Path) -> None:
    """A property without a docstring is reported with its line; fields and private names need none."""
    assert build_reference.undocumented(["sample"], sample) == ["sample.inner.Thing.bare (line 13)"]


def test_a_facade_that_is_not_there_has_no_names(sample: Path) -> None:
    """A facade that does not exist yet has no names, and is no error."""
    assert build_reference.public_names("sample.later", sample) == []


def test_every_relative_link_leads_somewhere() -> None:
    """Each relative link in the documents leads to an existing file, and its anchor to a heading of that file."""
    documents, files = _documents(), _linkable()
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= set(documents)
    problems = [problem for path, text in documents.items() for problem in broken_links(path, text, documents, files)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("[x](gone.md)", "gone.md leads nowhere: there is no docs/gone.md"),
        ("[x](../README.md#gone)", "../README.md#gone leads nowhere: README.md has no heading 'gone'"),
        ("[x](#gone)", "#gone leads nowhere: docs/here.md has no heading 'gone'"),
        ("[x](../../outside.md)", "../../outside.md leads nowhere: there is no such place in the repository"),
        ("[x](/README.md)", "/README.md leads nowhere: a link inside the repository is relative"),
        ("![x](gone.png)", "gone.png leads nowhere: there is no docs/gone.png"),
        ("[x]: gone.md", "gone.md leads nowhere: there is no docs/gone.md"),
        ("[x](../README.md#the-first-part)", None),
        ("[x](here.md)", None),
        ("[x](#here)", None),
        ("[x](https://example.org/gone.md)", None),
        ("`[x](gone.md)`", None),
        ("```\n[x](gone.md)\n```", None),
    ],
)
def test_a_link_that_leads_nowhere_is_reported(link: str, problem: str | None) -> None:
    """A link to a missing file or heading is reported with the reason; links to elsewhere and code are let be."""
    text = f"# Here\n\n{link}\n"
    documents = {"README.md": "# Trouper\n\n## The *first* part\n", "docs/here.md": text}
    found = broken_links("docs/here.md", text, documents, frozenset(documents))
    assert found == ([] if problem is None else [f"docs/here.md: {problem}"])


def test_headings_become_anchors_as_markdown_hosts_spell_them() -> None:
    """Case, signs and code marks go, spaces become hyphens, the second of a name gets a number."""
    text = '# A `Node`, twice!\n## A Node twice\n```\n# no heading\n```\n## [Linked](x.md) #\n<a id="own"></a>\n'
    assert anchors(text) == {"a-node-twice", "a-node-twice-1", "linked", "own"}
