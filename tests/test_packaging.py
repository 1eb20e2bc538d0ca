"""The installed package: the wheel is complete, contains no link, and works with its declared dependencies alone.

The environment is made without an index, so that the test is quick and runs anywhere: a bare virtual environment gets
the wheel by pip, and of the packages that are installed here a link to each that the wheel requires, directly or
through another, and to nothing else. An undeclared import fails there as it would for a user.
"""

import importlib.metadata
import stat
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.layout.sources import PACKAGE, ROOT, read

LINKED_PACKAGES = ("actors", "runtime", "transports")

_IMPORT_ALL = """
import importlib, pkgutil, sys, trouper
names = [module.name for module in pkgutil.walk_packages(trouper.__path__, "trouper.")]
for name in names:
    if not name.endswith(".__main__"):
        importlib.import_module(name)
print(trouper.__file__, *names)
"""


@dataclass(frozen=True)
class Built:
    """The two files of a release."""

    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist of this tree, and the wheel made from that sdist: a file missing in it is missing in the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)], folder)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, sdist)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("installed")
    _run([sys.executable, "-m", "venv", "--without-pip", "env"], folder)
    python = folder / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    _run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(built.wheel)], folder)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (info,) = site.glob("trouper-*.dist-info")
    requires = importlib.metadata.PathDistribution(info).requires or []
    for name in _required(requires):
        _link_distribution(name, site)
    return python.parent


def test_the_wheel_holds_every_file_of_the_package(built: Built) -> None:
    """The wheel holds every module, `py.typed` and all other files of the package, and its metadata only besides."""
    source = ROOT / "src"
    files = (path for path in (source / PACKAGE).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    expected = {path.relative_to(source).as_posix() for path in files}
    with zipfile.ZipFile(built.wheel) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == expected
    assert "trouper/py.typed" in held


def test_the_wheel_and_the_sdist_hold_no_link(built: Built) -> None:
    """The links at the root of the repository are in neither, as links or as copies of what they lead to."""
    with zipfile.ZipFile(built.wheel) as wheel:
        assert not [entry.filename for entry in wheel.infolist() if stat.S_ISLNK(entry.external_attr >> 16)]
    with tarfile.open(built.sdist) as sdist:
        members = sdist.getmembers()
    assert not [member.name for member in members if not (member.isfile() or member.isdir())]
    at_root = {member.name.split("/")[1] for member in members}
    assert not at_root & set(LINKED_PACKAGES)


def test_the_sdist_holds_what_its_own_tests_need(built: Built) -> None:
    """The tests can be run in the unpacked sdist."""
    prefix = built.sdist.name.removesuffix(".tar.gz")
    with tarfile.open(built.sdist) as sdist:
        held = {name.removeprefix(f"{prefix}/") for name in sdist.getnames()}
    assert {"pyproject.toml", "Makefile", "LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"} <= held
    assert {source.path for source in read("src", "tests", "examples", "benchmarks", "docs")} <= held
    assert "tests/types/pyrightconfig.json" in held


def test_the_installed_package_is_the_wheel_and_every_module_loads(installed: Path, tmp_path: Path) -> None:
    """In an environment with the declared dependencies alone every module can be imported, with warnings as errors."""
    said = _run([str(installed / "python"), "-I", "-W", "error", "-c", _IMPORT_ALL], tmp_path).split()
    assert Path(said[0]).is_relative_to(installed.parent)
    assert {PACKAGE, *said[1:]} == {source.module for source in read("src")}


def test_an_example_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """The first example does its work with the wheel, far from the repository and in Python's isolated mode."""
    example = ROOT / "examples" / "01_hello.py"
    assert example.is_file()
    assert _run([str(installed / "python"), "-I", "-W", "error", str(example)], tmp_path).strip()


def test_the_console_script_is_installed(installed: Path, tmp_path: Path) -> None:
    """The wheel installs the command `trouper`, and `--help` lists its commands."""
    assert "demo" in _run([str(installed / "trouper"), "--help"], tmp_path)


def test_every_package_that_is_imported_is_declared() -> None:
    """Each package that is imported anywhere is a declared dependency, or belongs to an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [line for extra, lines in project["optional-dependencies"].items() if extra != "dev" for line in lines]
    declared = {_canonical(Requirement(line).name) for line in [*project["dependencies"], *extras]}
    assert _undeclared(_imported_packages(), declared, importlib.metadata.packages_distributions()) == []


def test_an_undeclared_package_is_found() -> None:
    """An import from an undeclared or missing distribution is reported with its place."""
    imported = {"zmq": "a.py:1", "yaml": "b.py:2", "unknown": "c.py:3"}
    distributions = {"zmq": ["pyzmq"], "yaml": ["PyYAML"]}
    assert _undeclared(imported, {"pyzmq"}, distributions) == ["yaml (b.py:2)", "unknown (c.py:3)"]


def _undeclared(
    imported: Mapping[str, str], declared: set[str], distributions: Mapping[str, Sequence[str]]
) -> list[str]:
    """The imported packages that come with none of the declared distributions."""
    return [
        f"{name} ({place})"
        for name, place in imported.items()
        if not declared & {_canonical(each) for each in distributions.get(name, [])}
    ]


def _canonical(name: str) -> str:
    """A distribution's name in the one spelling that stands for all: lower case, hyphens."""
    return canonicalize_name(name)


def _imported_packages() -> dict[str, str]:
    """Packages from elsewhere that the source imports at run time, each with one place where it does."""
    ours = {PACKAGE, "__future__", *sys.stdlib_module_names}
    return {
        top: source.at(found.line)
        for source in read("src")
        for found in source.imports
        if found.level == 0 and (top := found.module.partition(".")[0]) not in ours and top != "typing_extensions"
    }


def _required(requirements: Sequence[str]) -> set[str]:
    """The names of all distributions that these requirements ask for, on this platform and without extras."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = _canonical(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and name not in found:
            assert importlib.metadata.version(name) in requirement.specifier, requirement
            found.add(name)
            waiting += importlib.metadata.requires(name) or []
    return found


def _link_distribution(name: str, site: Path) -> None:
    """Let an environment see one distribution that is installed here."""
    distribution = importlib.metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] not in {"..", "__pycache__"}}
    assert tops, f"{name} does not say which files it has"
    for top in tops:
        link = site / top
        if not link.exists():  # two distributions may share a folder
            link.symlink_to(Path(str(distribution.locate_file(top))).resolve())


def _run(command: Sequence[str], folder: Path) -> str:
    """What a command printed; a command that fails shows everything it said."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, (
        f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}{result.stderr}"
    )
    return result.stdout
