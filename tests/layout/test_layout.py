"""The house as the design draws it: which arrows there are, what is pure, how large things may grow.

Each rule is a function in `tests/house/`; here each is held against the repository, and `test_house_rules.py` proves
that each can fail.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.layout import arrows, style
from tests.layout.sources import ROOT, Source, read

LINKED_PACKAGES = ("actors", "runtime", "transports")
PACKAGE = read("src/trouper")
TESTS = read("tests")
CODE = read("src", "tests", "examples", "benchmarks", "docs")

MAY_SLEEP: dict[str, str] = {}
"""Test files that may call time.sleep, each with its reason."""

WITHOUT_A_TEST_FILE: dict[str, str] = {}
"""Modules without a test file of their name, each with its reason."""

HEAVY = ("aiohttp", "zmq", "rich", "click", "uvloop", "msgpack", "psutil")
"""Packages that `import trouper` leaves alone: what is used later is imported later."""


def _hold(problems: list[str]) -> None:
    assert not problems, "\n".join(["the house does not hold:", *problems])


def _named(*paths: str) -> list[Source]:
    return [source for source in PACKAGE if source.path in paths]


def test_the_rules_read_the_repository() -> None:
    """The rules see the package and the tests, so that none of them holds because it saw nothing."""
    paths = {source.path for source in CODE}
    assert {"src/trouper/actors/__init__.py", "tests/layout/test_layout.py", "docs/build_reference.py"} <= paths
    assert not [path for path in paths if path.startswith(tuple(f"{wing}/" for wing in LINKED_PACKAGES))]


def test_imports_inside_the_package_are_relative() -> None:
    """No file of the package imports the package by its absolute name."""
    _hold([problem for source in PACKAGE for problem in arrows.relative_imports_only(source)])


def test_imports_follow_the_arrows() -> None:
    """The kernel stands alone, the runtime on the kernel, transports on the wire, features on public names."""
    _hold([problem for source in PACKAGE for problem in arrows.arrows(source)])


def test_the_kernel_uses_the_standard_library_and_msgspec() -> None:
    """No other package is imported where the table of arrows does not name it."""
    _hold([problem for source in PACKAGE for problem in arrows.outside_packages(source)])


def test_nothing_imports_the_testing_kit_or_the_command_line() -> None:
    """What is at the end of the arrows has nobody behind it."""
    _hold([problem for source in PACKAGE for problem in arrows.leaves_stay_leaves(source)])


def test_no_modules_import_each_other_in_a_ring() -> None:
    """Every module can be understood, and loaded, after those that it imports."""
    _hold(arrows.no_cycles(PACKAGE))


def test_pure_files_touch_nothing() -> None:
    """A file that calls itself pure imports no clock, loop, network or log, and the protocols are such files."""
    _hold([problem for source in PACKAGE for problem in arrows.purity(source)])


def test_the_kernel_is_read_in_an_hour() -> None:
    """All files of the kernel together stay within their number of lines."""
    _hold(style.kernel_size(source for source in PACKAGE if "/runtime/kernel/" in source.path))


def test_files_and_functions_stay_small() -> None:
    """No file and no function outgrows its limit, tests and benchmarks included."""
    _hold([problem for source in CODE for rule in (style.file_sizes, style.function_sizes) for problem in rule(source)])


def test_no_file_is_a_drawer() -> None:
    """No file or folder is called utils, helpers, common or misc."""
    _hold([problem for source in CODE for problem in style.no_vague_names(source)])


def test_ignores_name_their_rule_and_reason() -> None:
    """Whoever switches a tool off for a line says which rule, and why."""
    _hold([problem for source in CODE for problem in style.ignores_have_reasons(source)])


def test_every_any_says_why() -> None:
    """An Any in the package is a decision, written beside it."""
    _hold([problem for source in PACKAGE for problem in style.any_has_a_reason(source)])


def test_no_test_sleeps() -> None:
    """Tests wait for what they wait for, or run on virtual time."""
    _hold([problem for source in TESTS for problem in style.no_sleep(source, MAY_SLEEP)])


def test_every_test_says_what_it_expects() -> None:
    """Every test function opens with a sentence."""
    _hold([problem for source in TESTS for problem in style.tests_say_what_they_expect(source)])


def test_tests_mirror_the_wings() -> None:
    """A reader of a module finds its tests under the same name."""
    wings = [source for source in PACKAGE if source.path.split("/")[2] in LINKED_PACKAGES]
    _hold(style.tests_mirror_packages(wings, TESTS, WITHOUT_A_TEST_FILE))


def test_the_facade_only_reexports() -> None:
    """`trouper/__init__.py` defines nothing itself."""
    facade = _named("src/trouper/__init__.py")
    assert facade, "the facade is missing"
    _hold(style.facade_is_reexports(facade[0]))


def test_every_public_name_resolves() -> None:
    """Each name in `trouper.__all__` is there, and is listed once."""
    program = "import trouper; [getattr(trouper, name) for name in trouper.__all__]; print(*trouper.__all__)"
    names = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert names
    assert len(names) == len(set(names))


def test_importing_the_package_is_light() -> None:
    """`import trouper` loads no package that only some programs need."""
    program = f"import sys, trouper; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


@pytest.mark.parametrize("wing", LINKED_PACKAGES)
def test_a_wing_imported_through_a_link_says_how_to_import_it(wing: str, tmp_path: Path) -> None:
    """`import runtime`, through a link of that name, fails with a sentence that names `trouper.runtime`."""
    (tmp_path / wing).symlink_to(ROOT / "src" / "trouper" / wing)
    command = [sys.executable, "-c", f"import {wing}"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert re.search(rf"ImportError: .*\btrouper\.{wing}\b", result.stderr), result.stderr


@pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="the links are for readers of the repository; an sdist has none"
)
@pytest.mark.parametrize("wing", LINKED_PACKAGES)
def test_the_root_shows_each_wing_by_a_link(wing: str) -> None:
    """At the root stands a link to each wing, relative, so that it holds in every clone."""
    link = ROOT / wing
    assert link.is_symlink()
    assert link.readlink().as_posix() == f"src/trouper/{wing}"


def test_ruff_sees_no_file_through_a_link() -> None:
    """The linter reads every file of the wings once, by its real place."""
    command = [sys.executable, "-m", "ruff", "check", "--show-files"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    relative = {line.removeprefix(f"{ROOT}/") for line in shown}
    assert "src/trouper/actors/__init__.py" in relative
    assert not [path for path in relative if path.startswith(tuple(f"{wing}/" for wing in LINKED_PACKAGES))]


def test_the_version_is_said_once() -> None:
    """The facade's `__version__`, where there is one, is the version of the project file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    said = re.findall(r'^__version__ = "(.+)"$', (ROOT / "src/trouper/__init__.py").read_text("utf-8"), re.MULTILINE)
    assert said in ([], [project["version"]])
