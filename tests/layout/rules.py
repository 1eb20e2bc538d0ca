"""The rules that are counted against `known.json`: each gives its violations in the repository, by key."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from . import arrows, words
from .sources import ROOT, Source, read

Found = dict[str, list[str]]
CODE = ("src", "tests", "examples", "benchmarks", "docs")
WORD_LISTS = ("tests/layout/words.py", "tests/layout/test_layout_rules.py")
"""The files that have to contain the banned words."""


def imports() -> Found:
    """Imports that the table of arrows forbids, by the pair of packages."""
    return _by_key(
        (found.key, f"{found.at} imports {found.target}") for s in read("src") for found in arrows.crossings(s)
    )


def banned_words() -> Found:
    """Banned words in code and in documents, by the group of files and the word."""
    uses = [(_group(source.path), use) for source in read(*CODE) for use in _uses(source)]
    for path in documents():
        uses += [(_group(path), use) for use in words.in_text(path, (ROOT / path).read_text("utf-8"))]
    return _by_key((f"{group}: {use.word}", str(use)) for group, use in uses)


def doubled_classes() -> Found:
    """Public classes that have the same name, by name."""
    return words.doubled_classes(read("src"))


def paired_modules() -> Found:
    """Modules in one folder that only an ending tells apart."""
    return {problem: [problem] for problem in words.paired_modules(read("src"))}


RULES: Mapping[str, Callable[[], Found]] = {
    "imports": imports,
    "banned words": banned_words,
    "doubled classes": doubled_classes,
    "paired modules": paired_modules,
}


def counted() -> dict[str, Found]:
    """All violations, by the name of the rule."""
    return {name: rule() for name, rule in RULES.items()}


def documents() -> Sequence[str]:
    """The Markdown files that are written by hand, by their path from the root."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    paths = [path.relative_to(ROOT).as_posix() for path in sorted(found)]
    return [path for path in paths if path != "docs/reference/api.md"]  # its text comes from the docstrings


def _uses(source: Source) -> Iterable[words.Use]:
    return [] if source.path in WORD_LISTS else words.in_code(source)


def _group(path: str) -> str:
    """The folder at the root that a file is in; a file at the root is its own group."""
    return path.partition("/")[0]


def _by_key(found: Iterable[tuple[str, str]]) -> Found:
    keyed: Found = defaultdict(list)
    for key, line in found:
        keyed[key].append(line)
    return dict(keyed)
