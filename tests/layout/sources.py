"""The input of the layout rules: the Python files of the repository, with their syntax trees and imports."""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "trouper"


@dataclass(frozen=True)
class Import:
    """One imported name: `from ..session import codec` in a module of `trouper.runtime.net`.

    There `module` is `trouper.runtime.session` and `name` is `codec`.
    """

    line: int
    module: str
    name: str | None
    """None for `import module`, which names nothing inside it."""
    level: int
    """Leading dots; 0 is an absolute import."""
    at_run_time: bool
    """False under `if TYPE_CHECKING:` and inside a function: such an import is not done when the module is loaded."""


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root with forward slashes, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, self.path)

    @property
    def stem(self) -> str:
        """The file's name without `.py`."""
        return self.path.rsplit("/", 1)[-1].removesuffix(".py")

    @property
    def module(self) -> str:
        """The dotted name by which the file is imported; that of an `__init__.py` is the package's."""
        dotted = self.path.removeprefix("src/").removesuffix(".py").replace("/", ".")
        return dotted.removesuffix(".__init__")

    @property
    def package(self) -> str:
        """The package to which the file's relative imports are relative."""
        return self.module if self.stem == "__init__" else self.module.rpartition(".")[0]

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        """Every comment with its line."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]

    @cached_property
    def imports(self) -> list[Import]:
        """Every import of the file, wherever it stands."""
        return list(self._imports(self.tree, at_run_time=True))

    @property
    def docstring_line(self) -> str:
        """The first line of the module's docstring; empty when it has none."""
        return (ast.get_docstring(self.tree) or "").partition("\n")[0].strip()

    def at(self, line: int) -> str:
        """A line of the file, as `path:line`."""
        return f"{self.path}:{line}"

    def _imports(self, node: ast.AST, *, at_run_time: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(child.lineno, alias.name, None, 0, at_run_time)
            elif isinstance(child, ast.ImportFrom):
                module = self._resolve(child.module or "", child.level)
                for alias in child.names:
                    yield Import(child.lineno, module, alias.name, child.level, at_run_time)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for inside in child.body:
                    yield from self._imports(ast.Module([inside], []), at_run_time=False)
                for otherwise in child.orelse:
                    yield from self._imports(ast.Module([otherwise], []), at_run_time=at_run_time)
            else:
                late = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from self._imports(child, at_run_time=at_run_time and not late)

    def _resolve(self, module: str, level: int) -> str:
        """An import's module as an absolute name."""
        if level == 0:
            return module
        parts = self.package.split(".")
        base = parts[: len(parts) - (level - 1)]
        return ".".join([*base, module] if module else base)


def read(*folders: str) -> list[Source]:
    """All Python files below these folders of the repository, in the order of their paths.

    Each file is read once.

    A folder that does not exist yet has no files. Links are not followed: the links at the root would show every
    file twice.
    """
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [_source(path) for path in found]


@cache
def _source(path: Path) -> Source:
    return Source(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))
