"""What a file may look like: sizes, names, comments that switch a tool off, and what a test owes its reader."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping

from .sources import Source

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
KERNEL_LINES_MAX = 1_800
VAGUE_NAMES = frozenset({"util", "utils", "helper", "helpers", "common", "misc"})
REASON_WORDS_MIN = 2
_NO_CODE = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)

_Function = ast.FunctionDef | ast.AsyncFunctionDef

_BARE = re.compile(r"\b(?:type|pyright):\s*ignore(?!\s*\[)|\bnoqa\b(?!:\s*[A-Z]+\d)")
_CODED = re.compile(
    r"type:\s*ignore\[[\w, -]+\]|pyright:\s*ignore\[[\w, ]+\]|noqa:\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*",
    re.ASCII,
)
_WHOLE_FILE = re.compile(r"#\s*(?:ruff|flake8):\s*noqa|#\s*mypy:|#\s*pyright:\s*(?!ignore)\w|#\s*fmt:\s*off")


def file_sizes(source: Source) -> list[str]:
    """A file has one reason to exist, and one sitting is enough to read it."""
    lines = len(source.text.splitlines())
    return [f"{source.at(1)}: {lines} lines, more than {FILE_LINES_MAX}"] if lines > FILE_LINES_MAX else []


def function_sizes(source: Source) -> list[str]:
    """A function fits a screen."""
    return [
        f"{source.at(function.lineno)}: {function.name} has {lines} lines, more than {FUNCTION_LINES_MAX}"
        for function in _functions(source)
        if (lines := _last_line(function) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]


def kernel_size(sources: Iterable[Source]) -> list[str]:
    """The kernel is read in an hour: so many lines of code, with as much prose beside them as they need.

    Blank lines, comments and docstrings do not count: a limit on them would be met by explaining less.
    """
    lines = sum(len(code_lines(source)) for source in sources)
    return [f"the kernel has {lines} lines of code, more than {KERNEL_LINES_MAX}"] if lines > KERNEL_LINES_MAX else []


def code_lines(source: Source) -> set[int]:
    """Return the numbers of the lines that hold code."""
    prose: set[int] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            prose.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type not in _NO_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    return code - prose


def no_vague_names(source: Source) -> list[str]:
    """A file is named for what it holds; a drawer holds whatever nobody found a name for."""
    names = {part.removeprefix("test_").strip("_") for part in source.path.removesuffix(".py").split("/")}
    return [f"{source.at(1)}: {name!r} is a drawer, not a name" for name in sorted(names & VAGUE_NAMES)]


def ignores_have_reasons(source: Source) -> list[str]:
    """A comment that switches a tool off is for one line, and there names the rule and says why."""
    problems: list[str] = []
    for line, comment in source.comments:
        if _WHOLE_FILE.search(comment):
            problems.append(f"{source.at(line)}: no tool is switched off for a whole file or block: {comment}")
        elif _BARE.search(comment):
            problems.append(f"{source.at(line)}: name the rule that is ignored: {comment}")
        elif _CODED.search(comment) and len(re.findall(r"\w+", _CODED.sub(" ", comment))) < REASON_WORDS_MIN:
            problems.append(f"{source.at(line)}: say why on the same line: {comment}")
    return problems


def any_has_a_reason(source: Source) -> list[str]:
    """An `Any` stands beside a comment that says why no type will do."""
    explained = {line for line, _ in source.comments}
    lines = {node.lineno for node in ast.walk(source.tree) if isinstance(node, ast.Name) and node.id == "Any"}
    lines |= {node.lineno for node in ast.walk(source.tree) if isinstance(node, ast.Attribute) and node.attr == "Any"}
    return [f"{source.at(line)}: say why this is Any, on the same line" for line in sorted(lines - explained)]


def no_sleep(source: Source, allowed: Mapping[str, str]) -> list[str]:
    """A test that sleeps is slow on a good day and wrong on a bad one.

    `allowed` maps a file's path to the reason why it may.
    """
    if source.path in allowed:
        return []
    calls = (node for node in ast.walk(source.tree) if isinstance(node, ast.Call))
    problems = [
        f"{source.at(call.lineno)}: time.sleep in a test; wait for what you wait for, or use virtual time"
        for call in calls
        if ast.unparse(call.func) == "time.sleep"
    ]
    return problems + [
        f"{source.at(found.line)}: sleep imported from time; wait for what you wait for, or use virtual time"
        for found in source.imports
        if (found.module, found.name) == ("time", "sleep")
    ]


def tests_say_what_they_expect(source: Source) -> list[str]:
    """A test function opens with a sentence of expected behaviour."""
    return [
        f"{source.at(function.lineno)}: {function.name} needs a docstring that says what is expected"
        for function in _functions(source)
        if function.name.startswith("test_") and not (ast.get_docstring(function) or "").strip()
    ]


def facade_is_reexports(source: Source) -> list[str]:
    """The facade holds a docstring, relative imports of names, and `__all__`, `__version__`: nothing that does."""
    return [
        f"{source.at(statement.lineno)}: the facade only re-exports; move this: {ast.unparse(statement)[:60]}"
        for statement in source.tree.body
        if not (_is_docstring(statement) or _is_reexport(statement) or _is_dunder_assignment(statement))
    ]


def tests_mirror_packages(
    sources: Iterable[Source], tests: Iterable[Source], exceptions: Mapping[str, str]
) -> list[str]:
    """Every module has a test file named for it, in the same place under `tests/` or further down.

    `src/trouper/runtime/kernel/cell.py` is tested by `tests/runtime/kernel/test_cell.py`. A name may go on after an
    underscore (`test_cell_order.py`), so that a test file can be divided. `exceptions` maps a source's path to the
    reason why it has no test file of its own; an exception that is not needed is reported too.
    """
    there = [test.path for test in tests]
    problems: list[str] = []
    for source in sources:
        missing = not any(_mirrors(test, source) for test in there)
        if missing and source.path not in exceptions and source.stem != "__init__":
            problems.append(f"{source.path}: no test file {_mirror_of(source)}")
        elif not missing and source.path in exceptions:
            problems.append(f"{source.path}: has a test file, so it needs no exception")
    known = {source.path for source in sources}
    return problems + [f"{path}: there is no such file to except" for path in exceptions if path not in known]


def _mirror_of(source: Source) -> str:
    folder = source.path.removeprefix("src/trouper/").rpartition("/")[0]
    return f"tests/{folder}/test_{source.stem}.py"


def _mirrors(test: str, source: Source) -> bool:
    expected = _mirror_of(source).removesuffix(".py")
    return test == f"{expected}.py" or test.startswith(f"{expected}_")


def _functions(source: Source) -> Iterator[_Function]:
    return (node for node in ast.walk(source.tree) if isinstance(node, _Function))


def _last_line(function: _Function) -> int:
    assert function.end_lineno is not None, "a tree that was parsed from text knows where it ends"
    return function.end_lineno


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_reexport(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
        return True
    return isinstance(statement, ast.ImportFrom) and statement.level > 0 and all(a.name != "*" for a in statement.names)


def _is_dunder_assignment(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return False
    return all(isinstance(target, ast.Name) and target.id in {"__all__", "__version__"} for target in targets)
