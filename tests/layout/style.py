"""The rules for single files: sizes, names, comments that switch a tool off, docstrings of tests, places of tests."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

from .sources import Source

FILE_LINES_MAX = 800
"""A longer file says why in its docstring, in a sentence with the words "long because"; the habit is 150."""
FUNCTION_LINES_MAX = 60
VAGUE_NAMES = frozenset({"util", "utils", "helper", "helpers", "common", "misc"})
REASON_WORDS_MIN = 2

_Function = ast.FunctionDef | ast.AsyncFunctionDef

_BARE = re.compile(r"\b(?:type|pyright):\s*ignore(?!\s*\[)|\bnoqa\b(?!:\s*[A-Z]+\d)")
_CODED = re.compile(
    r"type:\s*ignore\[[\w, -]+\]|pyright:\s*ignore\[[\w, ]+\]|noqa:\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*",
    re.ASCII,
)
_WHOLE_FILE = re.compile(r"#\s*(?:ruff|flake8):\s*noqa|#\s*mypy:|#\s*pyright:\s*(?!ignore)\w|#\s*fmt:\s*off")


def file_sizes(source: Source) -> list[str]:
    """A file is as long as its one subject; above the limit its docstring says why it is not divided."""
    lines = len(source.text.splitlines())
    if lines <= FILE_LINES_MAX or "long because" in " ".join((ast.get_docstring(source.tree) or "").split()):
        return []
    advice = "divide it by subject, or say in its docstring what it is 'long because' of"
    return [f"{source.at(1)}: {lines} lines, more than {FILE_LINES_MAX}; {advice}"]


def function_sizes(source: Source) -> list[str]:
    """A function is at most as long as a screen."""
    return [
        f"{source.at(function.lineno)}: {function.name} has {lines} lines, more than {FUNCTION_LINES_MAX}"
        for function in _functions(source)
        if (lines := _last_line(function) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]


def no_vague_names(source: Source) -> list[str]:
    """A file is named for what it contains; `utils` and the like name nothing."""
    names = {part.removeprefix("test_").strip("_") for part in source.path.removesuffix(".py").split("/")}
    return [f"{source.at(1)}: {name!r} says nothing about the content" for name in sorted(names & VAGUE_NAMES)]


def ignores_have_reasons(source: Source) -> list[str]:
    """A comment that switches a tool off applies to one line, names the rule and gives the reason there."""
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
    """Each `Any` has a comment on its line that says why no type fits."""
    explained = {line for line, _ in source.comments}
    lines = {node.lineno for node in ast.walk(source.tree) if isinstance(node, ast.Name) and node.id == "Any"}
    lines |= {node.lineno for node in ast.walk(source.tree) if isinstance(node, ast.Attribute) and node.attr == "Any"}
    return [f"{source.at(line)}: say why this is Any, on the same line" for line in sorted(lines - explained)]


def no_sleep(source: Source, allowed: Mapping[str, str]) -> list[str]:
    """No test calls `time.sleep`: it waits for a condition, or runs on virtual time.

    allowed: paths of the files that may sleep, each with the reason.
    """
    if source.path in allowed:
        return []
    calls = (node for node in ast.walk(source.tree) if isinstance(node, ast.Call))
    problems = [
        f"{source.at(call.lineno)}: time.sleep in a test; wait for a condition, or use virtual time"
        for call in calls
        if ast.unparse(call.func) == "time.sleep"
    ]
    return problems + [
        f"{source.at(found.line)}: sleep imported from time; wait for a condition, or use virtual time"
        for found in source.imports
        if (found.module, found.name) == ("time", "sleep")
    ]


def tests_say_what_they_expect(source: Source) -> list[str]:
    """Each test function has a docstring that states the expected behaviour."""
    return [
        f"{source.at(function.lineno)}: {function.name} needs a docstring that says what is expected"
        for function in _functions(source)
        if function.name.startswith("test_") and not (ast.get_docstring(function) or "").strip()
    ]


def untrusted_bytes_are_decoded_by_one_function(source: Source, trusted: Mapping[str, str]) -> list[str]:
    """Bytes from outside are decoded by ``decode_untrusted``, which turns every way of failing into one error.

    A call of a decoder's ``decode`` has an argument that is no codec's name; its errors are caught nowhere else.
    trusted: paths of the files that decode what this program has written itself, each with the reason.
    """
    if source.path in trusted:
        return []
    problems = [
        f"{source.at(node.lineno)}: {ast.unparse(node.func)}() fails in more ways than one; use decode_untrusted"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and _decodes(node)
    ]
    return problems + [
        f"{source.at(node.lineno)}: {ast.unparse(node)} is not all that a decoder raises; use decode_untrusted"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr in ("DecodeError", "ValidationError", "MsgspecError")
    ]


def _decodes(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if name in ("json.loads", "pickle.loads", "msgspec.convert"):
        return True
    first = call.args[0] if call.args else None
    is_codec_name = isinstance(first, ast.Constant) and isinstance(first.value, str)
    return name.endswith(".decode") and first is not None and not is_codec_name


def facade_is_reexports(source: Source) -> list[str]:
    """A facade consists of a docstring, relative imports of names, `__all__` and `__version__`."""
    return [
        f"{source.at(statement.lineno)}: the facade only re-exports; move this: {ast.unparse(statement)[:60]}"
        for statement in source.tree.body
        if not (_is_docstring(statement) or _is_reexport(statement) or _is_dunder_assignment(statement))
    ]


def tests_mirror_packages(
    sources: Iterable[Source], tests: Iterable[Source], exceptions: Mapping[str, str]
) -> list[str]:
    """Each package has a folder of tests at the same place under `tests/`, and no folder there is for no package.

    `src/trouper/runtime/kernel/` is tested by the files of `tests/runtime/kernel/`; how they divide the subject among
    them, and their names, are theirs to decide.  A package without a folder of its own may be tested in the folder of
    the package around it.  exceptions: folders of `src/trouper/` or of `tests/`, each with the reason.
    """
    packages = {_folder(source.path.removeprefix("src/trouper/")) for source in sources if source.stem != "__init__"}
    folders = {_folder(test.path.removeprefix("tests/")) for test in tests if test.stem.startswith("test_")}
    excepted = set(exceptions)
    problems = [
        f"src/trouper/{package}: no tests in tests/{package}"
        for package in sorted(packages - excepted)
        if package and not any(f"{folder}/".startswith(f"{package}/") for folder in folders)
    ]
    return problems + [
        f"tests/{folder}: there is no package src/trouper/{folder}"
        for folder in sorted(folders - excepted)
        if folder and not any(f"{package}/".startswith(f"{folder}/") for package in packages)
    ]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _functions(source: Source) -> Iterator[_Function]:
    return (node for node in ast.walk(source.tree) if isinstance(node, _Function))


def _last_line(function: _Function) -> int:
    assert function.end_lineno is not None, "ast.parse sets it"
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
