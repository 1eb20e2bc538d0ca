"""The layout rules, held against the repository; `test_layout_rules.py` shows that each of them can fail."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.layout import arrows, ratchet, rules, style
from tests.layout.sources import ROOT, Source, read

LINKED_PACKAGES = ("actors", "runtime", "transports")
"""Packages that have a symbolic link at the root of the repository."""
PACKAGE = read("src/trouper")
TESTS = read("tests")
CODE = read(*rules.CODE)

MAY_SLEEP: dict[str, str] = {}
"""Test files that may call time.sleep, each with its reason."""

WITHOUT_A_MIRROR: dict[str, str] = {
    "benchmarks": "tests of what stands in benchmarks/, beside the package",
    "fuzz": "feeds bytes to the parsers of several packages",
    "layout": "tests of the repository, not of a package",
    "simulation": "whole systems on virtual time, across packages",
    "types": "what the two type checkers say about programs of users",
}
"""Folders of tests without a package of the same name, and packages without tests, each with its reason."""

TRUSTED: dict[str, str] = {
    "src/trouper/runtime/kernel/untrusted.py": "it has the one function",
    "src/trouper/runtime/actor/eventsourced/actor.py": "reads the node's own journal, whose frames have checksums",
    "src/trouper/runtime/actor/eventsourced/codec.py": "reads the node's own journal, whose frames have checksums",
    "src/trouper/runtime/net/code_shipping.py": "unpickles on purpose, and turns every exception into one error",
    "src/trouper/cli/demo/folder.py": "reads the user's own text files, in the encoding that they declare",
    "src/trouper/transports/keys.py": "reads the user's own files, with the decoder of Z85",
}
"""Files that decode bytes without ``decode_untrusted``, each with its reason."""

HEAVY = (
    "aiohttp", "zmq", "rich", "click", "uvloop", "msgpack", "psutil", "cloudpickle", "numpy",
    "csv", "email", "http", "importlib.metadata", "importlib.resources", "multiprocessing", "secrets", "shutil",
    "sqlite3", "tempfile", "tomllib", "unittest", "urllib.request", "xml", "zipfile",
)  # fmt: skip
"""Packages and modules that `import trouper` does not load: they are imported where they are used."""


def _hold(problems: list[str]) -> None:
    assert not problems, "\n".join(["the layout rules are broken:", *problems])


def _named(*paths: str) -> list[Source]:
    return [source for source in PACKAGE if source.path in paths]


def test_the_rules_read_the_repository() -> None:
    """The rules see the package, the tests and the documents, and nothing twice through a link at the root."""
    paths = {source.path for source in CODE}
    assert {"src/trouper/actors/__init__.py", "tests/layout/test_layout.py", "docs/build_reference.py"} <= paths
    assert not [path for path in paths if path.startswith(tuple(f"{name}/" for name in LINKED_PACKAGES))]
    assert {"README.md", "docs/tutorial.md"} <= set(rules.documents())


@pytest.mark.parametrize("rule", rules.RULES)
def test_a_counted_rule_has_no_violation_that_is_not_known(rule: str) -> None:
    """Imports across packages, the vocabulary and names: no violation but those in `known.json`, which only shrink."""
    _hold(ratchet.excess(rules.RULES[rule](), ratchet.known()[rule]))


def test_the_table_of_arrows_has_no_ring() -> None:
    """A program that follows the table has no ring across packages."""
    _hold(arrows.table_is_acyclic())


def test_no_packages_import_each_other() -> None:
    """No ring across packages, type-only and late imports included, but for the imports that are known violations."""
    _hold(arrows.package_rings(PACKAGE, ratchet.known()["imports"]))


def test_no_modules_load_each_other() -> None:
    """No ring of modules at load time, inside a package either."""
    _hold(arrows.no_cycles(PACKAGE))


def test_imports_inside_the_package_are_relative() -> None:
    """No file of the package imports the package by its absolute name."""
    _hold([problem for source in PACKAGE for problem in arrows.relative_imports_only(source)])


def test_the_kernel_uses_the_standard_library_and_msgspec() -> None:
    """A package for which the table names third-party packages imports no others."""
    _hold([problem for source in PACKAGE for problem in arrows.outside_packages(source)])


def test_nothing_imports_the_testing_kit_or_the_command_line() -> None:
    """`trouper.testing` and `trouper.cli` are imported by users, not by the package."""
    _hold([problem for source in PACKAGE for problem in arrows.leaves_stay_leaves(source)])


def test_pure_files_import_no_clock_loop_or_network() -> None:
    """A file marked (PURE) imports no clock, loop, network or log, and the protocols are so marked."""
    _hold([problem for source in PACKAGE for problem in arrows.purity(source)])


def test_files_and_functions_have_a_limit() -> None:
    """No file and no function exceeds its limit without a reason, tests and benchmarks included."""
    _hold([problem for source in CODE for rule in (style.file_sizes, style.function_sizes) for problem in rule(source)])


def test_no_file_has_a_vague_name() -> None:
    """No file or folder is called utils, helpers, common or misc."""
    _hold([problem for source in CODE for problem in style.no_vague_names(source)])


def test_ignores_name_their_rule_and_reason() -> None:
    """A comment that switches a tool off for a line names the rule and the reason."""
    _hold([problem for source in CODE for problem in style.ignores_have_reasons(source)])


def test_every_any_says_why() -> None:
    """Each Any in the package has its reason on its line."""
    _hold([problem for source in PACKAGE for problem in style.any_has_a_reason(source)])


def test_bytes_from_outside_are_decoded_by_one_function() -> None:
    """A decoder fails in many ways; ``decode_untrusted`` turns all of them into one error."""
    _hold(
        [
            problem
            for source in PACKAGE
            for problem in style.untrusted_bytes_are_decoded_by_one_function(source, TRUSTED)
        ]
    )


def test_no_test_sleeps() -> None:
    """Tests wait for conditions, or run on virtual time."""
    _hold([problem for source in TESTS for problem in style.no_sleep(source, MAY_SLEEP)])


def test_every_test_says_what_it_expects() -> None:
    """Every test function has a docstring that states the expected behaviour."""
    _hold([problem for source in TESTS for problem in style.tests_say_what_they_expect(source)])


def test_tests_mirror_packages() -> None:
    """The tests of a package are in the folder of the same path under `tests/`."""
    inside = [source for source in PACKAGE if source.path.count("/") > 2]
    tests = [test for test in TESTS if test.path.count("/") > 1]
    _hold(style.tests_mirror_packages(inside, tests, WITHOUT_A_MIRROR))


def test_the_facade_only_reexports() -> None:
    """`trouper/__init__.py` defines nothing itself."""
    facade = _named("src/trouper/__init__.py")
    assert facade, "the facade is missing"
    _hold(style.facade_is_reexports(facade[0]))


def test_every_public_name_resolves() -> None:
    """Each name in `trouper.__all__` can be imported, and is listed once."""
    program = "import trouper; [getattr(trouper, name) for name in trouper.__all__]; print(*trouper.__all__)"
    names = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert names
    assert len(names) == len(set(names))


def test_importing_the_package_is_light() -> None:
    """`import trouper` loads none of the heavy packages."""
    program = f"import sys, trouper; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


@pytest.mark.parametrize("name", LINKED_PACKAGES)
def test_a_package_imported_through_a_link_says_how_to_import_it(name: str, tmp_path: Path) -> None:
    """`import runtime`, through a link of that name, fails with a sentence that names `trouper.runtime`."""
    (tmp_path / name).symlink_to(ROOT / "src" / "trouper" / name)
    command = [sys.executable, "-c", f"import {name}"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert re.search(rf"ImportError: .*\btrouper\.{name}\b", result.stderr), result.stderr


@pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="the links are for readers of the repository; an sdist has none"
)
@pytest.mark.parametrize("name", LINKED_PACKAGES)
def test_the_root_has_a_link_to_each_of_the_three_packages(name: str) -> None:
    """Each link at the root is relative, so that it works in every clone."""
    link = ROOT / name
    assert link.is_symlink()
    assert link.readlink().as_posix() == f"src/trouper/{name}"


def test_ruff_sees_no_file_through_a_link() -> None:
    """The linter reads every file of the package once, by its real path."""
    command = [sys.executable, "-m", "ruff", "check", "--show-files"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    relative = {line.removeprefix(f"{ROOT}/") for line in shown}
    assert "src/trouper/actors/__init__.py" in relative
    assert not [path for path in relative if path.startswith(tuple(f"{name}/" for name in LINKED_PACKAGES))]


def test_the_version_is_said_once() -> None:
    """The facade's `__version__`, where there is one, is the version of the project file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    said = re.findall(r'^__version__ = "(.+)"$', (ROOT / "src/trouper/__init__.py").read_text("utf-8"), re.MULTILINE)
    assert said in ([], [project["version"]])
