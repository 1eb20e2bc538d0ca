"""What is installed: dependencies are bounded, CI installs what the lock file says, the bill of materials lists it."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from docs.build_sbom import Package, read_lock
from tests.layout.sources import ROOT

LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))  # Any: as tomllib types it
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
PYTHONS = ["3.11.7", "3.12.1", "3.13.0", "3.14.0"]
USED = [
    *PROJECT["project"]["dependencies"],
    *(each for extra in ("dns", "mdns", "shipping", "numpy") for each in EXTRAS[extra]),
]


def _pinned(requirement: Requirement, python: str) -> list[Version]:
    """The versions of a package that the lock file installs with a Python, on Linux."""
    place = {"python_full_version": python, "python_version": python.rpartition(".")[0], "sys_platform": "linux"}
    return [
        Version(package.version)
        for package in read_lock(LOCK)
        if package.name == canonicalize_name(requirement.name)
        and (not package.marker or Requirement(f"x ; {package.marker}").marker.evaluate(place))  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]  it has one
    ]


@pytest.mark.parametrize("line", [*USED, *PROJECT["build-system"]["requires"]])
def test_a_dependency_is_bounded_at_its_next_major_version(line: str) -> None:
    """A release that may break the wire is not installed before the tests have run with it."""
    assert any(bound.operator == "<" for bound in Requirement(line).specifier), line


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_file_has_all_that_the_tests_need(python: str) -> None:
    """One version each, within the bounds of pyproject.toml."""
    for line in [*USED, *EXTRAS["dev"]]:
        requirement = Requirement(line)
        (version,) = _pinned(requirement, python)
        assert version in requirement.specifier, line


def test_the_lock_file_pins_by_hash_and_names_no_index() -> None:
    """Each package by what it contains, and not by where it came from."""
    packages = read_lock(LOCK)
    assert all(package.hashes for package in packages)
    pins = [line for line in LOCK.splitlines() if "==" in line and not line.strip().startswith("#")]
    assert len(pins) == len(packages)
    assert "://" not in LOCK
    assert not re.search(r"^\s*-(-index|-extra|-find|-trusted|i |f )", LOCK, re.MULTILINE)


def test_the_makefile_installs_the_lock_file_by_hash() -> None:
    """With the package itself on top, and no other dependency."""
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("$(DEV): ")[2].partition("\n\n")[0]
    assert "--require-hashes --requirement requirements.lock" in recipe
    assert "--no-deps --no-build-isolation --editable ." in recipe


def test_reasons_of_a_lock_file_are_read() -> None:
    """On one line, on several, and for packages with a marker."""
    zero, one, two = (f"    --hash=sha256:{digit * 64}" for digit in "012")
    text = f"""
aaa==1.0 ; sys_platform != 'win32' \\
{zero} \\
{one}
    # via trouper (pyproject.toml)
bbb==2.0 \\
{two}
    # via
    #   trouper (pyproject.toml)
    #   aaa
"""
    assert read_lock(text) == [
        Package("aaa", "1.0", "sys_platform != 'win32'", ["0" * 64, "1" * 64], ["trouper"]),
        Package("bbb", "2.0", "", ["2" * 64], ["trouper", "aaa"]),
    ]


def test_the_bill_of_materials_lists_the_lock_file(tmp_path: Path) -> None:
    """Each package once with its hashes and its scope; what the package needs and nothing of the tools is required."""
    target = tmp_path / "sbom.json"
    texts = set[str]()
    for _ in range(2):
        subprocess.run([sys.executable, ROOT / "docs" / "build_sbom.py", target], check=True, capture_output=True)
        texts.add(target.read_text("utf-8"))
    (text,) = texts
    bill: dict[str, Any] = json.loads(text)  # Any: as json types it
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    components = {each["bom-ref"]: each for each in bill["components"]}
    assert components.keys() == {package.purl for package in read_lock(LOCK)}
    assert all(each["hashes"] for each in components.values())
    scopes = {each["name"]: each["scope"] for each in components.values()}
    assert {scopes[name] for name in ("pyzmq", "msgspec", "aiohttp", "yarl", "mdurl")} == {"required"}
    assert {scopes[name] for name in ("numpy", "zeroconf", "ifaddr")} == {"optional"}
    assert {scopes[name] for name in ("pytest", "mypy", "ruff", "hypothesis")} == {"excluded"}
    refs = {each["ref"] for each in bill["dependencies"]}
    assert {bill["metadata"]["component"]["bom-ref"], *components} == refs
    assert {child for each in bill["dependencies"] for child in each["dependsOn"]} <= refs
